"""One deck of slides a step, made with reveal.js: `python -m detr_steps slides --help`.

A cell of a notebook is on a slide if its metadata say so, as JupyterLab's property inspector
writes them: `slideshow.slide_type` "slide" begins one, "-" adds to it. Headings begin slides, too;
where the last one says nothing of a slide, `slideshow.title` does.
Of a long text only the first sentence of each paragraph and each item of a list is shown; the
speaker's notes (key S) hold all of it. Code that is hidden or long is left out.
"""

import html
import re
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path

from jinja2 import Template
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from ..notebook.runner import read
from ..writing import check_folder, copy_file, copy_folder, write_text
from .mathjax import copy_mathjax
from .prepared import alt_text, is_folded, opening

HERE = Path(__file__).parent / "reveal"
SENTENCE = re.compile(r"(?<=[.!])\s+(?=[A-Z*$`\[])")  # the space after one; a question needs more
MOST_WORDS = 130  # of prose on a slide
MOST_LINES = 12  # of code
MOST_ROWS = 5  # of a table that a cell shows: the last ones
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\([^)]*\)")
PREDICT = re.compile(r"\*\*Predict[^*]*\*\*")
CODE = HtmlFormatter(style="xcode", noclasses=True, nobackground=True)


@dataclass
class Slide:
    """One slide: HTML, and what the lecturer says."""

    title: str
    parts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build_slides(folder: Path, out: Path) -> None:
    """Writes a deck for each step's notebook in a folder, as its outputs are stored.

    Args:
        folder: of the notebooks.
        out: folder for the decks; `index.html` lists them.

    Raises:
        OSError: the folder cannot be written: before any deck is made.
    """
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    template = Template((HERE / "deck.html.j2").read_text(encoding="utf-8"))
    decks = {}
    for path in sorted(folder.glob("Step*.ipynb")):
        slides = slides_of(read(path))
        decks[f"{path.stem}.html"] = slides[0].title
        page = template.render(title=slides[0].title, slides=slides)
        write_text(out / f"{path.stem}.html", page)
    index = Template((HERE / "index.html.j2").read_text(encoding="utf-8"))
    write_text(out / "index.html", index.render(decks=decks))
    copy_file(HERE / "deck.css", out / "deck.css")
    reveal = Path(import_module("sphinx_revealjs").__file__).parent / "_static" / "revealjs"
    for file in ("reveal.js", "reveal.css"):
        copy_file(reveal / "dist" / file, out / file)
    copy_folder(reveal / "plugin" / "notes", out / "notes")
    copy_mathjax(out / "mathjax")


def slides_of(notebook: NotebookNode) -> list[Slide]:
    """The slides of a notebook."""
    slides, title = [first_slide(notebook)], ""
    for cell in notebook.cells[1:]:
        wanted = cell.metadata.get("slideshow", {})
        kind, named = wanted.get("slide_type"), wanted.get("title")
        pieces = sections(cell.source) if cell.cell_type == "markdown" else []
        for heading, text in pieces:
            title = heading or title
            if kind is None or title == "Appendix":
                continue
            if heading or (kind == "slide" and len(pieces) == 1):
                slides.append(Slide(named or title))
            add_text(slides[-1], text, shown=bool(heading) or len(pieces) == 1)
        if cell.cell_type == "code" and kind is not None:
            if kind == "slide":
                slides.append(Slide(named or title))
            add_code(slides, cell)
    return slides


def first_slide(notebook: NotebookNode) -> Slide:
    """The title of a notebook, and what it says one can do after it."""
    top = opening(notebook)
    slide = Slide(top["title"])
    add_text(slide, f"**Afterwards you can** {top['Afterwards you can']}.")
    return slide


def sections(text: str) -> list[tuple[str, str]]:
    """A Markdown text as pairs of a heading and what follows it; the first may have none."""
    pieces = re.split(r"^#+ (.+)\n?", text, flags=re.M)
    pairs = [("", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
    return [(heading, body.strip()) for heading, body in pairs if heading or body.strip()]


def add_text(slide: Slide, text: str, shown: bool = True) -> None:
    """Adds Markdown to a slide, a long text without most of its prose, and all of it to its notes.

    What is not `shown` is only said.
    """
    text = PREDICT.sub("**Predict.**", LINK.sub(r"\1", text))
    renderer = MarkdownIt("commonmark").enable("table")
    dollarmath_plugin(renderer, renderer=formula)
    slide.notes.append(renderer.render(text))
    tokens = renderer.parse(text) if shown else []
    prose = [after for before, after in pairwise(tokens) if before.type == "paragraph_open"]
    if sum(len(token.content.split()) for token in prose) > MOST_WORDS:
        for token in prose:
            token.children = renderer.parseInline(lead(token.content))[0].children
    slide.parts.append(renderer.renderer.render(tokens, renderer.options, {}))


def lead(paragraph: str) -> str:
    """A paragraph's first sentence, and the bold words before it; all of a question to predict."""
    if paragraph.startswith("**Predict"):
        return paragraph
    bold, rest = re.match(r"(\*\*[^*]+\*\* ?)?(.*)", paragraph, re.S).groups()
    return (bold or "") + SENTENCE.split(rest, maxsplit=1)[0]


def formula(content: str, options: dict) -> str:
    """A formula as MathJax finds it."""
    left, right = ("\\[", "\\]") if options["display_mode"] else ("\\(", "\\)")
    return f"{left}{html.escape(content)}{right}"


def add_code(slides: list[Slide], cell: NotebookNode) -> None:
    """Adds a code cell: its code, and what it shows; to the first slide no table."""
    lines = len(cell.source.splitlines())
    asked = any("<strong>Predict" in part for part in slides[-1].parts)
    later = ' class="fragment"' if asked else ""  # shown when everyone has answered
    if not is_folded(cell) and 1 < lines <= MOST_LINES and "import " not in cell.source:
        slides[-1].parts.append(highlight(cell.source, PythonLexer(), CODE))
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            if any("<img" in part for part in slides[-1].parts):  # one picture a slide
                slides.append(Slide(slides[-1].title))
            alt = html.escape(alt_text(output))
            source = f"data:image/png;base64,{data['image/png']}"
            slides[-1].parts.append(f'<img{later} alt="{alt}" src="{source}">')
            slides[-1].notes.append(f"<p>{alt}</p>")
        elif output.output_type == "stream":
            slides[-1].parts.append(f"<pre{later}>{html.escape(output.text.rstrip())}</pre>")
        elif data.get("text/markdown", "").startswith("|") and len(slides) > 1:
            rows = [line for line in data["text/markdown"].splitlines() if line.startswith("|")]
            add_text(slides[-1], "\n".join([*rows[:2], *rows[2:][-MOST_ROWS:]]))
