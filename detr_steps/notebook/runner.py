"""Executes the notebooks top to bottom: `python -m detr_steps run --help`.

Prints progress and the line that each notebook is known by, and writes each as a page of HTML.
"""

import html
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbconvert.filters.widgetsdatatypefilter import WIDGET_VIEW_MIMETYPE
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

PAGE_LINK = re.compile(  # to another page of the series
    r"\]\(((?:\.\./|beyond/)?[^):/]+)\.(?:ipynb|md)(#[^)]*)?\)"
)
BEYOND = "beyond"  # folder of the notebooks that go on from the nine
CONTRACT_LINE = re.compile(r"Step \d: |Output: class_logits=")

FOLDING = """
{%- extends 'lab/index.html.j2' -%}
{% block input_group %}
{%- if cell.metadata.get("jupyter", {}).get("source_hidden") -%}
<details><summary>code</summary>{{ super() }}</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{% endblock %}
"""  # folds the code that JupyterLab hides

STYLE = """
.jp-RenderedMarkdown .highlight * { font-family: var(--jp-code-font-family) }
.highlight .gi { color: #116329; background: #dafbe1 }
.highlight .gd { color: #82071e; background: #ffebe9 }
"""


def run_notebooks(paths: list[Path], out: Path, save: bool = False) -> None:
    """Executes notebooks, prints what they are known by, and writes their pages.

    Args:
        paths: the notebooks.
        out: folder for the pages.
        save: whether the outputs are stored in the notebooks.
    """
    out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    for i, path in enumerate(paths, 1):
        notebook = read(path)
        execute(notebook, path.parent, f"[{i}/{len(paths)}] {path.stem}")
        for line in printed_lines(notebook):
            print(f"    {line}")
        page = to_html(nbformat.from_dict(notebook))
        place = out / BEYOND if path.parent.name == BEYOND else out
        place.mkdir(exist_ok=True)
        (place / f"{path.stem}.html").write_text(page, encoding="utf-8")
        if save:
            nbformat.write(notebook, path)
    for folder in {path.parent for path in paths if path.parent.name != BEYOND}:
        write_texts(folder, out)
    seconds = time.perf_counter() - start
    print(f"{len(paths)} notebooks in {seconds:.0f} s; the pages are in {out}/")


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
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = without_widgets(cell.outputs)
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}


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


def without_widgets(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Outputs in which each widget, dead without its kernel, gives way to its stand-in, if any."""
    kept = []
    for output in outputs:
        data = output.get("data", {})
        widget = data.pop(WIDGET_VIEW_MIMETYPE, None)
        if widget is None or set(data) != {"text/plain"}:
            kept.append(output)
    return kept


def read(path: Path) -> NotebookNode:
    """A notebook as it is stored."""
    return nbformat.read(path, as_version=4)


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


def to_html(notebook: NotebookNode) -> str:
    """A page whose pictures have alternative text and whose links lead to the other pages."""
    page = nbformat.from_dict(notebook)
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = PAGE_LINK.sub(r"](\1.html\2)", cell.source)
        for output in cell.get("outputs", []):
            png = output.get("data", {}).pop("image/png", None)
            if png is not None:
                alt = html.escape(output.metadata["image/png"]["alt"])
                output.data["text/html"] = f'<img alt="{alt}" src="data:image/png;base64,{png}">'
    exporter = HTMLExporter(extra_loaders=[DictLoader({"folding.html.j2": FOLDING})])
    exporter.template_file = "folding.html.j2"
    body, _ = exporter.from_notebook_node(page)
    return body.replace("</head>", f"<style>{STYLE}</style></head>", 1)


def write_texts(folder: Path, out: Path) -> None:
    """Writes the Markdown files beside the notebooks as pages, too."""
    for path in sorted(folder.glob("*.md")):
        text = new_markdown_cell(path.read_text(encoding="utf-8"))
        page = to_html(new_notebook(cells=[text]))
        (out / f"{path.stem}.html").write_text(page, encoding="utf-8")
