"""The teacher's side: copies for students, copies with the solutions, and grading."""

import csv
import inspect
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest
from attempts import ATTEMPTS
from cli import accepted, refused
from nbformat import v4

from detr_steps.course.copies import solve, student_copy, write_course
from detr_steps.course.grading import (
    ending,
    find_exercises,
    find_notebooks,
    grade_notebook,
    grade_rows,
)
from detr_steps.course.submission import read_results, save_results
from detr_steps.exercises import check
from detr_steps.exercises.catalogue import TASKS
from detr_steps.exercises.questions import QUESTIONS
from detr_steps.notebook.runner import execute

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("Step*.ipynb"))
SETUP = "import torch\nfrom detr_steps.exercises import check\nfrom detr_steps.exercises import ask"
STUB = "def my_corners(boxes):\n    ..."
EXERCISE = {"attempt": "my_corners", "solution": "box_cxcywh_to_xyxy"}
PICTURE = """\
import matplotlib.pyplot as plt
from detr_steps.notebook import drawing
drawing.show(plt.figure(figsize=(1, 1)), "an empty square")"""
RIGHT = """\
def my_corners(boxes):
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], -1)"""


def code(source, *tags, **metadata):
    return v4.new_code_cell(source, metadata={"tags": list(tags), **metadata})


def exercise(source):
    return code(source, "exercise", exercise=EXERCISE)


def save(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=list(cells)), path)
    return path


def lesson(path):
    """A small lesson with everything that a course has to treat."""
    text = "[other](Other.ipynb) [terms](terms.md#iou) [far](../far.md) [web](https://a.b/c.md)"
    return save(
        path,
        v4.new_markdown_cell(text),
        code(SETUP),
        v4.new_code_cell(
            "from detr_steps.notebook.lesson import show_source\n"
            "from detr_steps import box_cxcywh_to_xyxy\n"
            "show_source(box_cxcywh_to_xyxy)",
            metadata={"tags": ["spoiler"]},
            execution_count=2,
            outputs=[v4.new_output("stream", text="centre - size / 2")],
        ),
        code(PICTURE),
        exercise(STUB),
        code('check(my_corners, "box_cxcywh_to_xyxy")', "check"),
        code('ask("7.1", answer=None)', "question"),
    )


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    path = lesson(folder / "Step7_small.ipynb")
    (folder / "terms.md").write_text("[lesson](Step7_small.ipynb) [gone](gone.md)", "utf-8")
    assert write_course([path], folder / "out") == []
    return folder / "out"


def read(path):
    return nbformat.read(path, as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_a_student_copy_has_no_output_and_no_spoiler(course):
    student = read(course / "student" / "Step7_small.ipynb")
    nbformat.validate(student)
    cells = [cell for cell in student.cells if cell.cell_type == "code"]
    assert all(cell.execution_count is None and cell.outputs == [] for cell in cells)
    assert not any("spoiler" in cell.metadata.get("tags", []) for cell in student.cells)
    everything = (course / "student" / "Step7_small.ipynb").read_text("utf-8")
    assert "show_source" not in everything and "centre - size" not in everything
    assert [cell.source for cell in cells] == [
        SETUP,
        PICTURE,
        STUB,
        'check(my_corners, "box_cxcywh_to_xyxy")',
        'ask("7.1", answer=None)',
    ]
    assert cells[2].metadata == {"tags": ["exercise"], "exercise": EXERCISE}


def test_a_solved_copy_holds_the_packages_source_and_passes(course):
    solved = read(course / "solved" / "Step7_small.ipynb")
    cells = {cell.metadata.get("tags", [""])[0]: cell for cell in solved.cells[4:]}
    source = inspect.getsource(TASKS["box_cxcywh_to_xyxy"].solution)
    assert cells["exercise"].source.endswith(source.split("(", 1)[1].rstrip())
    assert "def my_corners(boxes: Tensor)" in cells["exercise"].source
    assert "my_corners: passed." in cells["check"].outputs[0].data["text/plain"]
    assert cells["question"].source == f'ask("7.1", answer="{QUESTIONS["7.1"].right}")'
    assert "is right" in cells["question"].outputs[0].data["text/plain"]
    assert len(solved.cells) == 7


def test_links_lead_somewhere_in_every_copy(course):
    for kind in ("student", "solved"):
        text = read(course / kind / "Step7_small.ipynb").cells[0].source
        assert text == "other [terms](terms.md#iou) far [web](https://a.b/c.md)"
        assert (course / kind / "terms.md").read_text("utf-8") == "[lesson](Step7_small.ipynb) gone"
        pages = course / "html" / kind
        assert 'href="terms.html#iou"' in (pages / "Step7_small.html").read_text("utf-8")
        assert 'href="Step7_small.html"' in (pages / "terms.html").read_text("utf-8")


def test_pages_show_pictures_with_alternative_text(course):
    assert any(
        "image/png" in output.get("data", {})
        for output in outputs(read(course / "solved" / "Step7_small.ipynb"))
    )
    page = (course / "html" / "solved" / "Step7_small.html").read_text("utf-8")
    assert re.findall(r'<img alt="([^"]*)"', page) == ["an empty square"]
    assert "<img" not in (course / "html" / "student" / "Step7_small.html").read_text("utf-8")


@pytest.mark.parametrize("name", TASKS)
def test_every_solution_runs_outside_of_its_module(name):
    kind = "class" if inspect.isclass(TASKS[name].solution) else "def"
    stub = f"# yours\n{kind} Mine{'' if kind == 'class' else '()'}:\n    ...\nafter = True"
    namespace = {}
    exec(solve(stub, "Mine", name), namespace)
    assert namespace["after"] and namespace["Mine"].__name__ == "Mine"
    assert check(namespace["Mine"], name).passed


def test_what_does_not_pass_is_listed(tmp_path):
    path = save(
        tmp_path / "Step7_small.ipynb",
        code(SETUP),
        exercise(STUB),
        code("del my_corners"),
        code('ask("7.1", answer="?")', "question"),
    )
    broken = save(tmp_path / "Step8_small.ipynb", code("1 / 0"))
    printed = refused("course", path, broken, "--out", tmp_path / "out")
    assert [line.strip() for line in printed.splitlines() if line.startswith("  ")] == [
        "Step7_small: box_cxcywh_to_xyxy: error: my_corners is not defined",
        "Step7_small: question 7.1: wrong",
        "Step8_small: ZeroDivisionError: division by zero",
    ]


CORNERS = "box_cxcywh_to_xyxy"
LEAVE = """\
import subprocess, sys
from pathlib import Path
command = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(command, start_new_session=True)
Path({folder!r}, str(child.pid)).touch()"""
MANY = (  # attempt, what it stands for, source
    ("my_corners", CORNERS, RIGHT),
    ("my_iou", "box_iou", ATTEMPTS["box_iou"][0].replace(".clamp(min=0)", "")),
    ("my_giou", "generalized_box_iou", "def my_giou(boxes1, boxes2):\n    ..."),
    ("my_loss", "giou_loss", "def my_loss(boxes1, boxes2)\n    ..."),
    ("MyStep1", "Step1", "MyStep1 = 1"),
)


def write_submissions(folder, pids):
    """Notebooks, good and bad ones; the hanging and the crashing one leave processes behind."""
    leave = code(LEAVE.format(folder=str(pids)))
    attempts = [
        code(source, exercise={"attempt": attempt, "solution": solution})
        for attempt, solution, source in MANY
    ]
    questions = [
        code(f'ask("7.1", answer="{QUESTIONS["7.1"].right}")'),
        code('ask("7.2", answer=None)'),
        code('ask("7.3", "none of these")'),
    ]
    unknown = code("", exercise={"attempt": "a", "solution": "b"})
    save(folder / "Ada" / "homework.ipynb", code(SETUP), *questions, code("1 / 0"), *attempts)
    save(
        folder / "crashes.ipynb", leave, code("import ctypes; ctypes.string_at(0)"), exercise(STUB)
    )
    save(folder / "eats.ipynb", code("a = []\nwhile True: a.append(b'x' * 2**26)"), exercise(STUB))
    save(folder / "ends.ipynb", code("import os; os._exit(0)"), exercise(STUB))
    hang = code("import time; time.sleep(900)")
    save(folder / "Bob" / "hangs.ipynb", leave, hang, exercise(STUB))
    save(folder / "lecture.ipynb", code("1 / 0"))
    save(folder / "unknown.ipynb", unknown)
    (folder / "words.ipynb").write_text("[red]not JSON[/blue]")
    (folder / "json.ipynb").write_text('{"cells": 1}')
    save(folder / ".ipynb_checkpoints" / "copy.ipynb")


def test_every_notebook_costs_only_its_own_row(tmp_path):
    folder, pids = tmp_path / "submissions", tmp_path / "pids"
    pids.mkdir()
    write_submissions(folder, pids)
    paths = find_notebooks(folder)
    with ThreadPoolExecutor(2) as pool:  # only what hangs is stopped by its time
        limits = [25 if path.stem == "hangs" else 300 for path in paths]
        sizes = [3 * 2**29] * len(paths)
        reports = list(pool.map(grade_notebook, paths, limits, sizes))
    names = [path.relative_to(folder).as_posix() for path in paths]
    rows = {row.pop("notebook"): row for row in grade_rows(names, reports)}

    nothing = dict.fromkeys([solution for _, solution, _ in MANY], "")
    stopped = nothing | {CORNERS: "not reached"}
    notes = {name: row.pop("note") for name, row in rows.items()}
    syntax = rows["Ada/homework.ipynb"].pop("giou_loss")
    assert rows == {
        "Ada/homework.ipynb": {
            CORNERS: "passed",
            "box_iou": "overlap below zero",
            "generalized_box_iou": "not attempted",
            "Step1": "not right",
            "questions": "1 of 3",
        },
        **{
            f"{n}.ipynb": {**stopped, "questions": ""}
            for n in ("Bob/hangs", "crashes", "eats", "ends")
        },
        **{
            f"{n}.ipynb": {**nothing, "questions": ""}
            for n in ("json", "lecture", "unknown", "words")
        },
    }
    assert syntax.startswith("error: SyntaxError: expected ':'")
    for name in ("json", "unknown", "words"):
        assert notes.pop(f"{name}.ipynb").startswith("cannot be graded: ")
    assert notes == {
        "Ada/homework.ipynb": "",
        "Bob/hangs.ipynb": "stopped after 25 s",
        "crashes.ipynb": "crashed: SIGSEGV",
        "eats.ipynb": "stopped at more than 1.5 GB of memory",
        "ends.ipynb": "ended before its exercises were checked",
        "lecture.ipynb": "no exercises",
    }
    left = [int(file.name) for file in pids.iterdir()]
    assert len(left) == 2 and not any(psutil.pid_exists(pid) for pid in left)


def test_grades_are_printed_and_written_whatever_stands_in_them(tmp_path):
    (tmp_path / "[red]a.ipynb").write_text("[/blue]")
    table = tmp_path / "table.csv"
    assert "[red]a.ipynb" in accepted("grade", tmp_path, "--out", table)
    with table.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == ["notebook", "questions", "note"]
    assert row["notebook"] == "[red]a.ipynb" and "NotJSONError" in row["note"]


@pytest.mark.parametrize(
    ("code", "words"), [(0, ""), (3, "crashed: exit code 3"), (-9, "crashed: SIGKILL")]
)
def test_an_exit_code_is_told_in_words(code, words):
    assert ending(code) == words


def test_bad_arguments_are_named(tmp_path):
    assert "no notebooks found" in refused("grade", tmp_path)
    assert '"4G"' in refused("grade", tmp_path, "--memory-limit", "much", code=2)


def table_of_steps(heading):
    """The rows of the first table under a heading of the page on teaching, one for each step."""
    page = (ROOT / "notebooks" / "teaching.md").read_text(encoding="utf-8")
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| \[?\d.*$", section, re.M)
    assert len(rows) == len(NOTEBOOKS) == 9
    return list(zip(rows, map(read, NOTEBOOKS), strict=True))


def test_the_page_on_teaching_gives_the_notebooks_own_times():
    for (row, notebook), path in zip(table_of_steps("The nine lessons"), NOTEBOOKS, strict=True):
        assert f"]({path.name})" in row
        minutes = re.search(r"\*\*Reading time\*\* \| (\d+) minutes", notebook.cells[0].source)[1]
        assert row.split("|")[3].strip() == f"{minutes} min"


def test_the_page_on_teaching_names_the_exercises_and_known_mistakes():
    known = {mistake.name for task in TASKS.values() for mistake in task.mistakes}
    for row, notebook in table_of_steps("Exercises, and where learners stumble"):
        written = re.findall(r"`(\w+)`", row.split("|")[2])
        assert written == [exercise["solution"] for exercise in find_exercises(notebook)]
        assert set(re.findall(r"(?<!\*)\*([^*]+)\*", row)) <= known


THIEF = """\
import json, os
from pathlib import Path

report = Path("..", os.environ["DETR_STEPS_SUBMISSION"])
report.write_text({text})
os._exit(0)"""


@pytest.mark.parametrize(
    "text",
    ['"not json"', 'json.dumps({"box_cxcywh_to_xyxy": "passed"})', '"0" * 64 + "\\n{}"'],
)
def test_a_report_that_a_notebook_writes_itself_counts_for_nothing(text, tmp_path):
    cells = code(SETUP), exercise(STUB), code(THIEF.replace("{text}", text))
    report = grade_notebook(save(tmp_path / "thief.ipynb", *cells), 120, 4 * 2**30)
    assert report.results == {"box_cxcywh_to_xyxy": "not reached"}
    assert report.note == "its report was not written by the check"


def test_results_are_read_back_with_their_key_alone(tmp_path):
    path = tmp_path / "report"
    assert read_results(path, "key", {"FPN"}) == {}
    save_results({"FPN": "passed", "Step9": "passed"}, path, "key")
    assert read_results(path, "key", {"FPN"}) == {"FPN": "passed"}
    with pytest.raises(ValueError, match="not written by the check"):
        read_results(path, "another", {"FPN"})


def checks_of(notebook):
    """What the cells say that check an exercise."""
    cells = [cell for cell in notebook.cells if "check" in cell.metadata.get("tags", ())]
    return [cell.outputs[-1]["data"]["text/plain"] for cell in cells]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_students_copy_runs_from_top_to_bottom(path):
    empty = student_copy(nbformat.read(path, 4))
    execute(empty, path.parent, "empty")
    assert checks_of(empty) and all("not attempted yet" in text for text in checks_of(empty))
    filled = student_copy(nbformat.read(path, 4))
    for cell in filled.cells:
        if "exercise" in cell.metadata:
            cell.source = solve(cell.source, **cell.metadata.exercise)
    execute(filled, path.parent, "filled")
    assert all(": passed." in text for text in checks_of(filled))
