"""The notebooks as a site, made by Sphinx with MyST-NB: `python -m detr_steps site --help`."""

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
from sphinx.util.docutils import docutils_namespace, patch_docutils

from ..notebook.runner import BEYOND, read
from ..writing import check_folder, copy_folder
from .prepared import opening, outside_links, prepared, titled, with_title
from .slides import build_slides

HERE = Path(__file__).parent / "sphinx"
TITLE = "DETR in nine steps"


def build_site(
    folder: Path,
    out: Path,
    executed: Mapping[Path, NotebookNode] | None = None,
    title: str = TITLE,
    repository: str = "",
    branch: str = "main",
    slides: bool = False,
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
        slides: whether decks of slides go with it, in `slides/`.

    Returns:
        What Sphinx complains about, as a link that leads nowhere; nothing if all is well.

    Raises:
        OSError: the folder cannot be written: before any page is made.
    """
    check_folder(out)
    address = f"{repository.rstrip('/')}/blob/{branch}" if repository else ""
    with TemporaryDirectory() as work:
        source = Path(work, "source")
        lessons = write_lessons(folder, source, dict(executed or {}), address)
        texts = [*write_texts(folder, source, address)]
        texts += write_texts(folder.parent / "benchmarks", source / "benchmarks", address)
        names = [path.relative_to(source).with_suffix("").as_posix() for path in texts]
        write_index(source, title=title, lessons=lessons, texts=names, slides=slides)
        problems = run_sphinx(source, Path(work), out, settings(title, repository, branch))
    if slides:
        build_slides(folder, out / "slides")
    return problems


def run_sphinx(source: Path, work: Path, out: Path, changes: dict[str, Any]) -> str:
    """Runs Sphinx with changes to its configuration; what it complains about.

    It works in a folder of its own, since MyST-NB also writes beside the pages.
    """
    warnings = StringIO()
    folders = source, HERE, work / "html", work / "doctrees"
    with patch_docutils(HERE), docutils_namespace():  # nothing stays registered for the next site
        app = Sphinx(*folders, "html", confoverrides=changes, status=None, warning=warnings)
        app.build()
    left_out = shutil.ignore_patterns(".buildinfo*", "_sources")
    copy_folder(work / "html", out, left_out)
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


def write_lessons(
    folder: Path, source: Path, executed: dict[Path, NotebookNode], address: str
) -> list[dict[str, Any]]:
    """Writes the notebooks as Sphinx takes them; says of each what the first page tells."""
    lessons = []
    for path in sorted(folder.glob("*.ipynb")) + sorted((folder / BEYOND).glob("*.ipynb")):
        notebook = titled(executed.get(path) or read(path), path.stem)
        place = source / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(prepared(notebook, place.parent, path.stem, address), place)
        name = path.relative_to(folder).with_suffix("").as_posix()
        lessons.append({"name": name, "beyond": path.parent != folder, **opening(notebook)})
    return lessons


def write_index(source: Path, **content: Any) -> None:
    """Writes the first page, and that of the reference."""
    shutil.copy(HERE / "steps.rst", source)
    page = Template((HERE / "index.md.j2").read_text(encoding="utf-8"), trim_blocks=True)
    overview = (source / "overview.png").exists()
    (source / "index.md").write_text(page.render(overview=overview, **content), encoding="utf-8")


def write_texts(folder: Path, place: Path, address: str) -> Iterator[Path]:
    """Copies the Markdown files of a folder, and the pictures beside them; yields the former."""
    for path in sorted([*folder.glob("*.md"), *folder.glob("*.png")]):
        place.mkdir(parents=True, exist_ok=True)
        copy = place / path.name
        if path.suffix == ".md":
            text = outside_links(path.read_text("utf-8"), address)
            copy.write_text(with_title(text, path.stem), encoding="utf-8")
            yield copy
        else:
            shutil.copy(path, copy)
