"""A notebook as Sphinx takes it: pictures in files of their own, folded code marked as such."""

import re
from base64 import b64decode
from copy import deepcopy
from pathlib import Path

from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_markdown_cell

PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>()#+.!|~-])")
TITLE = re.compile(r"^# (.+)$", re.M)
ROW = re.compile(r"^\| \*\*(.+?)\*\* \| (.+) \|$", re.M)  # of the table that a notebook opens with
OUTSIDE = re.compile(r"\[([^\]]*)\]\((?:\.\./)+((?:detr_steps|benchmarks|experiments)/[^)]+)\)")


def prepared(notebook: NotebookNode, folder: Path, name: str, address: str = "") -> NotebookNode:
    """A copy of a notebook for Sphinx with MyST-NB.

    Args:
        notebook: executed, or without outputs.
        folder: where its file will lie; pictures are written into `pictures/` beside it.
        name: of the notebook, with which those of its pictures begin.
        address: of the project's files on the web; without one, links to them become plain text.
    """
    copy = deepcopy(notebook)
    for number, cell in enumerate(copy.cells):
        if cell.cell_type == "markdown":
            cell.source = outside_links(cell.source, address)
            continue
        if is_folded(cell):
            cell.metadata.tags = [*cell.metadata.get("tags", []), "hide-input"]
        for place, output in enumerate(cell.get("outputs", [])):
            data = output.get("data", {})
            if "image/png" in data:
                file = folder / "pictures" / f"{name}-{number}-{place}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b64decode(data.pop("image/png")))
                data["text/markdown"] = f"![{escaped(alt_text(output))}](pictures/{file.name})"
    return copy


def is_folded(cell: NotebookNode) -> bool:
    """Whether JupyterLab hides the code of a cell."""
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def alt_text(output: NotebookNode) -> str:
    """The alternative text of an output's picture."""
    return output.metadata.get("image/png", {}).get("alt", "")


def escaped(text: str) -> str:
    """Text as Markdown that shows it as it is."""
    return PUNCTUATION.sub(r"\\\1", text)


def outside_links(text: str, address: str) -> str:
    """Markdown whose links to files beside the notebooks' folder lead to the web, or nowhere."""
    return OUTSIDE.sub(rf"[\1]({address}/\2)" if address else r"\1", text)


def titled(notebook: NotebookNode, name: str) -> NotebookNode:
    """A notebook that begins with a title: its own, or its name."""
    first = notebook.cells[0].source if notebook.cells else ""
    if TITLE.search(first):
        return notebook
    cells = [new_markdown_cell(f"# {name}"), *notebook.cells]
    return from_dict({**notebook, "cells": cells})


def with_title(text: str, name: str) -> str:
    """Markdown with a title: its own, or its name."""
    return text if TITLE.search(text) else f"# {name}\n\n{text}"


def opening(notebook: NotebookNode) -> dict[str, str]:
    """What a notebook says of itself at its top: its title, and the rows of its first table."""
    text = notebook.cells[0].source
    return {"title": TITLE.search(text)[1], **dict(ROW.findall(text))}
