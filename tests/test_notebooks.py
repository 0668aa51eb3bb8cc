"""The notebooks as they are stored: complete, executed, readable."""

import ast
import json
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import detr_steps
from detr_steps.notebook.runner import printed_lines, read

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BEYOND = sorted((ROOT / "notebooks" / "beyond").glob("*.ipynb"))
EVERY = pytest.mark.parametrize("path", NOTEBOOKS + BEYOND, ids=lambda path: path.stem)
EVERY_STEP = pytest.mark.parametrize("number", range(9))
MOST_CELLS, MOST_CODE = 36, 120  # of a page before "Your turn"; lines of code that stand open
WORDS = {"step": (700, 1300), "beyond": (700, 1500)}
HEADINGS = (
    "Why",
    "The code",
    "Run it",
    "Check it",
    "Common mistakes",
    "Key points",
    "Appendix",
)
SHAPE = "torch.Size([2, 100, {}])"
PREDICTIONS = f"class_logits={SHAPE.format(81)}, bbox_pred={SHAPE.format(4)}"
PYRAMID = ", ".join(f"torch.Size([2, 256, {n}, {n}])" for n in (160, 80, 40, 20))
LINES = {
    0: [f"Step 0: FPN outputs with shapes [{PYRAMID}]"],
    1: ["Step 1: Single feature map torch.Size([2, 256, 20, 20])"],
    2: [f"Step 2: {PREDICTIONS}"],
    3: ["Step 3: positional encoding added, pos_emb=torch.Size([2, 256, 20, 20])"],
    4: [f"Step 4: encoder applied, mem=torch.Size([2, 400, 256]), class_logits={SHAPE.format(81)}"],
    5: [f"Step 5: decoder applied, {PREDICTIONS}"],
    6: ["Step 6: 5 aux outputs", f"Output: {PREDICTIONS}"],
    7: ["Step 7: Matched [3, 2] queries per image"],
    8: ["Step 8: Loss = 85.0096"],
}


def load(number):
    return read(NOTEBOOKS[number])


def lesson_cells(notebook):
    """The cells before the exercises."""
    turn = [i for i, cell in enumerate(notebook.cells) if re.match("## Your turn", cell.source)]
    return notebook.cells[: turn[0] if turn else None]


def is_open(cell):
    return not cell.metadata.get("jupyter", {}).get("source_hidden")


def outputs(notebook):
    return [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]


def flat(code):
    return "\n".join(line.strip() for line in code.strip().splitlines())


def text(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_there_are_nine_and_three_that_go_on_from_them():
    assert [path.name[:6] for path in NOTEBOOKS] == [f"Step{i}_" for i in range(9)]
    names = ["Train_and_Detect", "What_Each_Part_Is_Worth", "Your_Own_Data"]
    assert [path.stem for path in BEYOND] == names


@EVERY
def test_every_code_cell_was_executed_in_order_without_error(path):
    notebook = read(path)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert [o for o in outputs(notebook) if o.output_type == "error"] == []
    assert [o for o in outputs(notebook) if o.get("name") == "stderr"] == []


@EVERY
def test_every_cell_that_prints_has_an_output(path):
    for cell in read(path).cells:
        if cell.cell_type == "code" and re.search(
            r"^\s*(print|lesson\.show|show_scoreboard|drawing\.show)\(", cell.source, re.M
        ):
            assert cell.outputs, cell.source


@EVERY
def test_a_page_is_short(path):
    notebook = read(path)
    cells = lesson_cells(notebook)
    words = [cell.source for cell in cells if cell.cell_type == "markdown"]
    code = [cell.source for cell in cells if cell.cell_type == "code" and is_open(cell)]
    least, most = WORDS["beyond" if path in BEYOND else "step"]
    assert len(cells) <= MOST_CELLS
    assert least <= len(re.findall(r"\b\w[\w'-]*\b", "\n".join(words))) <= most
    assert sum(bool(line.strip()) for one in code for line in one.splitlines()) <= MOST_CODE


@EVERY
def test_no_definition_is_shown_twice(path):
    shown = "\n".join(
        o.data["text/markdown"] for o in outputs(read(path)) if "text/markdown" in o.get("data", {})
    )
    defined = re.findall(r"^\+?(?:class|def) (\w+)", shown, re.M)
    assert sorted(set(defined)) == sorted(defined)


def test_numbers_are_printed_rather_than_verdicts():
    printed = "\n".join(
        o.text for number in range(9) for o in outputs(load(number)) if o.output_type == "stream"
    )
    assert len(re.findall(r"\b(?:True|False)$", printed, re.M)) < 25


@EVERY_STEP
def test_the_contract_line_stands_in_the_output(number):
    assert printed_lines(load(number)) == LINES[number]


@EVERY
def test_every_picture_has_alt_text(path):
    notebook = read(path)
    pictures = [o for o in outputs(notebook) if "image/png" in o.get("data", {})]
    assert len(pictures) >= (1 if path in BEYOND else 2)
    for picture in pictures:
        alt = picture.metadata["image/png"]["alt"]
        assert len(alt) > 40
        assert picture.data["text/plain"] == f"[picture: {alt}]"
    assert "![](" not in text(notebook)


@EVERY_STEP
def test_the_frame_of_a_lesson_is_there(number):
    words = text(load(number))
    for heading in HEADINGS:
        assert re.search(rf"^## {heading}", words, re.M), heading
    assert all(
        f"| **{row}** |" in words for row in ("You need", "Reading time", "Afterwards you can")
    )
    for other, path in enumerate(NOTEBOOKS):
        assert (f"**{other} " in words) if other == number else (f"]({path.name})" in words)
    if number < 8:
        assert f"**Next:** [Step {number + 1}" in words


@EVERY
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text(read(path))):
        assert link.startswith("https://") or (path.parent / link).exists(), link


@EVERY
def test_nothing_of_the_package_is_redefined(path):
    for cell in read(path).cells:
        if cell.cell_type == "code":
            defined = {
                node.name
                for node in ast.walk(ast.parse(cell.source))
                if isinstance(node, (ast.ClassDef, ast.FunctionDef))
            }
            assert not defined & set(detr_steps.__all__)


@EVERY
def test_the_shown_source_is_that_of_the_package(path):
    folder = Path(detr_steps.__file__).parent
    files = [flat(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")]
    shown = [
        o.data["text/markdown"] for o in outputs(read(path)) if "text/markdown" in o.get("data", {})
    ]
    code = [block for part in shown for block in re.findall(r"```python\n(.*?)\n```", part, re.S)]
    if path in NOTEBOOKS:
        assert any(f"class {path.name[:5]}(" in block for block in code)
    for block in code:
        for definition in re.split(r"\n\n+(?=class |def |@)", block):
            assert any(flat(definition) in file for file in files), definition


@EVERY
def test_no_path_of_a_machine_is_stored(path):
    stored = path.read_text(encoding="utf-8")
    assert str(ROOT) not in stored and str(Path.home()) + "/" not in stored
    metadata = json.loads(stored)["metadata"]
    assert metadata["kernelspec"]["name"] == "python3"
    assert metadata["language_info"] == {"name": "python"}


@EVERY
def test_no_picture_is_cut_off(path):
    for output in outputs(read(path)):
        if "image/png" in output.get("data", {}):
            picture = Image.open(BytesIO(b64decode(output.data["image/png"]))).convert("L")
            pixels = np.asarray(picture)
            edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
            assert all((edge > 250).all() for edge in edges), output.metadata["image/png"]["alt"]
