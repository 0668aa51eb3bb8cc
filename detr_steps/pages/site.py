"""The notebooks as a site, made by Sphinx with MyST-NB: `python -m detr_steps site --help`."""

import re
import shutil
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from jinja2 import Template
from nbconvert.filters import strip_ansi
from nbformat import NotebookNode
from sphinx.application import Sphinx

from ..notebook.runner import BEYOND, read
from .prepared import outside_links, prepared

HERE = Path(__file__).parent / "sphinx"
TITLE = "DETR in nine steps"
ROW = re.compile(r"^\| \*\*(.+?)\*\* \| (.+) \|$", re.M)  # of the table that a notebook opens with


def build_site(
    folder: Path,
    out: Path,
    executed: Mapping[Path, NotebookNode] | None = None,
    title: str = TITLE,
    repository: str = "",
    branch: str = "main",
) -> str:
    """Writes a site of the notebooks and texts of a folder, and of `beyond/` in it.

    Args:
        folder: of the notebooks.
        out: folder for the site; its first page is `index.html`.
        executed: notebooks by their paths; the others are taken as they are stored.
        title: of the site.
        repository: the project's address on GitHub; with it, pages get buttons that open the
            notebooks in Colab and Binder.
        branch: of the repository.

    Returns:
        What Sphinx complains about, as a link that leads nowhere; nothing if all is well.
    """
    address = f"{repository.rstrip('/')}/blob/{branch}" if repository else ""
    with TemporaryDirectory() as work:
        source = Path(work, "source")
        write_source(folder, source, dict(executed or {}), title, address)
        warnings = StringIO()
        app = Sphinx(
            source,
            HERE,
            out,
            Path(work, "doctrees"),
            "html",
            confoverrides=settings(title, repository, branch),
            status=None,
            warning=warnings,
        )
        app.build()
    return strip_ansi(warnings.getvalue())


def settings(title: str, repository: str, branch: str) -> dict[str, Any]:
    """What differs from site to site in the configuration `sphinx/conf.py`."""
    options: dict[str, Any] = {"project": title, "html_title": title}
    if repository:
        options |= {
            "html_theme_options.repository_url": repository,
            "html_theme_options.repository_branch": branch,
            "html_theme_options.path_to_docs": "notebooks",
            "html_theme_options.use_repository_button": True,
            "html_theme_options.launch_buttons": {
                "colab_url": "https://colab.research.google.com",
                "binderhub_url": "https://mybinder.org",
            },
        }
    return options


def write_source(
    folder: Path, source: Path, executed: dict[Path, NotebookNode], title: str, address: str
) -> None:
    """Writes what Sphinx makes the pages of."""
    steps, beyond = ([*sorted(one.glob("*.ipynb"))] for one in (folder, folder / BEYOND))
    lessons = []
    for path in [*steps, *beyond]:
        notebook = executed.get(path) or read(path)
        place = source / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(prepared(notebook, place.parent, path.stem, address), place)
        lessons.append(
            {
                "name": path.relative_to(folder).with_suffix("").as_posix(),
                "beyond": path in beyond,
                **opening(notebook),
            }
        )
    texts = [*write_texts(folder, source, address)]
    texts += write_texts(folder.parent / "benchmarks", source / "benchmarks", address)
    shutil.copy(HERE / "steps.rst", source)
    page = Template((HERE / "index.md.j2").read_text(encoding="utf-8"), trim_blocks=True)
    overview = (folder / "overview.png").exists()
    names = [path.relative_to(source).with_suffix("").as_posix() for path in texts]
    content = page.render(title=title, lessons=lessons, texts=names, overview=overview)
    (source / "index.md").write_text(content, encoding="utf-8")


def write_texts(folder: Path, place: Path, address: str) -> Iterator[Path]:
    """Copies the Markdown files of a folder, and the pictures beside them; yields the former."""
    for path in sorted([*folder.glob("*.md"), *folder.glob("*.png")]):
        place.mkdir(parents=True, exist_ok=True)
        copy = place / path.name
        if path.suffix == ".md":
            copy.write_text(outside_links(path.read_text("utf-8"), address), encoding="utf-8")
            yield copy
        else:
            shutil.copy(path, copy)


def opening(notebook: NotebookNode) -> dict[str, str]:
    """What a notebook says of itself at its top: its title, and the rows of its first table."""
    text = notebook.cells[0].source if notebook.cells else ""
    title = re.search(r"^# (.+)$", text, re.M)
    return {"title": title[1] if title else "Notebook", **dict(ROW.findall(text))}
