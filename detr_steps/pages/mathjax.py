"""MathJax in a folder of pages, so that formulas need no network."""

from importlib import import_module
from pathlib import Path
from shutil import copy, copytree

FONTS = "output/chtml/fonts/woff-v2"


def copy_mathjax(place: Path) -> None:
    """Copies what pages load of MathJax, a fifth of the package that brings it."""
    package = Path(import_module("sphinx-mathjax-offline").__file__).parent
    source = package / "static" / "mathjax"
    copytree(source / FONTS, place / FONTS, dirs_exist_ok=True)
    copy(source / "tex-chtml.js", place)
