"""The parts that pages and slides are made of: texts, code, pictures, links, configuration."""

import re
from base64 import b64encode
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from detr_steps.pages import finishing, site, slides
from detr_steps.pages.mathjax import FONTS, copy_mathjax
from detr_steps.pages.prepared import opening, outside_links, prepared, titled, with_title
from detr_steps.pages.slides import Slide, add_code, add_text, sections, slides_of

TOP = (
    "# Title\n\n| | |\n|---|---|\n| **Afterwards you can** | do it |\n| **Reading time** | 5 min |"
)


def code(source, kind=None, outputs=(), **metadata):
    """A code cell that is on a slide of this kind."""
    if kind is not None:
        metadata["slideshow"] = {"slide_type": kind}
    return new_code_cell(source, metadata=metadata, outputs=list(outputs))


def text(source, kind=None, title=None):
    """A text cell that is on a slide of this kind, which may be named."""
    cell = new_markdown_cell(source)
    if kind is not None:
        cell.metadata["slideshow"] = {"slide_type": kind} | ({"title": title} if title else {})
    return cell


def picture(alt, png=b"png"):
    """An output with a picture."""
    data = {"image/png": b64encode(png).decode(), "text/plain": "a picture"}
    return new_output("display_data", data, metadata={"image/png": {"alt": alt}})


def plain(parts):
    """The text of HTML."""
    return [re.sub(r"<[^>]+>", "", part).strip() for part in parts]


def slides_with(*cells):
    """Titles, shown texts and said texts of the slides after the first."""
    found = slides_of(new_notebook(cells=[new_markdown_cell(TOP), *cells]))
    assert found[0].title == "Title" and plain(found[0].parts) == ["Afterwards you can do it."]
    return [(one.title, plain(one.parts), plain(one.notes)) for one in found[1:]]


def test_a_text_falls_into_headings_and_what_follows_them():
    assert sections("before\n\n# A\nfirst\n\n## B\n\nsecond\n") == [
        *(("", "before"), ("A", "first"), ("B", "second"))
    ]
    assert sections("## A") == [("A", "")] and sections("  \n") == []
    assert sections("a # b") == [("", "a # b")]


def test_headings_begin_slides_and_cells_add_to_them():
    found = slides_with(
        text("## One\n\nfirst", "slide"),
        text("second", "-"),
        text("not on a slide"),
        text("## Other\n\nnot on a slide\n\n## Unseen\n\nnor this"),
        text("third", "slide"),
        text("fourth", "slide", "named"),
        code("a = 1\nb = 2", "-"),
        code("c = 3\nd = 4", "slide"),
        code("e = 5\nf = 6"),
    )
    assert found == [
        ("One", ["first", "second"], ["first", "second"]),
        ("Unseen", ["third"], ["third"]),
        ("named", ["fourth", "a = 1\nb = 2"], ["fourth"]),
        ("Unseen", ["c = 3\nd = 4"], []),
    ]


def test_a_cell_of_several_headings_shows_what_stands_below_them():
    """What stands before the first heading belongs to the slide before, and is said alone."""
    found = slides_with(text("## A\n\none", "slide"), text("rest\n\n## B\n\ntwo\n\n## C", "slide"))
    assert found == [
        ("A", ["one", ""], ["one", "rest"]),
        ("B", ["two"], ["two"]),
        ("C", [""], [""]),
    ]


def test_nothing_of_the_appendix_is_on_a_slide():
    assert slides_with(text("## Appendix\n\nmore", "slide"), text("still more", "slide")) == []


def test_the_first_sentence_leads_and_a_question_stays_whole():
    assert slides.lead("One. Two.") == "One."
    assert slides.lead("**Bold. Words.** One. Two. Three.") == "**Bold. Words.** One."
    assert slides.lead("**Bold.**") == "**Bold.**"
    assert slides.lead("**Predict.** One. Two.") == "**Predict.** One. Two."
    assert slides.lead("One, e.g. this: 1.5 of it! Two.") == "One, e.g. this: 1.5 of it!"


def test_a_text_of_as_many_words_as_fit_is_shown_whole():
    for count, whole in ((130, True), (131, False)):
        slide = Slide("title")
        add_text(slide, "First one. " + "Word. " * (count - 2))
        assert (plain(slide.parts)[0].count("ord") > 1) == whole
        assert plain(slide.notes)[0].count("ord") == count - 2
    slide = Slide("title")
    add_text(slide, "said", shown=False)
    assert slide.parts == [""] and plain(slide.notes) == ["said"]


def test_links_and_predictions_lose_what_a_slide_does_not_need():
    slide = Slide("title")
    add_text(slide, "**Predict, before you run it:** see [the page](a.md) and ![x](b.png).")
    assert "<strong>Predict.</strong> see the page and <img" in slide.parts[0]


def test_formulas_and_tables_are_written_for_mathjax_and_html():
    slide = Slide("title")
    add_text(slide, "$a < b$\n\n$$\nc > d\n$$\n\n| x | y |\n|---|---|\n| 1 | 2 |")
    assert r"\(a &lt; b\)" in slide.parts[0] and r"\[" in slide.parts[0]
    assert "<table>" in slide.parts[0] and "c &gt; d" in slide.parts[0]


@pytest.mark.parametrize(
    ("lines", "metadata", "shown"),
    [
        (1, {}, False),
        (2, {}, True),
        (12, {}, True),
        (13, {}, False),
        (2, {"jupyter": {"source_hidden": True}}, False),
    ],
)
def test_code_that_is_hidden_or_long_is_left_out(lines, metadata, shown):
    decks = [Slide("title")]
    add_code(decks, code("\n".join(f"a{i} = {i}" for i in range(lines)), **metadata))
    assert bool(decks[0].parts) == shown
    assert all("style=" in part and "class=" not in part[20:] for part in decks[0].parts)
    assert not any("background" in part for part in decks[0].parts)
    add_code(decks, code("import os\na = 1"))
    assert bool(decks[0].parts) == shown


def test_a_second_picture_gets_a_slide_of_its_own():
    decks = [Slide("first"), Slide("second"), Slide("title", ["<p>text</p>"])]
    printed = new_output("stream", text="printed")
    add_code(decks, code("a", outputs=[picture("a <cat>"), picture("b"), printed]))
    assert [one.title for one in decks] == ["first", "second", "title", "title"]
    assert decks.pop(1).parts == [] and decks[2].parts.pop() == "<pre>printed</pre>"
    image = f'<img alt="a &lt;cat&gt;" src="data:image/png;base64,{b64encode(b"png").decode()}">'
    assert decks[1].parts[1] == image and decks[1].notes == ["<p>a &lt;cat&gt;</p>"]
    assert decks[2].notes == ["<p>b</p>"] and len(decks[2].parts) == 1


def test_answers_come_after_the_question():
    printed = new_output("stream", name="stdout", text="1 < 2\n\n")
    for start, later in (("<strong>Predict.</strong>", ' class="fragment"'), ("text", "")):
        decks = [Slide("first"), Slide("title", [start])]
        add_code(decks, code("a", outputs=[printed, picture("b")]))
        assert decks[1].parts[1] == f"<pre{later}>1 &lt; 2</pre>"
        assert decks[1].parts[2].startswith(f'<img{later} alt="b"')


def test_a_table_shows_its_last_rows_and_none_on_the_first_slide():
    rows = ["| n |", "|---|", *(f"| {i} |" for i in range(8)), "", "a note"]
    table = new_output("display_data", {"text/markdown": "\n".join(rows)})
    note = new_output("display_data", {"text/markdown": "*a caption*"})
    decks = [Slide("first"), Slide("title")]
    add_code(decks, code("a", outputs=[table, note]))
    assert re.findall(r"<t[dh]>(.*?)</t[dh]>", decks[1].parts[0]) == ["n", *"34567"]
    assert len(decks[1].parts) == 1 and "note" not in decks[1].parts[0]
    table = new_output("display_data", {"text/markdown": "\n".join(rows[:4])})
    add_code(decks, code("a", outputs=[table]))
    assert re.findall(r"<t[dh]>(.*?)</t[dh]>", decks[1].parts[1]) == ["n", "0", "1"]
    decks = [Slide("first")]
    add_code(decks, code("a", outputs=[table]))
    assert decks[0].parts == []


def test_decks_are_written_with_all_that_they_load(tmp_path):
    folder, out = tmp_path / "notebooks", tmp_path / "new" / "slides"
    folder.mkdir()
    for name in ("Step1_B", "Step0_A", "Other"):
        top = TOP.replace("Title", f"The title of {name}")
        cells = [new_markdown_cell(top), text("## Head\n\nword", "slide")]
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    for _ in range(2):  # over what is there
        slides.build_slides(folder, out)
    assert sorted(path.name for path in out.glob("*.html")) == [
        *("Step0_A.html", "Step1_B.html", "index.html")
    ]
    index = (out / "index.html").read_text("utf-8")
    assert index.index("Step0_A.html") < index.index("Step1_B.html")
    assert "The title of Step0_A" in index and "Head" not in index
    page = (out / "Step0_A.html").read_text("utf-8")
    assert "<title>The title of Step0_A" in page and "word" in page
    for file in ("deck.css", "reveal.js", "reveal.css", "notes", "mathjax"):
        assert (out / file).exists() and (file in page or file == "notes")


def test_mathjax_comes_with_its_fonts(tmp_path):
    copy_mathjax(tmp_path / "mathjax")
    assert (tmp_path / "mathjax" / "tex-chtml.js").stat().st_size > 100_000
    assert list((tmp_path / "mathjax" / FONTS).glob("*.woff"))


def test_pictures_become_files_and_folded_code_is_marked(tmp_path):
    notebook = new_notebook(
        cells=[
            new_markdown_cell(f"{TOP}\n\n[code](../detr_steps/reading.py)"),
            code("a", outputs=[new_output("stream", text="b"), picture("a [cat]")]),
            code("c", jupyter={"source_hidden": True}, tags=["question"]),
            code("d", jupyter={"source_hidden": False}),
        ]
    )
    for _ in range(2):
        copy = prepared(notebook, tmp_path / "new", "Step0", "https://x.org")
    assert "[code](https://x.org/detr_steps/reading.py)" in copy.cells[0].source
    (file,) = (tmp_path / "new" / "pictures").iterdir()
    assert file.name == "Step0-1-1.png" and file.read_bytes() == b"png"
    data = copy.cells[1].outputs[1].data
    assert data["text/markdown"] == rf"![a \[cat\]](pictures/{file.name})"
    assert "image/png" not in data and "image/png" in notebook.cells[1].outputs[1].data
    assert [cell.metadata.get("tags") for cell in copy.cells] == [
        *(None, None, ["question", "hide-input"], None)
    ]
    assert notebook.cells[2].metadata.tags == ["question"]


def test_a_page_has_its_own_title_or_its_name():
    notebook = new_notebook(cells=[new_markdown_cell(TOP)])
    assert titled(notebook, "name") is notebook
    for cells in ([], [new_markdown_cell("no title")]):
        found = titled(new_notebook(cells=cells), "name").cells
        assert [cell.source for cell in found] == ["# name", *(cell.source for cell in cells)]
    assert with_title("# A\n\nb", "name") == "# A\n\nb"
    assert with_title("b", "name") == "# name\n\nb"
    assert opening(notebook) == {
        "title": "Title",
        "Afterwards you can": "do it",
        "Reading time": "5 min",
    }


def test_links_to_the_projects_files_lead_to_the_web_or_nowhere():
    line = "[a](../detr_steps/b.py) [c](../../benchmarks/d.md) [e](Step1.ipynb) [f](../README.md)"
    rest = "[e](Step1.ipynb) [f](../README.md)"
    there = "[a](x/detr_steps/b.py) [c](x/benchmarks/d.md)"
    assert outside_links(line, "x") == f"{there} {rest}"
    assert outside_links(line, "") == f"a c {rest}"


def test_buttons_of_a_page_need_the_projects_address():
    assert site.settings("T", "", "main") == {"project": "T", "html_title": "T"}
    options = site.settings("T", "https://github.com/a/b", "trunk")
    named = {name.rpartition(".")[2]: value for name, value in options.items()}
    assert named["repository_url"] == "https://github.com/a/b"
    assert named["repository_branch"] == "trunk" and named["path_to_docs"] == "notebooks"
    assert named["use_repository_button"] is True
    assert set(named["launch_buttons"]) == {"colab_url", "binderhub_url"}


def test_texts_and_pictures_beside_the_notebooks_are_copied(tmp_path):
    folder, place = tmp_path / "folder", tmp_path / "new" / "place"
    folder.mkdir()
    (folder / "b.md").write_text("[a](../detr_steps/c.py)", "utf-8")
    (folder / "a.md").write_text("# A", "utf-8")
    (folder / "p.png").write_bytes(b"png")
    (folder / "other.txt").write_text("x")
    for _ in range(2):
        found = list(site.write_texts(folder, place, "x"))
    assert [path.name for path in found] == ["a.md", "b.md"]
    assert sorted(path.name for path in place.iterdir()) == ["a.md", "b.md", "p.png"]
    assert (place / "b.md").read_text("utf-8") == "# b\n\n[a](x/detr_steps/c.py)"


def test_lessons_are_those_of_the_steps_and_then_those_beyond(tmp_path):
    folder, source = tmp_path / "folder", tmp_path / "new" / "source"
    (folder / "beyond").mkdir(parents=True)
    for name in ("beyond/A", "Step1", "Step0"):
        nbformat.write(new_notebook(cells=[new_markdown_cell(TOP)]), folder / f"{name}.ipynb")
    other = new_notebook(cells=[new_markdown_cell("# Another")])
    for _ in range(2):
        lessons = site.write_lessons(folder, source, {folder / "Step1.ipynb": other}, "")
    assert [(one["name"], one["beyond"], one["title"]) for one in lessons] == [
        *(("Step0", False, "Title"), ("Step1", False, "Another"), ("beyond/A", True, "Title"))
    ]
    assert (source / "beyond" / "A.ipynb").exists()
    assert nbformat.read(source / "Step1.ipynb", 4).cells[0].source == "# Another"
    content = {"title": "T", "lessons": lessons, "texts": ["terms"], "slides": False}
    site.write_index(source, **content)
    index = (source / "index.md").read_text("utf-8")
    assert "overview.png" not in index and index.startswith("# T\n") and "\n\n\n\n\n" not in index
    assert (source / "steps.rst").exists() and "deck of slides" not in index
    (source / "overview.png").write_bytes(b"")
    site.write_index(source, **content | {"slides": True})
    index = (source / "index.md").read_text("utf-8")
    assert "(overview.png)" in index and "deck of slides" in index


def test_a_term_of_the_glossary_gets_a_card_but_on_its_own_page(tmp_path):
    entries = "# G\n\n### a term\n\nWhat *it* [is](x.md), `b` & c. Met in [Step 1](y.md).\n"
    (tmp_path / "glossary.md").write_text(entries, encoding="utf-8")
    link = '<a class="reference internal" href="../glossary.html#a-term">'
    app = SimpleNamespace(srcdir=tmp_path)
    assert finishing.read_terms(tmp_path) == {"a-term": "What it is, b & c."}
    assert finishing.read_terms(tmp_path / "none") == {}
    for page, card in (("Step1", True), ("glossary", False)):
        context = {"body": f"<p>{link}a term</a></p>"}
        finishing.finish(app, page, "", context, None)
        shown = f'{link[:-1]} data-bs-toggle="tooltip" data-bs-title="What it is, b &amp; c.">'
        assert context["body"] == f"<p>{shown if card else link}a term</a></p>"
    empty = {}
    finishing.finish(app, "search", "", empty, None)
    assert empty == {}


def test_tables_lose_empty_heads_and_empty_headers_become_cells(tmp_path):
    head = '<thead><tr class="a"><th class="b"><p></p></th>\n<th></th></tr></thead>'
    row = '<tbody><tr><th class="c"><p></p></th><th>1</th></tr></tbody>'
    context = {"body": head + row}
    finishing.finish(SimpleNamespace(srcdir=tmp_path), "Step1", "", context, None)
    assert context["body"] == '<tbody><tr><td class="c"></td><th>1</th></tr></tbody>'


def test_docstrings_keep_their_stars_and_the_lines_of_a_module():
    for kind, expected in (("module", [r"a \* b", "names::"]), ("class", [r"a \* b", "names:"])):
        lines = ["a * b", "names:"]
        finishing.to_rest(None, kind, "", None, None, lines)
        assert lines == expected


def test_sphinx_may_read_and_write_several_pages_at_a_time(tmp_path):
    connected = {}
    app = SimpleNamespace(
        connect=lambda event, function, priority=500: connected.update({event: priority}),
        outdir=tmp_path,
    )
    safe = finishing.setup(app)
    assert safe == {"parallel_read_safe": True, "parallel_write_safe": True}
    assert connected["autodoc-process-docstring"] < 500 and len(connected) == 3
    finishing.add_mathjax(app, None)
    assert (Path(tmp_path) / "_static" / "mathjax" / "tex-chtml.js").exists()


@pytest.mark.parametrize("wanted", [True, False])
def test_slides_go_with_a_site_where_they_are_wanted(tmp_path, monkeypatch, wanted):
    ran, decks = [], []
    monkeypatch.setattr(site, "run_sphinx", lambda *given: ran.append(given) or "problems")
    monkeypatch.setattr(site, "build_slides", lambda *given: decks.append(given))
    folder, out = tmp_path / "notebooks", tmp_path / "out"
    folder.mkdir()
    nbformat.write(new_notebook(cells=[new_markdown_cell(TOP)]), folder / "Step0.ipynb")
    said = site.build_site(folder, out, repository="https://x.org/", slides=wanted)
    assert said == "problems" and decks == ([(folder, out / "slides")] if wanted else [])
    source, _, place, changes = ran[0]
    assert source.name == "source" and place == out
    assert changes["html_theme_options.repository_url"] == "https://x.org/"
