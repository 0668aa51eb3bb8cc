"""The command line's options and their defaults, and what its functions do with what is given."""

import inspect
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import nbformat
import numpy as np
import pytest
import torch
import typer
from cli import accepted, refused
from PIL import Image, ImageDraw
from rich.console import Console
from test_coco import make
from typer.testing import CliRunner

from detr_steps import commands
from detr_steps.commands import (
    app,
    checkout_needed,
    chosen_kind,
    chosen_settings,
    copy_paths,
    draw_found,
    find_lessons,
    found_table,
    parse_size,
    plain_errors,
    result_table,
)
from detr_steps.training.detectors import load_detector
from detr_steps.training.scenes import Scenes
from detr_steps.training.trainer import PRESETS, Settings, Stopped

BEYOND_ZERO, ANY_NUMBER = (1, None), (0, None)
STUDY = {"steps": BEYOND_ZERO, "pretrain_steps": ANY_NUMBER, "scenes": BEYOND_ZERO}
SIDE = (32, 4096)
DEFAULTS = {  # of each command; an option that is not here has none
    "train": {"out": "runs/scenes", "scenes": 16000, "choose_scenes": 300, "seed": 0}
    | {"workers": 0, "precision": "no", "cpu": False},
    "data": {"out": "runs/data.png"},
    "evaluate": {"weights": "shipped", "scenes": 500, "split": "test", "seed": 0}
    | {"page": "runs/evaluation.html", "cpu": False},
    "detect": {"weights": "shipped", "threshold": 0.7, "out": "detections"},
    "export": {"weights": "official"},
    "run": {"out": "build", "save": False},
    "site": {"out": "build/site", "repository": "", "branch": "main"},
    "slides": {"out": "build/slides"},
    "overview": {},
    "gallery": {},
    "course": {"out": "build/course", "student": False},
    "grade": {"time_limit": 600, "memory_limit": "4G", "out": (Path("grades.csv"),)}
    | {"protection": "auto"},
    "ablations": {"seeds": 6, "steps": 1000, "pretrain_steps": 800, "scenes": 8000, "jobs": 1},
    "film": {"steps": 1500, "pretrain_steps": 1000, "scenes": 8000},
    "mutants": {"least": 0.97},
    "benchmarks": {"pairs": 5},
}
RANGES = {
    "train": {"side": SIDE, "queries": BEYOND_ZERO, "scenes": BEYOND_ZERO}
    | {"choose_scenes": BEYOND_ZERO, "steps": BEYOND_ZERO, "workers": ANY_NUMBER},
    "data": {"side": SIDE},
    "evaluate": {"scenes": BEYOND_ZERO},
    "detect": {"threshold": (0, 1)},
    "ablations": STUDY,
    "film": STUDY,
}


def options():
    """Of each command: its parameters with what typer knows of them."""
    for one in app.registered_commands:
        function = one.callback
        hints = get_type_hints(function, include_extras=True)
        known = inspect.signature(function).parameters.values()
        found = {p.name: (p, getattr(hints[p.name], "__metadata__", [None])[0]) for p in known}
        yield one.name or function.__name__, found


def test_each_option_has_the_default_that_is_told():
    found = {}
    for command, parameters in options():
        defaults = {name: one.default for name, (one, _) in parameters.items()}
        left_out = (None, inspect.Parameter.empty)
        found[command] = {
            name: value.as_posix() if isinstance(value, Path) else value
            for name, value in defaults.items()
            if value not in left_out
        }
    assert found == DEFAULTS


def test_each_number_has_its_range():
    found = {}
    for command, parameters in options():
        ranges = {
            name: (getattr(info, "min", None), getattr(info, "max", None))
            for name, (_, info) in parameters.items()
        }
        found[command] = {name: one for name, one in ranges.items() if one != (None, None)}
    assert {command: one for command, one in found.items() if one} == RANGES


def test_a_default_that_depends_on_the_model_is_told_for_each():
    known = dict(options())["train"]
    assert known["steps"][1].show_default == "small 9500, medium 3000, full 5000"
    assert known["lr"][1].show_default == "small 0.002, medium 0.001, full 0.0001"
    assert known["clip"][1].show_default == "0.1"
    assert commands.setting("clip").show_default == "0.1"
    assert commands.setting("batch_size", "help", min=1).show_default == "small 8, medium 8, full 4"


def test_without_a_command_the_help_is_shown():
    assert app.info.no_args_is_help is True
    assert app.pretty_exceptions_enable is False
    assert app.registered_commands[0].callback.__name__ == "train"


@pytest.mark.parametrize(("text", "size"), [("4G", 4 * 2**30), ("500M", 500 * 2**20), ("0M", 0)])
def test_a_size_is_a_number_with_its_unit(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["4", "4K", "G", "4 G", "4GB", "-4G", "1.5G"])
def test_a_size_without_its_unit_is_refused(text):
    with pytest.raises(typer.BadParameter, match=f'expected a size as "4G".*found "{text}"'):
        parse_size(text)


def test_errors_of_the_user_are_told_and_others_are_raised(capsys):
    for error in (ValueError("a [b]: c"), OSError("a [b]: c")):
        with pytest.raises(typer.Exit) as ended, plain_errors():
            raise error
        assert ended.value.exit_code == 1 and "error: a [b]: c" in capsys.readouterr().err
    with pytest.raises(KeyError), plain_errors():
        raise KeyError("a")
    for stop, code, said in (
        (KeyboardInterrupt(), 128 + signal.SIGINT, "stopped"),
        (Stopped("after step 3", signal.SIGTERM), 128 + signal.SIGTERM, "after step 3"),
    ):
        with pytest.raises(typer.Exit) as ended, plain_errors():
            raise stop
        assert ended.value.exit_code == code and capsys.readouterr().out.strip() == said


def test_a_long_error_stays_in_one_line(capsys):
    with pytest.raises(typer.Exit), plain_errors():
        raise ValueError("word " * 100)
    assert capsys.readouterr().err.count("\n") == 1


def test_only_the_folder_that_is_not_installed_is_missed():
    missing = ModuleNotFoundError("no", name="experiments")
    with (
        pytest.raises(ValueError, match=r"^experiments/ not found"),
        checkout_needed("experiments"),
    ):
        raise missing
    with pytest.raises(ModuleNotFoundError), checkout_needed("benchmarks"):
        raise missing


def test_notebooks_are_those_named_or_those_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks" / "beyond").mkdir(parents=True)
    for name in ("Step1", "Step0", "Other", "beyond/A"):
        (tmp_path / "notebooks" / f"{name}.ipynb").touch()
    steps = [Path("notebooks", f"Step{i}.ipynb") for i in (0, 1)]
    assert find_lessons(None) == find_lessons([]) == steps
    assert find_lessons(None, beyond=True) == [*steps, Path("notebooks/beyond/A.ipynb")]
    assert find_lessons([Path("x")], beyond=True) == [Path("x")]


def shown(table):
    """The rows of a table as they are printed."""
    console = Console(width=200)
    with console.capture() as text:
        console.print(table)
    return [[part.strip() for part in line.split("│")] for line in text.get().splitlines()]


def test_evaluations_are_shown_in_percent_with_their_step():
    scores = {key: 10.0 + i for i, key in enumerate(commands.METRICS)}
    scores[[*scores][-1]] = -1.0
    table = result_table([{"step": 5, **scores}, {"step": 10, **scores}], "a [title]")
    assert [column.header for column in table.columns] == ["step", *commands.METRICS.values()]
    assert {column.justify for column in table.columns} == {"right"}
    rows = [row for row in shown(table) if len(row) > 2 and row[1] in "5 10"]
    assert [row[1:3] for row in rows] == [["5", "10.0"], ["10", "10.0"]] and rows[0][-2] == "-"
    assert "a [title]" in shown(table)[0][0]
    assert [column.header for column in result_table([scores], "t").columns] == [
        *commands.METRICS.values()
    ]


GIVEN = {"images": None, "model": None, "start": None}


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "small"),
        ({"images": Path("a")}, "medium"),
        ({"model": "small", "images": Path("a")}, "small"),
        ({"model": "medium"}, "medium"),
        ({"model": "r50"}, "full"),
    ],
)
def test_a_model_is_that_which_is_named_or_that_of_the_data(options, kind):
    if "model" in options:
        options["model"] = commands.ModelName(options["model"])
    assert chosen_kind(GIVEN | options, None) == kind


def test_a_start_brings_its_model():
    start = load_detector("shipped")
    assert chosen_kind(GIVEN, start) == "small"
    with pytest.raises(ValueError, match=r"^model: expected none beside start, .* found r50"):
        chosen_kind(GIVEN | {"model": commands.ModelName.r50}, start)


def test_settings_are_those_given_and_else_those_of_the_model():
    assert chosen_settings(GIVEN, "medium") == PRESETS["medium"]
    given = GIVEN | {"steps": 7, "seed": 3, "lr": 0.0}
    assert chosen_settings(given, "small") == Settings(steps=7, seed=3, lr=0.0)
    assert chosen_settings(given | {"start": "shipped"}, "small").pretrain_steps == 0


def test_each_picture_has_a_copy_of_its_own(tmp_path):
    pictures = [Path("a/x.png"), Path("b/X.jpg"), Path("c/x.gif"), Path("y.png")]
    copies = [path.name for path in copy_paths(pictures, tmp_path)]
    assert copies == ["x.found.png", "X.found-2.png", "x.found-3.png", "y.found.png"]
    picture = tmp_path / "z.found.png"
    with pytest.raises(ValueError, match=r"^out: expected a folder where no picture lies"):
        copy_paths([tmp_path / "z.png", picture], tmp_path)
    assert copy_paths([tmp_path / "z.png"], tmp_path) == [picture]


FOUND = {
    "scores": torch.tensor([0.956, 0.5]),
    "labels": torch.tensor([1, 0]),
    "boxes": torch.tensor([[60.4, 20.6, 160, 120], [0, 5, 50, 55]]),
}


def test_detections_are_shown_with_class_score_and_corners():
    table = found_table(FOUND, ("a", "b"), "name [1]")
    assert [column.justify for column in table.columns] == ["left", *["right"] * 5]
    rows = [row[1:-1] for row in shown(table) if len(row) == 8]
    assert rows == [["b", "0.96", "60", "21", "160", "120"], ["a", "0.50", "0", "5", "50", "55"]]
    assert "name [1]: 2 objects" in shown(table)[0][0]


def test_detections_are_drawn_with_their_names_above_them():
    picture = Image.new("RGB", (200, 600))
    draw_found(picture, FOUND, ("a", "b"))
    drawn = np.asarray(picture)
    orange = (drawn == [0xD5, 0x5E, 0x00]).all(-1)
    for (x1, y1, x2, y2), top in (((60, 20, 160, 120), 9), ((0, 5, 50, 55), 0)):
        assert orange[y2, x1:x2].all() and orange[y1 + 15 : y2, x2].all()
        assert not orange[y2 - 1, x1 + 2 : x2 - 2].any()  # the line is one pixel wide
        name = drawn[top : top + 14, x1 : x1 + 35]
        assert name.min(-1).max() > 150  # white letters, on orange
        assert (name == [0xD5, 0x5E, 0x00]).all(-1).sum() > 50
    assert not orange[:9, 60:].any()
    wide = Image.new("RGB", (1000, 600))
    draw_found(wide, {key: value[:1] for key, value in FOUND.items()}, ("a", "b"))
    lines = (np.asarray(wide) == [0xD5, 0x5E, 0x00]).all(-1)
    assert lines[118:121, 90].all() and not lines[117, 90]  # three: a 200th of the shorter side


@pytest.fixture
def pages(monkeypatch):
    """What the site is asked for."""
    asked = []
    monkeypatch.setattr("detr_steps.pages.site.build_site", lambda *a, **k: asked.append((a, k)))
    return asked


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with two empty notebooks, in which a command is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks" / "beyond").mkdir(parents=True)
    for name in ("Step0", "beyond/A"):
        (tmp_path / "notebooks" / f"{name}.ipynb").touch()
    return tmp_path


def test_the_site_holds_slides_and_says_where_it_is(pages, project):
    said = accepted("site", "--repository=https://x.org", "--branch=b")
    address = {"repository": "https://x.org", "branch": "b"}
    assert pages == [((Path("notebooks"), Path("build/site")), address | {"slides": True})]
    assert "the pages are in build/site/: open build/site/index.html" in said
    assert "problems" not in said


def test_problems_of_the_pages_are_told(pages, project, monkeypatch):
    monkeypatch.setattr("detr_steps.pages.site.build_site", lambda *a, **k: "a lost link")
    assert "problems of the pages:\na lost link" in accepted("site")


def test_notebooks_are_run_once_and_their_pages_are_of_one_folder(pages, project, monkeypatch):
    asked = []

    def run_notebooks(paths, save):
        asked.append((paths, save))
        return {path: path.name for path in paths}

    monkeypatch.setattr("detr_steps.notebook.runner.run_notebooks", run_notebooks)
    accepted("run", "--save", "--out=out")
    paths = [Path("notebooks/Step0.ipynb"), Path("notebooks/beyond/A.ipynb")]
    assert asked == [(paths, True)]
    executed = {path: path.name for path in paths}
    assert pages == [((Path("notebooks"), Path("out")), {"executed": executed})]
    accepted("run", "notebooks/Step0.ipynb")
    assert asked[1] == (paths[:1], False)


@pytest.mark.parametrize("student", [True, False])
def test_a_course_is_written_for_students_or_for_both(project, monkeypatch, student):
    asked, kinds = [], ("student", "solved")
    monkeypatch.setattr("detr_steps.course.copies.write_course", lambda *a: asked.append(a))
    said = accepted("course", *(["--student"] if student else []))
    paths = [Path("notebooks/Step0.ipynb")]
    (call,) = asked
    assert call[:2] == (paths, Path("build/course"))
    assert [str(kind) for kind in call[2]][: 2 - student] == [*map(str, call[2])]
    assert len(call[2]) == (1 if student else len(kinds))
    assert ("1 notebooks in build/course/: student/, and its pages" in said) == student
    assert ("solved/, and pages of both" in said) == (not student)
    monkeypatch.setattr("detr_steps.course.copies.write_course", lambda *a: ["Step0: no"])
    assert "not passed in solved/:\n  Step0: no" in refused("course")


def test_an_evaluation_says_what_does_not_fit_together(tmp_path):
    assert "expected both or none" in refused("evaluate", "--images", tmp_path)
    assert "expected both or none" in refused("evaluate", "--annotations", tmp_path / "a.json")


@pytest.fixture
def looked(monkeypatch):
    """The data that a model is evaluated on; it is not."""
    found, scores = [], SimpleNamespace(scores=dict.fromkeys(commands.METRICS, 50.0))
    monkeypatch.setattr(commands, "find_out", lambda model, data, *_: found.append(data) or scores)
    monkeypatch.setattr(commands, "symptoms", lambda findings: [])
    monkeypatch.setattr("detr_steps.training.page.write_page", lambda page, *_: page.touch())
    return found


def test_what_an_evaluation_looks_at_is_what_was_asked_for(tmp_path, looked):
    page = tmp_path / "page.html"
    options = ["--scenes=7", "--split=choose", "--seed=3", "--page", page, "--cpu"]
    said = accepted("evaluate", *options)
    (data,) = looked
    assert isinstance(data, Scenes)
    assert (len(data), data.split, data.seed) == (7, "choose", 3)
    assert "shipped on 7 images" in said and str(page) in said.replace("\n", "")
    assert page.exists()


@pytest.mark.parametrize(
    ("out", "to", "kind"),
    [
        ("a.onnx", None, "onnx"),
        ("a", None, "folder"),
        ("a", "onnx", "onnx"),
        ("a.onnx", "huggingface", "folder"),
    ],
)
def test_an_export_is_of_the_kind_that_is_named_or_that_the_name_says(monkeypatch, out, to, kind):
    written = []
    monkeypatch.setattr(commands, "write_onnx", lambda *a: written.append(("onnx", a[1])))
    monkeypatch.setattr(commands, "write_folder", lambda *a: written.append(("folder", a[3])))
    said = accepted("export", out, "--weights=shipped", *([f"--to={to}"] if to else []))
    assert written == [(kind, Path(out))] and f"written: {out}" in said


def test_symptoms_are_told_line_by_line_and_stay_in_their_lines(capsys):
    words = "word " * 40
    found = [commands.Symptom(f"a [b] 1.5 {words}", "c", "d")] * 2
    page = Path(f"{words}/page.html")
    commands.print_symptoms(found, page)
    one = [f"a [b] 1.5 {words}", "  from: c", "  remedy: d"]
    assert capsys.readouterr().out.splitlines() == [*one, *one, f"page: {page}"]


def test_a_run_tells_its_minutes_and_what_was_best(capsys, monkeypatch):
    monkeypatch.setattr(commands.time, "perf_counter", lambda: 1090.0)
    history = [{"step": 5, **dict.fromkeys(commands.METRICS, 50.0)}]
    for main in (True, False):
        accelerator = SimpleNamespace(is_main_process=main)
        trainer = SimpleNamespace(history=history, accelerator=accelerator)
        commands.print_history(trainer, Path("out"), 1000.0)
        said = capsys.readouterr().out
        assert ("1.5 minutes; best weights: out/best.safetensors" in said) == main
        assert ("on the data to choose on" in said) == main


def test_new_parts_of_a_model_are_named(capsys):
    start = load_detector("shipped")
    for classes, new in ((start.classes, False), (("a", "star"), True)):
        data = SimpleNamespace(classes=classes, short_side=128)
        model = commands.chosen_model(start, "small", data, 16, seed=0)
        said = capsys.readouterr().out
        assert said.startswith("small model, ") and model.num_classes == len(classes)
        assert ("newly initialised, wholly or partly: class_head.weight" in said) == new


@pytest.mark.parametrize(("share", "code"), [(0.97, 0), (0.9699, 1), (1.0, 0)])
def test_too_many_mutants_that_pass_end_with_one(monkeypatch, share, code):
    monkeypatch.setattr("experiments.mutants.run_mutants", lambda only: share)
    assert CliRunner().invoke(app, ["mutants"]).exit_code == code


def test_slides_say_where_they_are(project, monkeypatch):
    asked = []
    monkeypatch.setattr("detr_steps.pages.slides.build_slides", lambda *given: asked.append(given))
    said = accepted("slides")
    assert said == "the slides are in build/slides/: open build/slides/index.html\n"
    assert asked == [(Path("notebooks"), Path("build/slides"))]


def test_problems_are_told_where_errors_are(project, monkeypatch, capsys):
    monkeypatch.setattr("detr_steps.pages.site.build_site", lambda *a, **k: "a lost link")
    commands.write_site(Path("a"), Path("b"))
    said = capsys.readouterr()
    assert "a lost link" in said.err and said.out == "the pages are in b/: open b/index.html\n"
    nbformat.write(nbformat.v4.new_notebook(), project / "notebooks" / "Step0.ipynb")
    result = CliRunner().invoke(app, ["grade", "notebooks", "--protection=none"])
    assert "No protection (switched off)." in result.stderr and "grading" in result.stderr
    assert "No protection" not in result.stdout and "grading" not in result.stdout
    assert "Step0.ipynb" in result.stdout and (project / "grades.csv").exists()


@pytest.mark.parametrize(
    ("side", "top", "above", "width"), [(200, 4, 0, 1), (200, 40, 29, 1), (300, 40, 29, 2)]
)
def test_a_name_stays_in_the_picture_and_a_line_has_a_width(side, top, above, width):
    picture = Image.new("RGB", (side, side))
    box = torch.tensor([[5.0, top, side - 5, side - 5]])
    one = {"scores": torch.ones(1), "labels": torch.zeros(1), "boxes": box}
    draw_found(picture, one, ("a",))
    orange = (np.asarray(picture) == [0xD5, 0x5E, 0x00]).all(-1)
    name = ImageDraw.Draw(picture).textbbox((5, above), "a 1.00")
    assert orange[:, 8].nonzero()[0].min() == name[1]
    assert orange[side - 20 :, side // 2].sum() == width


def test_detections_go_into_a_folder_that_is_made(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    out = tmp_path / "new" / "folder"
    said = accepted("detect", tmp_path / "a.png", "--out", out)
    assert (out / "a.found.png").exists() and "drawn in" in said


def test_an_evaluation_names_classes_that_the_model_does_not_know(tmp_path, looked):
    images, annotations = make(tmp_path, lambda data: data["categories"][0].update(name="star"))
    parts = ["--images", images, "--annotations", annotations, "--cpu"]
    said = accepted("evaluate", *parts, "--page", tmp_path / "page.html")
    assert "classes that the model does not know" in said
