"""What the pages show of their step, their maps and explorers, is what the package shows now."""

import ast
import re
from base64 import b64decode
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pixels import is_redrawn

from detr_steps.notebook import drawing, explorers, lesson, scoreboard
from detr_steps.notebook.runner import read
from detr_steps.notebook.scene import load_scene
from detr_steps.training.detectors import load_detector
from detr_steps.training.scenes import Scenes

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("Step*.ipynb"))
BOTH = ("first", "second")
BARE = [(7, "losses", {}), (7, "matching", {})]  # explorers without a model


@pytest.fixture
def displayed(monkeypatch):
    """Everything that is displayed, as (kind, content) of its richest part."""
    found = []

    def display(shown, **_):
        data = shown if isinstance(shown, dict) else {type(shown).__name__: shown.data}
        kinds = ("image/png", "Markdown", "HTML")
        found.extend((kind, data[kind]) for kind in kinds if kind in data)

    for module in (drawing, lesson, scoreboard):
        monkeypatch.setattr(module, "display", display)
    return found


def stored(number: int, code: str) -> list[tuple[str, str]]:
    """What a notebook has stored below the cell that holds this code, as `displayed` has it."""
    names = {"image/png": "image/png", "text/markdown": "Markdown", "text/html": "HTML"}
    (cell,) = (cell for cell in read(NOTEBOOKS[number]).cells if code in cell.source)
    data = [output.data for output in cell.outputs if "data" in output]
    return [(names[kind], part[kind]) for part in data for kind in names if kind in part]


def assert_same(found: list, expected: list) -> None:
    """The same texts, and the same pictures but for a few pixels."""
    assert [kind for kind, _ in found] == [kind for kind, _ in expected]
    for (kind, new), (_, old) in zip(found, expected, strict=True):
        if kind == "image/png":
            assert is_redrawn(b64decode(old), new)
        else:
            assert new == old


EVERY_STEP = pytest.mark.parametrize("number", range(9))


@EVERY_STEP
def test_the_map_of_the_steps_is_the_stored_one(displayed, number):
    lesson.show_map(number)
    assert_same(displayed, stored(number, f"lesson.show_map({number})")[:1])


@EVERY_STEP
def test_the_scoreboard_is_the_stored_one(displayed, number):
    scoreboard.show_scoreboard(number)
    assert displayed[0] in stored(number, f"show_scoreboard({number})")
    displayed.clear()
    scoreboard.show_scoreboard(number, filled=True)
    assert_same(displayed, stored(number, f"show_scoreboard({number}, filled=True)"))


@EVERY_STEP
def test_the_source_and_what_it_changes_are_the_stored_ones(displayed, number):
    (cell,) = (c for c in read(NOTEBOOKS[number]).cells if "lesson.show_source(" in c.source)
    names = [one.id for one in ast.parse(cell.source).body[0].value.args]
    module = import_module(lesson.STEPS[number].__module__)
    lesson.show_source(*(getattr(module, name) for name in names))
    assert_same(displayed, stored(number, "lesson.show_source("))


@EVERY_STEP
def test_the_appendix_is_the_stored_one(displayed, number):
    expected = stored(number, "lesson.show_appendix(")
    shape = re.search(rf"`Step{number}` on \[([\d, ]+)\]", expected[1][1])
    sizes = map(int, shape[1].split(",")) if shape else (1, 3, 128, 128)  # it adds no module
    lesson.show_appendix(number, torch.zeros(*sizes))
    assert_same(displayed, expected)


@pytest.fixture(scope="module")
def images():
    """The scene of the series, and twenty others."""
    scenes, (image, _) = Scenes(32, "test"), load_scene()
    return torch.cat([image, torch.stack([scenes[i][0] for i in range(20)])])


BOXES = [(f"{box} {name}", 0.05, 0.95) for name in explorers.COORDINATES for box in BOTH]
START = [0.3, 0.75, 0.35, 0.5, 0.25, 0.35, 0.4, 0.3]  # cx of both, cy of both, w, h
CONTROLS = {
    "encoder": [("image", 0, 20, 0), ("layer", 1, 3, 3), ("row", 0, 15, 14), ("column", 0, 15, 4)],
    "decoder": [("image", 0, 20, 0), ("query", 0, 15, 8)],
    "losses": [(*one, value) for one, value in zip(BOXES, START, strict=True)],
    "matching": [
        (f"q{i}, {name}", -20, 20, value)
        for i, row in enumerate(explorers.COSTS)
        for name, value in zip("ABC", row, strict=True)
    ],
}


@pytest.mark.parametrize(
    ("number", "name", "options"),
    [(4, "encoder", {"cell": (14, 4)}), (6, "decoder", {"query": 8}), *BARE],
)
def test_an_explorer_begins_as_it_is_stored(displayed, monkeypatch, images, number, name, options):
    shown, widgets, raw = [], [], []

    def capture(figure, alt):
        drawing.show(figure, alt)
        shown.extend([displayed.pop(-2), displayed.pop()])
        (_, png), (_, caption) = shown
        metadata = {"image/png": {"alt": alt}}
        picture = SimpleNamespace(data={"image/png": png}, metadata=metadata)
        return picture, SimpleNamespace(data={"text/markdown": caption}, metadata={})

    monkeypatch.setattr(explorers, "capture", capture)
    monkeypatch.setattr(explorers, "display", lambda one, **o: widgets.append(one) or raw.append(o))
    given = (load_detector("shipped"), images) if options else ()
    getattr(explorers, f"explore_{name}")(*given, **options)
    assert_same(shown, stored(number, f"explore_{name}("))
    grid, picture, caption = widgets
    controls = [(one.description, one.min, one.max, one.value) for one in grid.children]
    assert controls == CONTROLS[name]
    assert {getattr(one, "step", 1) for one in grid.children} <= {1, 0.05, None}
    assert [one.get("raw") for one in raw] == [None, True, True]
    assert picture["image/png"] and caption["text/markdown"] == shown[1][1]
    assert all("application/vnd.jupyter.widget-view+json" in one for one in (picture, caption))


def test_the_middle_cell_is_asked_where_none_is_named(displayed, monkeypatch, images):
    drawn = []
    monkeypatch.setattr(
        explorers,
        "explore",
        lambda draw, controls: drawn.append({k: controls[k].value for k in controls}),
    )
    explorers.explore_encoder(load_detector("shipped"), images, index=2)
    assert drawn == [{"index": 2, "layer": 3, "row": 8, "column": 8}]
