"""The site and the slides in a browser: whole, open to everyone, without a network."""

import itertools
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect
from pypdf import PdfReader

from detr_steps.notebook.runner import read
from detr_steps.pages.prepared import is_folded
from detr_steps.pages.site import build_site
from detr_steps.pages.slides import slides_of

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
LESSONS = sorted(FOLDER.glob("*.ipynb")) + sorted((FOLDER / "beyond").glob("*.ipynb"))
NAMES = [path.relative_to(FOLDER).with_suffix("").as_posix() for path in LESSONS]
DECKS = [f"slides/{name}" for name in NAMES[:9]]
PAGES = ["index", *NAMES, "glossary", "teaching", "benchmarks/README", "steps", "search"]
IN_THE_DARK = ["index", NAMES[2], NAMES[4], NAMES[7], NAMES[9], "steps", "search"]  # all elements
REPOSITORY = "https://github.com/someone/detr_steps"


class QuietHandler(SimpleHTTPRequestHandler):
    """A server of files that says nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, with the slides in it."""
    out = tmp_path_factory.mktemp("site")
    assert build_site(FOLDER, out, slides=True) == ""
    return out


@pytest.fixture(scope="module")
def address(site):
    """Where a server gives out the site."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def visit(browser, address):
    """Opens a page of the site; fails in the end if it asked for what is missing, or elsewhere."""
    answers, contexts = [], []

    def visit(name, width=1280, scheme="light"):
        size = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("response", lambda answer: answers.append((answer.status, answer.url)))
        page.on("request", lambda request: answers.append((0, request.url)))
        page.goto(f"{address}/{name}.html")
        page.wait_for_function("!window.MathJax?.startup || MathJax.startup.promise")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [
        one for one in answers if one[0] >= 400 or not one[1].startswith((address, "data:"))
    ] == []


def text_of(site, name):
    return (site / f"{name}.html").read_text(encoding="utf-8")


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.parametrize(
    ("name", "scheme"),
    [(name, "light") for name in [*PAGES, "slides/index", DECKS[4]]]
    + [(name, "dark") for name in IN_THE_DARK],
)
def test_a_page_is_open_to_everyone(visit, name, scheme):
    options = {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(visit(name, scheme=scheme), options=options).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_telephone(visit, name):
    page = visit(name, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    cut = """code => code.filter(one => one.scrollWidth > one.clientWidth + 1).length"""
    assert page.locator(".bd-article pre").evaluate_all(cut) == 0


def test_every_page_has_a_title_of_its_own(site):
    titles = [re.search(r"<title>(.*?)</title>", text_of(site, name), re.S)[1] for name in PAGES]
    assert len(set(titles)) == len(PAGES) and not any("Notebook" in title for title in titles)


@pytest.mark.parametrize("path", LESSONS, ids=NAMES)
def test_the_page_of_a_notebook_is_whole(site, path):
    notebook, name = read(path), path.relative_to(FOLDER).with_suffix("").as_posix()
    article = re.search(r"<article.*</article>", text_of(site, name), re.S)[0]
    alts = re.findall(r'<img[^>]* alt="([^"]*)"', article)
    pictures = [one for one in outputs(notebook) if "image/png" in one.get("data", {})]
    assert len(alts) == article.count("<img") == len(pictures)
    assert all(len(alt) > 40 and "\\" not in alt for alt in alts)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert article.count("cell_input docutils") == len(code)
    assert article.count("Show the code") == sum(map(is_folded, code))


def test_the_first_page_leads_to_every_other(site):
    first = text_of(site, "index")
    assert all(f'href="{name}.html"' in first for name in PAGES[1:-1])
    assert 'src="_images/overview.png"' in first and 'href="slides/index.html"' in first


def test_pages_follow_one_another(site):
    for before, after in itertools.pairwise(NAMES):
        link = Path(after).name
        assert re.search(rf'class="right-next"\s+href="[^"]*{link}.html"', text_of(site, before))


def test_a_term_has_a_card(visit):
    page = visit("Step4_Encoder")
    page.locator("a", has_text="memory").first.focus()  # as by the keyboard
    meaning = "The tokens of the map after the encoder, [B, H'W', D]. The decoder attends to them."
    expect(page.get_by_role("tooltip")).to_have_text(meaning)


def test_the_reference_tells_shapes(visit):
    page = visit("steps")
    method = page.locator("#detr_steps\\.step2_queries_and_heads\\.Step2\\.predict").locator("..")
    expect(method).to_contain_text("[..., N, D]")


def test_the_search_finds_the_hungarian_matching(visit):
    page = visit("index")
    page.keyboard.press("Control+K")
    page.keyboard.type("Hungarian")
    page.keyboard.press("Enter")
    found = page.locator("#search-results li a")
    expect(found.filter(has_text="Step 7").first).to_be_visible()


def test_formulas_are_set_without_a_network(visit):
    formulas = visit("Step4_Encoder").locator("mjx-container")
    assert formulas.count() > 30
    assert visit("Step4_Encoder").locator(".bd-article").inner_text().count("$$") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_differences_have_colours(visit, scheme):
    page = visit("Step2_Queries_and_Heads", scheme=scheme)
    page.locator("summary", has_text="line by line").click()
    colours = """lines => new Set(lines.map(one => getComputedStyle(one).backgroundColor)).size"""
    changed = page.locator("ins, del")
    assert changed.count() > 10 and changed.evaluate_all(colours) == 2
    signs = changed.evaluate_all("lines => lines.map(one => one.tagName + one.innerText[0])")
    assert set(signs) == {"INS+", "DEL-"}


def test_a_listing_is_folded_and_opens(visit):
    page = visit("Step4_Encoder")
    listing = page.locator("details", has_text="The source of").first
    expect(listing.locator("pre")).to_be_hidden()
    listing.locator("summary").click()
    expect(listing.locator("pre")).to_contain_text("class TransformerEncoderLayer")


@pytest.mark.parametrize("name", ["Step4_Encoder", "Step7_Hungarian_Matching"])
def test_the_printed_page_holds_all_code(visit, name):
    pdf = PdfReader(BytesIO(visit(name).pdf(format="A4")))
    printed = re.sub(r"\s", "", "".join(page.extract_text() for page in pdf.pages))
    notebook = read(FOLDER / f"{name}.ipynb")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for output in outputs(notebook):
        shown = output.get("data", {}).get("text/markdown", "")
        code += re.findall(r"```python\n(.*?)```", shown, re.S)
    lines = [line for one in code for line in one.splitlines()]
    assert [line for line in lines if re.sub(r"\s", "", line) not in printed] == []


def test_with_an_address_pages_open_in_colab_and_link_to_the_project(tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "beyond").mkdir(parents=True)
    for name in ("Step0_ResNet_FPN.ipynb", "beyond/Train_and_Detect.ipynb"):
        (folder / name).write_text((FOLDER / name).read_text("utf-8"), "utf-8")
    problems = build_site(folder, tmp_path / "site", repository=REPOSITORY, branch="trunk")
    assert "already registered" not in problems  # by a site that this process made before
    page = text_of(tmp_path / "site", "Step0_ResNet_FPN")
    where = "someone/detr_steps/blob/trunk/notebooks/Step0_ResNet_FPN.ipynb"
    assert f"https://colab.research.google.com/github/{where}" in page
    page = text_of(tmp_path / "site", "beyond/Train_and_Detect")
    assert f'{REPOSITORY}/blob/trunk/detr_steps/training/shipped/README.md"' in page


def test_a_link_that_leads_nowhere_is_told(tmp_path):
    (tmp_path / "terms.md").write_text("# Terms\n\n[lost](nowhere.md)\n", encoding="utf-8")
    assert "nowhere.md" in build_site(tmp_path, tmp_path / "site")
    assert (tmp_path / "site" / "terms.html").exists()


@pytest.mark.parametrize("name", DECKS)
def test_nothing_of_a_slide_is_cut_off(visit, name):
    page = visit(name)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.wait_for_function("window.Reveal?.isReady()")
    count = page.evaluate("Reveal.getTotalSlides()")
    assert 8 <= count <= 14
    for number in range(count):
        page.evaluate(f"Reveal.slide({number})")
        page.wait_for_function("Reveal.getCurrentSlide().style.fontSize")
        inside = """() => [...Reveal.getCurrentSlide().children].every(one => {
            const { right, bottom } = one.getBoundingClientRect()
            return one.scrollWidth <= one.clientWidth + 1 && right <= 1280 && bottom <= 720
        })"""
        page.wait_for_function(inside)
        size = page.evaluate("parseInt(Reveal.getCurrentSlide().style.fontSize)")
        assert size >= 60


@pytest.mark.parametrize("path", LESSONS[:9], ids=NAMES[:9])
def test_slides_show_no_code_that_draws(path):
    slides = slides_of(read(path))
    parts = [re.sub(r"<[^>]+>", "", part) for slide in slides for part in slide.parts]
    assert not any(re.search(r"\bplt\.|drawing\.|axes\.", part) for part in parts)
    assert sum("<img" in part for slide in slides for part in slide.parts) >= 3
    for slide in slides:
        assert slide.title and re.sub(r"<[^>]+>", "", slide.parts[-1]).strip()[-1:] != ":"


def test_a_long_text_is_cut_to_its_first_sentences_and_said_in_full():
    long = "A first sentence. " + "More words follow. " * 60
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\n| **Afterwards you can** | do it |"),
        nbformat.v4.new_markdown_cell(f"## Head\n\n{long}\n\n- one item. Said.\n\n$$ x^2 $$"),
        nbformat.v4.new_code_cell("a = 1\nb = 2"),
        nbformat.v4.new_code_cell("c = 3\nd = 4"),
    ]
    for cell, kind in zip(cells[1:3], ("slide", "-"), strict=True):
        cell.metadata["slideshow"] = {"slide_type": kind}
    first, second = slides_of(nbformat.v4.new_notebook(cells=cells))
    assert first.title == "Title" and "do it" in first.parts[0]
    text, code = second.parts
    assert "A first sentence." in text and "More words" not in text and "\\[x^2\\]" in text
    assert "one item." in text and "Said." not in text
    assert "More words" in second.notes[0] and "Said." in second.notes[0]
    assert "b" in re.sub(r"<[^>]+>", "", code) and "c = 3" not in re.sub(r"<[^>]+>", "", code)
