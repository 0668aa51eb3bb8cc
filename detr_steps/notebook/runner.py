"""Executes the notebooks top to bottom: `python -m detr_steps run --help`.

Prints progress and the line that each notebook is known by. Their pages are made in `pages`.
"""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from ..reading import one_line, read_text
from ..writing import check_file, whole_file
from .saving import tidy

BEYOND = "beyond"  # folder of the notebooks that go on from the nine
CONTRACT_LINE = re.compile(r"Step \d: |Output: class_logits=")


def run_notebooks(paths: list[Path], save: bool = False) -> dict[Path, NotebookNode]:
    """Executes notebooks, and prints what they are known by.

    Args:
        paths: the notebooks.
        save: whether the outputs are stored in the notebooks.

    Returns:
        The executed notebooks by their paths.

    Raises:
        OSError: a notebook that is to be saved cannot be written: before any is executed.
    """
    for path in paths if save else []:
        check_file(path)
    executed, start = {}, time.perf_counter()
    for i, path in enumerate(paths, 1):
        notebook = read(path)
        execute(notebook, path.parent, f"[{i}/{len(paths)}] {path.stem}")
        for line in printed_lines(notebook):
            print(f"    {line}")
        if save:
            write(notebook, path)
        executed[path] = notebook
    print(f"{len(paths)} notebooks in {time.perf_counter() - start:.0f} s")
    return executed


def execute(notebook: NotebookNode, folder: Path, label: str) -> None:
    """Runs all cells in a fresh kernel, in place, and reports progress on one line."""
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources=resources,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
        on_cell_executed=progress_line(notebook, label),
    ).execute()
    tidy(notebook)


def progress_line(notebook: NotebookNode, label: str) -> Callable[..., None]:
    """What prints after each code cell how many are done; in a file the last one alone."""
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    done = 0

    def report(**_) -> None:
        nonlocal done
        done += 1
        end = "\n" if done == cells else "\r" if sys.stdout.isatty() else ""
        if end:
            print(f"{label}  cell {done} of {cells}", end=end, flush=True)

    return report


def read(path: Path) -> NotebookNode:
    """A notebook as it is stored, in the newest form.

    Raises:
        OSError, ValueError: there is none; the file is named.
    """
    text = read_text(path)
    try:
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat and jsonschema have classes of their own
        reason = one_line(error) or type(error).__name__
        raise ValueError(f"{path}: expected a notebook: {reason}") from error
    return notebook


def write(notebook: NotebookNode, path: Path) -> None:
    """Writes a notebook, whole or not at all."""
    with whole_file(path) as new:
        nbformat.write(notebook, new)


def printed_lines(notebook: NotebookNode) -> list[str]:
    """The contract lines in a notebook's printed output."""
    return [
        line
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
        for line in output.text.splitlines()
        if CONTRACT_LINE.match(line)
    ]
