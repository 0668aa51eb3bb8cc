"""A Sphinx extension: cards for the glossary's terms, tables without empty headers, MathJax."""

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from .mathjax import copy_mathjax

GLOSSARY = "glossary"
ENTRY = re.compile(r"^### (.+)\n\n(.+)$", re.M)
MET = re.compile(r" Met in \[.*")
MARKS = re.compile(r"[`*]|\[([^\]]*)\]\([^)]*\)")  # of Markdown; of a link its text stays
LINK = re.compile(rf'<a class="reference internal" href="((?:\.\./)*{GLOSSARY}\.html#([\w-]+))">')
EMPTY_HEAD = re.compile(
    r"<thead>\s*<tr[^>]*>(?:\s*<th[^>]*>\s*(?:<p>\s*</p>)?\s*</th>)+\s*</tr>\s*</thead>"
)
EMPTY_CELL = re.compile(r"<th([^>]*)>\s*(?:<p>\s*</p>)?\s*</th>")


@cache
def read_terms(source: Path) -> dict[str, str]:
    """Anchor of each term of the glossary in a folder of sources -> what the term means."""
    file = source / f"{GLOSSARY}.md"
    entries = ENTRY.findall(file.read_text(encoding="utf-8")) if file.exists() else []
    plain = ((term, MARKS.sub(r"\1", MET.sub("", text))) for term, text in entries)
    return {term.replace(" ", "-"): text for term, text in plain}


def finish(app: Sphinx, page: str, template: str, context: dict[str, Any], _: Any) -> None:
    """Changes the HTML of a page: see above."""
    if "body" not in context:
        return
    terms = read_terms(Path(app.srcdir))

    def card(link: re.Match) -> str:
        """A link to a term, with what the theme shows of it under a pointer or the focus."""
        text = escape(terms[link[2]])
        return f'{link[0][:-1]} data-bs-toggle="tooltip" data-bs-title="{text}">'

    body = context["body"] if page == GLOSSARY else LINK.sub(card, context["body"])
    context["body"] = EMPTY_CELL.sub(r"<td\1></td>", EMPTY_HEAD.sub("", body))


def to_rest(app: Sphinx, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings of this package: a star is a star; what a module lists keeps its lines."""
    lines[:] = [line.replace("*", r"\*") for line in lines]
    if kind == "module":
        lines[:] = [re.sub(r":$", "::", line) for line in lines]


def add_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Puts MathJax where `mathjax_path` of the configuration looks for it."""
    copy_mathjax(Path(app.outdir, "_static", "mathjax"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", finish)
    app.connect("autodoc-process-docstring", to_rest, priority=100)  # before napoleon
    app.connect("build-finished", add_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
