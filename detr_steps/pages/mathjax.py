"""MathJax in a folder of pages, so that formulas need no network."""

from importlib import import_module
from pathlib import Path

from ..writing import copy_file, copy_folder

FONTS = "output/chtml/fonts/woff-v2"


def copy_mathjax(place: Path) -> None:
    """Copies what pages load of MathJax, a fifth of the package that brings it."""
    package = Path(import_module("sphinx-mathjax-offline").__file__).parent
    source = package / "static" / "mathjax"
    copy_folder(source / FONTS, place / FONTS)
    copy_file(source / "tex-chtml.js", place / "tex-chtml.js")
