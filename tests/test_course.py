"""The teacher's side: copies for students, copies with the solutions, and grading."""

import csv
import inspect
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from pathlib import Path

import nbformat
import psutil
import pytest
import torch
from attempts import ATTEMPTS
from cli import accepted, refused
from nbformat import v4

from detr_steps.course.copies import solve, student_copy, write_course
from detr_steps.course.grades import Grades, Report
from detr_steps.course.grading import ending, find_exercises, find_notebooks, grade_notebook
from detr_steps.course.protection import Protection, Wish, choose_protection, find_fault, needed
from detr_steps.course.submission import read_results, replaced, save_results, tools, verdict
from detr_steps.exercises import check, checker
from detr_steps.exercises.catalogue import TASKS
from detr_steps.exercises.checker import is_attempted
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


def test_students_copies_are_made_without_running_anything(tmp_path):
    path = save(tmp_path / "Step7_small.ipynb", code(SETUP), exercise(STUB), code("1 / 0"))
    for _ in range(2):  # also over those of before
        printed = accepted("course", path, "--student", "--out", tmp_path / "out")
    assert "1 notebooks in" in printed and "solved" not in printed
    out = tmp_path / "out"
    assert {file.name for file in out.rglob("Step*")} == {"Step7_small.ipynb", "Step7_small.html"}
    assert {file.name for file in out.iterdir()} == {"student", "html"}
    assert [file.name for file in (out / "html").iterdir()] == ["student"]
    assert read(out / "student" / "Step7_small.ipynb").cells[1].source == STUB


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
    with ThreadPoolExecutor(2) as pool:  # also a busy machine reaches what hangs in its time
        limits = [60 if path.stem == "hangs" else 300 for path in paths]
        sizes = [3 * 2**29] * len(paths)
        reports = list(pool.map(grade_notebook, paths, limits, sizes))
    names = [path.relative_to(folder).as_posix() for path in paths]
    rows = {row.pop("notebook"): row for row in Grades(names, reports).rows()}
    assert {row.pop("protection") for row in rows.values()} == {"none"}

    nothing = dict.fromkeys([*(solution for _, solution, _ in MANY), "questions"], "")
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
        **{f"{n}.ipynb": stopped for n in ("Bob/hangs", "crashes", "eats", "ends")},
        **{f"{n}.ipynb": nothing for n in ("json", "lecture", "unknown", "words")},
    }
    assert syntax.startswith("error: SyntaxError: expected ':'")
    for name in ("json", "unknown", "words"):
        assert notes.pop(f"{name}.ipynb").startswith("cannot be graded: ")
    assert notes == {
        "Ada/homework.ipynb": "",
        "Bob/hangs.ipynb": "stopped after 60 s",
        "crashes.ipynb": "crashed: SIGSEGV",
        "eats.ipynb": "stopped at more than 1.5 GB of memory",
        "ends.ipynb": "ended before its exercises were checked",
        "lecture.ipynb": "no exercises",
    }
    left = [int(file.name) for file in pids.iterdir()]
    assert len(left) == 2 and not any(psutil.pid_exists(pid) for pid in left)


def read_table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_grades_are_printed_and_written_whatever_stands_in_them(tmp_path):
    (tmp_path / "[red]a.ipynb").write_text("[/blue]")
    table, tree = tmp_path / "table.csv", tmp_path / "tree.json"
    assert "[red]a.ipynb" in accepted("grade", tmp_path, "--out", table, "--out", tree)
    (row,) = read_table(table)
    assert list(row) == ["notebook", "questions", "note", "protection"]
    assert row["notebook"] == "[red]a.ipynb" and "NotJSONError" in row["note"]
    everything = json.loads(tree.read_text("utf-8"))
    (notebook,) = everything["notebooks"]
    assert everything["protection"] == row["protection"]
    assert notebook == {
        "notebook": "[red]a.ipynb",
        "exercises": {},
        "questions": {},
        "note": row["note"],
    }


def test_json_tells_what_has_passed(tmp_path):
    results = {"FPN": "passed (the package's own)", "Step9": "not attempted"}
    Grades(["a"], [Report(results, {"7.1": True})]).write(tmp_path / "grades.json")
    (notebook,) = json.loads((tmp_path / "grades.json").read_text("utf-8"))["notebooks"]
    assert [exercise["passed"] for exercise in notebook["exercises"].values()] == [True, False]
    assert [exercise["result"] for exercise in notebook["exercises"].values()] == [
        *results.values()
    ]
    assert notebook["questions"] == {"7.1": True}


@pytest.mark.parametrize(
    ("code", "words"), [(0, ""), (3, "crashed: exit code 3"), (-9, "crashed: SIGKILL")]
)
def test_an_exit_code_is_told_in_words(code, words):
    assert ending(code) == words


def test_bad_arguments_are_named(tmp_path):
    assert "no notebooks found" in refused("grade", tmp_path)
    save(tmp_path / "lecture.ipynb")
    found = tmp_path / "grades.xlsx"
    assert f"in .csv or .json, found {found}" in on_one_line(
        refused("grade", tmp_path, "--out", found)
    )
    assert "there is no folder" in refused("grade", tmp_path, "--out", tmp_path / "a" / "b.csv")
    assert '"4G"' in refused("grade", tmp_path, "--memory-limit", "much", code=2)


def on_one_line(text):
    return " ".join(text.split())


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


def test_a_report_is_a_small_file(tmp_path):
    if hasattr(os, "mkfifo"):
        (tmp_path / "link").symlink_to("/dev/zero")
        assert read_results(tmp_path / "link", "key", {"FPN"}) == {}
        os.mkfifo(tmp_path / "pipe")  # who reads it waits for ever
        assert read_results(tmp_path / "pipe", "key", {"FPN"}) == {}
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**21)
    with pytest.raises(ValueError, match="not written by the check"):
        read_results(tmp_path / "large", "key", {"FPN"})


def test_a_pass_tells_what_is_remarkable_about_it(monkeypatch):
    before = list(tools())
    assert replaced(before) == []
    mine = {"mine": TASKS[CORNERS].solution}
    assert verdict(mine, "mine", CORNERS) == "passed (the package's own)"
    monkeypatch.setattr(torch.nn.functional, "softmax", torch.softmax)
    monkeypatch.setattr(checker, "check", check)  # the same one
    remarks = replaced(before)
    assert remarks == ["replaced torch.nn.functional.softmax"]
    assert verdict(mine, "mine", CORNERS, remarks=remarks) == (
        "passed (the package's own; replaced torch.nn.functional.softmax)"
    )
    wrong = {"mine": lambda boxes: boxes + 1}
    assert verdict(wrong, "mine", CORNERS, remarks=remarks) == "not right"
    monkeypatch.setattr(is_attempted, "__code__", (lambda attempt: True).__code__)
    assert "detr_steps.exercises.checker.is_attempted" in replaced(before)[0]


def escape(grader, server, others, outside):
    """What a notebook tries: its results say what it got."""
    import os
    import signal
    import socket
    from pathlib import Path

    got = []
    for name, act in {
        "read": lambda: [Path(other).read_text() for other in others],
        "listed": lambda: list(Path(others[0]).parent.iterdir()),
        "wrote": lambda: Path(outside).write_text("x"),
        "sent": lambda: socket.create_connection(("127.0.0.1", server), 2).close(),
        "signalled": lambda: os.kill(grader, signal.SIGCONT),
    }.items():
        try:
            act()
            got.append(name)
        except OSError:
            pass
    raise RuntimeError(" ".join(got) or "nothing")


FORK = """\
import os, time
for _ in range(200):
    if not os.fork():
        time.sleep(600)"""
DEEP = """\
import os
for _ in range(1500):
    os.mkdir("deeper")
    os.chdir("deeper")"""
ALL = "read listed wrote sent signalled"


def protection_or_skip(name, *hidden):
    protection = Protection(name, hidden)
    if name != "none" and (fault := find_fault(protection)):
        pytest.skip(f"{name} does not work here: {fault}")
    return protection


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("name", ["none", "bwrap", "unshare"])
def test_a_notebook_gets_nothing_and_harms_nobody_where_there_is_protection(
    name, tmp_path, monkeypatch
):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    folder, secret = tmp_path / "submissions", tmp_path / "home" / ".ssh" / "id"
    protection = protection_or_skip(name, folder, tmp_path / "home")
    secret.parent.mkdir(parents=True)
    grades = tmp_path / "grades.csv"
    for file in (secret, grades):
        file.write_text("secret")
    good = save(folder / "good.ipynb", code(SETUP), code(PICTURE), code(DEEP), exercise(RIGHT))
    forks = save(folder / "forks.ipynb", code(FORK), exercise(RIGHT))
    before = set(psutil.Process().children(recursive=True))
    with socket.create_server(("127.0.0.1", 0)) as server:
        others = [str(good), str(secret), str(grades)]
        port = server.getsockname()[1]
        values = f"({os.getpid()}, {port}, {others!r}, {str(tmp_path / 'outside')!r})"
        source = f"{inspect.getsource(escape)}\nescape{values}"
        escapes = save(folder / "escapes.ipynb", exercise(source))
        with ThreadPoolExecutor(2) as pool:
            grade = partial(grade_notebook, protection=protection)
            reports = pool.map(grade, [good, forks, escapes], [300] * 3, [2**40] * 3)
        right, stopped, gone = reports
        server.settimeout(0)
        with nullcontext() if name == "none" else pytest.raises(BlockingIOError):
            server.accept()
    assert right == Report({CORNERS: "passed"})
    got = ALL if name == "none" else "nothing"
    assert gone == Report({CORNERS: f"error: RuntimeError: {got}"})
    assert stopped == Report({CORNERS: "not reached"}, note="stopped at more than 64 processes")
    assert (tmp_path / "outside").exists() == (name == "none")
    assert list((tmp_path / "temporary").iterdir()) == []
    assert set(psutil.Process().children(recursive=True)) <= before


INSIDE = """\
import os, sys
from pathlib import Path
for place in sys.argv[1:]:
    if not os.statvfs(place).f_flag & os.ST_RDONLY:
        Path(place, "x").touch()
        print("written", place)
print(sorted(path.name for path in Path(sys.argv[1]).iterdir()))
print(sorted(set(os.environ) & {"SECRET", "LANG"}))
sys.stdout.flush()
try:
    for _ in range(9999):
        os.fork() or os._exit(0)  # it counts until somebody asks how it ended
except OSError:
    print("no more")"""


@pytest.mark.parametrize("name", ["bwrap", "unshare"])
def test_what_is_shown_is_read_only_and_what_is_hidden_is_empty(name, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("LANG", "C.UTF-8")
    hidden = Path(TASKS[CORNERS].solution.__code__.co_filename).parent / "exercises"
    protection = protection_or_skip(name, hidden)
    places = [hidden, hidden.parent, sys.prefix, "/", "/usr", "/etc", "/dev", "/tmp", "/dev/shm"]
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-c", INSIDE, *map(str, places)]
    done = subprocess.run(
        protection.enclose(command, tmp_path),
        env=protection.environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        "written /tmp",
        "written /dev/shm",
        "[]",
        "['LANG']",
        "no more",
    ]
    assert (tmp_path / "tmp" / "x").exists() and not Path("/dev/shm/x").exists()


def test_without_protection_the_table_says_so(tmp_path, monkeypatch):
    save(tmp_path / "lecture.ipynb", code("1"))
    monkeypatch.setenv("PATH", str(tmp_path))
    table, tree = tmp_path / "table.csv", tmp_path / "tree.json"
    reason = "bwrap: not installed; unshare: not installed"
    printed = on_one_line(accepted("grade", tmp_path, "--out", table, "--out", tree))
    assert printed.count(f"No protection ({reason}). The notebooks run with your rights") == 1
    assert "protection: none" in printed
    assert [row["protection"] for row in read_table(table)] == ["none"]
    everything = json.loads(tree.read_text("utf-8"))
    assert (everything["protection"], everything["gap"]) == ("none", reason)
    required = on_one_line(refused("grade", tmp_path, "--protection", "require"))
    assert f"none works here ({reason})" in required
    assert "(switched off)" in accepted("grade", tmp_path, "--protection", "none", "--out", table)


def test_the_first_protection_that_works_is_chosen(tmp_path):
    found, gap = choose_protection(Wish.auto, [tmp_path])
    for name in ("bwrap", "unshare"):
        works = not find_fault(Protection(name, (tmp_path,)))
        assert (found.name == name) == works, gap
        if works:
            break
    assert bool(gap) == (found.name == "none")
    if found:
        assert {tmp_path.resolve(), Path(tempfile.gettempdir()).resolve()} <= set(found.hidden)


@pytest.mark.skipif(os.name != "posix", reason="links need rights on this system")
def test_every_link_to_python_can_be_followed(tmp_path, monkeypatch):
    for folder in ("real", "venv"):
        (tmp_path / folder).mkdir()
    (tmp_path / "real" / "python3").touch()
    (tmp_path / "alias").symlink_to("real")
    (tmp_path / "venv" / "python").symlink_to("../alias/python3")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    assert {tmp_path / "alias", tmp_path / "real"} <= set(needed())


def test_what_python_needs_cannot_be_hidden():
    found, gap = choose_protection(Wish.auto, [Path(sys.prefix)])
    assert not found and gap.startswith(f"{Path(sys.prefix).resolve()} would have to be hidden")


def checks_of(notebook):
    """What the cells say that check an exercise."""
    cells = [cell for cell in notebook.cells if "check" in cell.metadata.get("tags", ())]
    return [cell.outputs[-1]["data"]["text/plain"] for cell in cells]


def your_turn(notebook):
    """The cells of a copy with its imports, and those from the first exercise on."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    imports = next(i for i, cell in enumerate(code) if "import check" in cell.source)
    first = next(i for i, cell in enumerate(code) if "exercise" in cell.metadata)
    return code[: imports + 1], code[first:]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_students_copy_runs_before_and_after_the_exercises_are_done(path):
    notebook = student_copy(nbformat.read(path, 4))
    imports, exercises = your_turn(notebook)
    filled = deepcopy(exercises)
    for cell in filled:
        if "exercise" in cell.metadata:
            cell.source = solve(cell.source, **cell.metadata.exercise)
    notebook.cells = [*imports, *exercises, *filled]  # one after the other in one kernel
    execute(notebook, path.parent, "both")
    checks = checks_of(notebook)
    before, after = checks[: len(checks) // 2], checks[len(checks) // 2 :]
    assert before and all("not attempted yet" in text for text in before)
    assert all(": passed." in text for text in after)
