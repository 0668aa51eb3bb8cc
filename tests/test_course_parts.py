"""The parts of the course kit on their own: copies, links, calls, limits, tables, views."""

import csv
import json
import os
import signal
import symtable
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from detr_steps.course import copies, enclosure, grading, protection, submission
from detr_steps.course.grades import Grades, Report, check_endings, count_right
from detr_steps.course.protection import PROCESSORS, Protection, view
from detr_steps.exercises.catalogue import TASKS
from detr_steps.exercises.questions import QUESTIONS

CORNERS = "box_cxcywh_to_xyxy"
EXERCISE = {"attempt": "mine", "solution": CORNERS}
STUB = "def mine(boxes):\n    ..."


def test_links_to_what_does_not_go_along_become_text():
    text = "[a](a.md#part) ![b](b.png) [c](c.md) [d](https://x.org/c.md) [e](#part)"
    kept = copies.keep_links(text, {"a.md", "b.png"})
    assert kept == "[a](a.md#part) ![b](b.png) c [d](https://x.org/c.md) [e](#part)"


def test_what_notebooks_link_to_goes_along_and_what_that_links_to(tmp_path):
    links = "[a](a.md) [a](a.md) [b](B.ipynb) [far](../far.md) [gone](gone.md)"
    cells = [new_markdown_cell(links), new_code_cell("'[no](code.md)'")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "A.ipynb")
    (tmp_path / "a.md").write_text("[p](p.png) [A](A.ipynb)", "utf-8")
    for name in ("p.png", "code.md", "B.ipynb", "other.md"):
        (tmp_path / name).write_text("[x](other.md)")
    (tmp_path.parent / "far.md").write_text("")
    assert copies.linked_files([tmp_path / "A.ipynb"]) == [tmp_path / "a.md", tmp_path / "p.png"]


def test_linked_files_are_written_with_their_links_kept_or_not(tmp_path):
    (tmp_path / "a.md").write_text("[b](b.md) [c](c.md)", "utf-8")
    (tmp_path / "p.png").write_bytes(b"png")
    linked = [tmp_path / "a.md", tmp_path / "p.png"]
    for _ in range(2):  # the folder is there the second time
        copies.write_beside(linked, tmp_path / "new" / "out", "student", {"b.md"})
    place = tmp_path / "new" / "out" / "student"
    assert (place / "a.md").read_text("utf-8") == "[b](b.md) c"
    assert (place / "p.png").read_bytes() == b"png"


def lesson():
    """A notebook with an exercise, a question, a listing and outputs."""
    listing = new_code_cell("show()", metadata={"tags": ["spoiler"]})
    return new_notebook(
        cells=[
            new_markdown_cell("[gone](gone.md)"),
            listing,
            new_code_cell("1", execution_count=3, outputs=[new_output("stream", text="1")]),
            new_code_cell(f"import torch\n{STUB}\nlast = 1", metadata={"exercise": EXERCISE}),
            new_code_cell('ask("7.1", answer=None); ask("7.2", answer=None)'),
        ]
    )


def test_a_students_copy_has_neither_outputs_nor_listings():
    notebook = lesson()
    copy = copies.student_copy(notebook)
    assert copy.cells[1].cell_type == "markdown" and copy.cells[1].source == copies.SPOILER
    assert copy.cells[1].id == notebook.cells[1].id
    assert copy.cells[2].outputs == [] and copy.cells[2].execution_count is None
    assert notebook.cells[2].outputs and notebook.cells[1].cell_type == "code"
    assert [cell.source for cell in copy.cells[2:]] == [cell.source for cell in notebook.cells[2:]]


def test_a_solved_copy_has_the_packages_code_in_place_of_the_stub():
    copy = copies.solved_copy(lesson())
    lines = copy.cells[3].source.splitlines()
    assert lines[0] == "import torch" and lines[-1] == "last = 1"
    start = lines.index(next(line for line in lines if line.startswith("def mine(")))
    source = copies.plain_source(TASKS[CORNERS].solution).replace(CORNERS, "mine").splitlines()
    assert lines[start:-1] == source and lines[start - 1] == "import torch"
    answers = [QUESTIONS[key].right for key in ("7.1", "7.2")]
    asked = "; ".join(f'ask("7.{i}", answer="{right}")' for i, right in enumerate(answers, 1))
    assert copy.cells[4].source == asked
    with pytest.raises(ValueError, match="expected a definition of other, found"):
        copies.solve(STUB, "other", CORNERS)


def test_a_solution_brings_what_it_imports():
    imports = copies.needed_imports(TASKS["giou_loss"].solution)
    assert imports[-1].startswith("from detr_steps.") and "import torch" not in imports
    names = {name for line in imports for name in line.split(" import ")[1].split(", ")}
    assert "generalized_box_iou" in names
    step = copies.needed_imports(TASKS["Step4"].solution)
    assert any(line.startswith("from detr_steps.step3_") for line in step)
    assert "from torch import Tensor, nn" in step and "Tensor" not in step[-1]
    source = "def one(a):\n    b = a\n    return other(b) + other(len(a))\n"
    names = copies.global_names(symtable.symtable(source, "module", "exec"))
    assert sorted(names) == ["len", "other"]


@pytest.fixture
def built(monkeypatch):
    """The pages that are built; nothing is, and nothing is executed."""
    pages = []
    monkeypatch.setattr(copies, "build_site", lambda *given, **named: pages.append((given, named)))
    monkeypatch.setattr(copies, "verify", lambda solved, folder, label: [f"{label}: wrong"])
    return pages


@pytest.mark.parametrize(
    ("kinds", "problems"),
    [
        (("student",), []),
        (("student", "solved"), ["A: [1/2] A: wrong", "B: [2/2] B: wrong"]),
    ],
)
def test_a_course_has_copies_and_pages_of_each_kind(tmp_path, built, kinds, problems):
    paths = [tmp_path / f"{name}.ipynb" for name in "AB"]
    for path in paths:
        nbformat.write(lesson(), path)
    out = tmp_path / "out"
    assert copies.write_course(paths, out, kinds) == problems
    for kind in ("student", "solved"):
        assert (out / kind).exists() == (kind in kinds)
    titles = {"title": f"{copies.TITLE}: student"}
    assert built[0] == ((out / "student", out / "html" / "student"), titles)
    assert len(built) == len(kinds)
    copy = nbformat.read(out / "student" / "B.ipynb", 4)
    assert copy.cells[0].source == "gone" and copy.cells[3].source.endswith("last = 1")
    if "solved" in kinds:
        solved = nbformat.read(out / "solved" / "A.ipynb", 4)
        assert "    ..." not in solved.cells[3].source


def test_a_lesson_that_cannot_be_solved_is_named(tmp_path):
    path = tmp_path / "A.ipynb"
    cell = new_code_cell("1", metadata={"exercise": EXERCISE})
    nbformat.write(new_notebook(cells=[cell]), path)
    with pytest.raises(ValueError, match=r"A\.ipynb: expected a lesson: ValueError: exercise: "):
        copies.read_lesson(path)


def test_a_solved_copy_says_which_of_its_answers_are_wrong(monkeypatch, tmp_path):
    def execute(notebook, folder, label):
        assert (folder, label) == (tmp_path, "label")
        assert f"[('mine', '{CORNERS}')]" in notebook.cells[-1].source
        results = {"a": "passed", "b": "passed (with a remark)", "c": "not right"}
        notebook.cells[-1].outputs = [
            new_output("stream", text="before"),
            new_output("stream", text=json.dumps(results)),
        ]

    notebook = copies.solved_copy(lesson())
    notebook.cells.append(new_code_cell('ask("7.3", answer="?")'))
    monkeypatch.setattr(copies, "execute", execute)
    before = len(notebook.cells)
    wrong = copies.verify(notebook, tmp_path, "label")
    assert wrong == ["c: not right", "question 7.3: wrong"] and len(notebook.cells) == before


def test_a_solved_copy_whose_kernel_died_says_so(monkeypatch, tmp_path):
    def execute(*_):
        raise DeadKernelError("first line\nthe kernel died")

    monkeypatch.setattr(copies, "execute", execute)
    assert copies.verify(copies.solved_copy(lesson()), tmp_path, "label") == ["the kernel died"]


def test_calls_of_a_question_are_found_without_running_them():
    source = 'ask("7.1", "a")\nx = [ask(answer="b", key="7.2"), ask("7.3"), ask("99.9", "c")]\n'
    source += 'other("7.1", "d")\nexercises.ask("7.1", "e")\nask("7.4", name)'
    expected = [("7.1", "a"), ("7.2", "b"), ("7.3", None), ("7.4", None)]
    assert sorted(grading.find_calls(source)) == expected
    assert list(grading.find_calls("ask('7.1', ")) == []


def test_questions_are_marked_by_what_is_written():
    right = QUESTIONS["7.1"].right
    cells = [new_markdown_cell('ask("7.3", "x")'), new_code_cell(f'ask("7.1", "{right}")')]
    cells.append(new_code_cell('ask("7.2", None)'))
    assert grading.mark_questions(new_notebook(cells=cells)) == {"7.1": True, "7.2": False}


def test_exercises_are_counted_among_the_cells_of_code():
    found = grading.find_exercises(lesson())
    assert found == [{"attempt": "mine", "solution": CORNERS, "cell": 2}]
    wrong = new_code_cell("", metadata={"exercise": EXERCISE | {"solution": "b"}})
    with pytest.raises(ValueError, match=r"^exercise: expected the name .*, found 'b'$"):
        grading.find_exercises(new_notebook(cells=[wrong]))


def test_notebooks_are_found_in_sub_folders_but_not_among_checkpoints(tmp_path):
    for name in ("b/c.ipynb", "a.ipynb", "b/.ipynb_checkpoints/c.ipynb", "b/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in grading.find_notebooks(tmp_path)]
    assert found == ["a.ipynb", "b/c.ipynb"]


@pytest.fixture
def apart(monkeypatch):
    """Takes the place of a process of its own; what it is asked to run, and what it says."""
    asked = SimpleNamespace(runs=[], says=({}, ""))
    monkeypatch.setattr(grading, "run_apart", lambda run: asked.runs.append(run) or asked.says)
    return asked


def test_a_notebook_is_run_with_its_limits_and_its_results_are_told(tmp_path, apart):
    path = tmp_path / "a.ipynb"
    nbformat.write(lesson(), path)
    kept = Protection("bwrap")
    for says, note in (
        (({}, ""), "ended before its exercises were checked"),
        (({}, "crashed"), "crashed"),
        (({CORNERS: "passed"}, ""), ""),
    ):
        apart.says = says
        report = grading.grade_notebook(path, 7, 9, kept)
        assert report.results == {CORNERS: grading.NOT_REACHED} | says[0] and report.note == note
        assert report.questions == {"7.1": False, "7.2": False}
    run = apart.runs[0]
    assert (run.time_limit, run.memory_limit, run.protection) == (7, 9, kept)
    assert [len(run.cells), run.exercises[0]["cell"]] == [4, 2]
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), path)
    assert grading.grade_notebook(path, 7, 9).note == "no exercises"
    path.write_text("{}")
    assert grading.grade_notebook(path, 7, 9).note.startswith("cannot be graded: ")
    assert len(apart.runs) == 3


class Process:
    """A process that ends with a code after some looks at it, with children of some size."""

    def __init__(self, looks, code=0, children=0, size=1):
        self.looks, self.code, self.size = looks, code, size
        self.family = [SimpleNamespace(memory_info=self.memory_info) for _ in range(children)]

    def wait(self, interval):
        self.looks -= 1
        if self.looks >= 0:
            raise psutil.TimeoutExpired(interval)
        return self.code

    def children(self, recursive):
        assert recursive
        return self.family

    def memory_info(self):
        return SimpleNamespace(rss=self.size)


def waited(process, time_limit=100.0, memory_limit=10**9):
    """What is said of a process."""
    run = grading.Run([], [], time_limit, memory_limit, Protection())
    return grading.wait(process, run)


def test_a_process_is_stopped_by_its_limits_alone():
    assert waited(Process(looks=3)) == ""
    assert waited(Process(looks=0, code=-11)) == "crashed: SIGSEGV"
    assert waited(Process(looks=9, children=63)) == ""  # 64 with itself
    assert waited(Process(looks=9, children=64)) == "stopped at more than 64 processes"
    assert waited(Process(9, children=1, size=2**30), memory_limit=2**31) == ""
    over = waited(Process(9, children=2, size=2**30), memory_limit=2**31)
    assert over == "stopped at more than 2 GB of memory"
    assert waited(Process(looks=9), time_limit=-1) == "stopped after -1 s"


def test_who_has_ended_has_neither_family_nor_memory():
    class Gone(Process):
        def children(self, recursive):
            raise psutil.NoSuchProcess(1)

        def memory_info(self):
            raise psutil.AccessDenied(1)

    assert grading.family(Gone(0)) == []
    assert grading.memory_use([Process(0, size=3), Gone(0), Process(0, size=4)]) == 7
    one = Process(0, children=2)
    assert grading.family(one) == [one, *one.family]


def test_processes_are_known_by_their_mark():
    class Marked(Process):
        def __init__(self, mark):
            self.mark = mark

        def environ(self):
            if self.mark is None:
                raise psutil.AccessDenied(1)
            return {grading.MARK: self.mark}

    all_of_them = [Marked("a"), Marked("b"), Marked(None), Marked("a")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psutil, "process_iter", lambda: all_of_them)
        assert grading.marked("a") == [all_of_them[0], all_of_them[3]]


def test_a_report_is_told_in_rows_that_all_have_the_same_exercises():
    reports = [Report({"a": "passed"}, {"7.1": True, "7.2": False}), Report({"b": "x"}, note="n")]
    grades = Grades(["one", "two\ud800"], reports, Protection("bwrap"))
    assert grades.rows() == [
        dict(zip(("notebook", "a", "b", "questions", "note", "protection"), row, strict=True))
        for row in (
            ("one", "passed", "", "1 of 2", "", "bwrap"),
            ("two\\ud800", "", "x", "", "n", "bwrap"),
        )
    ]
    assert [count_right(report) for report in reports] == ["1 of 2", ""]
    table = grades.table()
    assert [column.header for column in table.columns] == [
        *("notebook", "exercises", "questions", "note")
    ]
    assert table.caption == "protection: bwrap" and table.show_lines
    assert [str(cell) for cell in table.columns[1].cells] == ["a: passed", "b: x"]
    with pytest.raises(ValueError, match="longer"):
        Grades(["one"], reports).rows()
    with pytest.raises(ValueError, match="longer"):
        Grades(["one"], reports).tree()


def test_grades_are_written_as_the_name_says(tmp_path):
    grades = Grades(["é"], [Report({"a": "passed"}, {"7.1": True})], gap="none found")
    for name in ("a.csv", "a.json"):
        grades.write(tmp_path / name)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == grades.rows()
    text = (tmp_path / "a.json").read_text("utf-8")
    assert json.loads(text) == grades.tree() and "é" in text and '\n "gap": "none found"' in text


def test_a_table_goes_into_a_folder_that_is_there(tmp_path):
    check_endings([tmp_path / "a.csv", tmp_path / "b.json"])
    with pytest.raises(ValueError, match=r"^--out: expected a name .* found .*a\.xlsx$"):
        check_endings([tmp_path / "a.csv", tmp_path / "a.xlsx"])
    with pytest.raises(ValueError, match="there is no folder"):
        check_endings([tmp_path / "no" / "a.csv"])


def test_an_error_is_told_in_one_short_line():
    said = submission.short_error(ValueError("a\nb " + 100 * "word "))
    assert said.startswith("ValueError: a b word") and said.endswith("[...]") and len(said) <= 120
    assert submission.printable("a\ud800é") == "a\\ud800é"


def test_more_than_three_replaced_tools_are_counted():
    before = [(f"name{i}", None, None) for i in range(5)]
    assert submission.replaced(before[:3]) == ["replaced name0, name1, name2"]
    assert submission.replaced(before) == ["replaced name0, name1, name2, and 2 more"]
    assert submission.replaced([]) == []


def test_a_verdict_says_what_came_of_an_attempt():
    assert submission.verdict({}, "mine", CORNERS) == "error: mine is not defined"
    assert submission.verdict({}, "mine", CORNERS, "SyntaxError: x") == "error: SyntaxError: x"

    def mine(boxes): ...

    assert submission.verdict({"mine": mine}, "mine", CORNERS) == "not attempted"
    assert submission.verdict({"mine": 1}, "mine", CORNERS) == "not right"


def test_each_exercise_is_reported_as_soon_as_it_is_checked(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        submission, "save_results", lambda r, path, key: saved.append((dict(r), path, key))
    )
    monkeypatch.setattr(submission, "run_cells", lambda cells: ({"a": cells}, ["", "an error"]))
    monkeypatch.setattr(
        submission, "verdict", lambda space, attempt, solution, error, remarks: error
    )
    exercises = [{"attempt": "a", "solution": CORNERS, "cell": 1}]
    exercises.append({"attempt": "b", "solution": "box_iou", "cell": 0})
    job = {"cells": ["1"], "exercises": exercises, "report": str(tmp_path / "r"), "key": "k"}
    submission.work(job)
    first = {CORNERS: "an error"}
    assert saved == [
        (first, tmp_path / "r", "k"),
        (first | {"box_iou": ""}, tmp_path / "r", "k"),
    ]


def test_without_protection_a_command_runs_as_it_is(tmp_path):
    kept = Protection()
    assert not kept and Protection("bwrap")
    assert kept.enclose(["a", "b"], tmp_path) == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == [protection.WORKPLACE]
    assert kept.environment(tmp_path)["IPYTHONDIR"] == str(tmp_path)
    assert kept.exit_code(137) == 137


def test_with_protection_a_command_sees_little_of_who_grades(tmp_path, monkeypatch):
    monkeypatch.setenv("A_SECRET", "1")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PATH", "/usr/bin")
    seen = Protection("bwrap").environment(tmp_path)
    assert "A_SECRET" not in seen and seen["LC_ALL"] == "C"
    assert seen["PATH"].split(os.pathsep) == ["/usr/bin", "/usr/sbin", "/sbin"]
    home = str(tmp_path / "home")
    assert {seen[name] for name in ("HOME", "IPYTHONDIR", "MPLCONFIGDIR")} == {home}
    assert seen["USER"] == seen["LOGNAME"] == "student"
    codes = [Protection("unshare").exit_code(code) for code in (0, 3, 128, 129, 137)]
    assert codes == [0, 3, 128, -1, -9]


@pytest.mark.parametrize(
    ("code", "stderr", "fault"),
    [
        (0, "a warning", ""),
        (1, "bwrap: one\nbwrap: two\n", "two"),
        (1, "", "exit code 1"),
        (1, "one\ntwo\nno: bwrap: three", "no: bwrap: three"),
    ],
)
def test_the_last_words_of_a_protection_that_fails_are_told(monkeypatch, code, stderr, fault):
    def run(command, text, timeout, **_):
        assert text and timeout >= 60
        return SimpleNamespace(returncode=code, stderr=stderr)

    monkeypatch.setattr(protection.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(Protection, "enclose", lambda self, command, folder: command)
    monkeypatch.setattr(protection.subprocess, "run", run)
    assert protection.find_fault(Protection("bwrap")) == fault


def test_a_protection_that_cannot_be_started_says_why(monkeypatch):
    def run(*_, **__):
        raise PermissionError("not allowed")

    monkeypatch.setattr(protection.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(Protection, "enclose", lambda self, command, folder: command)
    monkeypatch.setattr(protection.subprocess, "run", run)
    assert protection.find_fault(Protection("bwrap")) == "not allowed"


@pytest.mark.parametrize("enabled", [True, False])
def test_packages_of_the_user_are_needed_where_python_reads_them(tmp_path, monkeypatch, enabled):
    monkeypatch.setattr(protection.site, "ENABLE_USER_SITE", enabled)
    monkeypatch.setattr(protection.site, "getusersitepackages", lambda: str(tmp_path))
    assert (tmp_path.resolve() in protection.needed()) == enabled


@pytest.mark.parametrize(("user", "given_away"), [(0, True), (1000, False)])
@pytest.mark.parametrize("name", ["bwrap", "unshare"])
def test_a_protected_command_has_its_folders_its_limits_and_no_rights(
    tmp_path, monkeypatch, name, user, given_away
):
    owners = {}
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "chown", lambda path, *both: owners.update({Path(path): both}))
    monkeypatch.setattr(protection, "view", lambda folder, hidden: [["read", "/usr", "/usr"]])
    command = Protection(name).enclose(["run", "it"], tmp_path)
    places = {tmp_path / place for place in (protection.WORKPLACE, "home", "tmp", "shm")}
    assert set(tmp_path.iterdir()) == places
    words = command if name == "bwrap" else json.loads(command[-1])["command"]
    limit = f"--nproc={protection.TASKS_LIMIT}"
    assert words[-4:] == ["prlimit", limit, "run", "it"]
    assert ("setpriv" in words) == (name == "unshare" or given_away)
    assert set(owners) == (places | {tmp_path} if given_away else set())
    if given_away:
        ((number, group),) = set(owners.values())
        assert number == group and number in protection.TRANSIENT_USERS
        assert f"--reuid={number}" in words and "--clear-groups" in words
    assert ("--map-root-user" in command) == (name == "unshare" and user != 0)
    for what in ("pid", "net", "ipc", "uts"):
        assert (f"--unshare-{what}" if name == "bwrap" else f"--{what}") in command
    if name == "bwrap":
        assert command[command.index("--ro-bind") :][:3] == ["--ro-bind", "/usr", "/usr"]
        assert command[command.index("--chdir") + 1] == str(tmp_path / protection.WORKPLACE)
    else:
        job = json.loads(command[-1])
        assert job["mounts"] == [["read", "/usr", "/usr"]]
        assert job["root"] == str(tmp_path / "home")
        assert job["workplace"] == str(tmp_path / protection.WORKPLACE)
        assert command[-5:-1] == [sys.executable, "-I", "-S", str(protection.STAGE)]


def test_bwrap_makes_the_folders_around_what_it_shows():
    mounts = [["read", "/a/b/c", "/a/b/c"], ["cover", "/h", "/h"], ["write", "/w", "/tmp"]]
    words = Protection("bwrap").bwrap(mounts, Path("/w"), ["run"])
    text = " ".join(words)
    assert "--dir /a --dir /a/b --ro-bind /a/b/c /a/b/c" in text
    assert "--tmpfs /h" in text and "--bind /w /tmp" in text
    assert text.index("--bind /w /tmp") < text.index("--remount-ro /dev --remount-ro / ")
    assert "--remount-ro /h" in text and text.endswith("-- run")
    assert "--dir / " not in text


def test_a_view_shows_nothing_twice_and_covers_only_what_is_shown(tmp_path, monkeypatch):
    folders = [Path("/usr"), Path("/usr/lib/python"), Path("/home/me/venv"), Path("/opt")]
    monkeypatch.setattr(protection, "needed", lambda: folders)
    hidden = [Path("/opt/secret"), Path("/home/me"), Path("/srv"), Path("/opt/secret/more")]
    found = view(Path("/graded/one"), hidden)
    assert [one[0::2] for one in found] == [
        ["read", "/usr"],
        ["read", "/opt"],
        ["write", "/tmp"],
        ["cover", "/opt/secret"],
        ["write", "/graded/one"],
        ["write", "/dev/shm"],
        ["read", "/home/me/venv"],
    ]
    sources = {target: source for _, source, target in found}
    assert sources["/tmp"] == "/graded/one/tmp" and sources["/dev/shm"] == "/graded/one/shm"


def test_python_and_this_package_are_needed():
    found = protection.needed()
    for folder in (Path(sys.prefix), protection.PACKAGE, Path("/usr")):
        places = {folder, folder.resolve()}
        assert any(places & {one, *one.parents} or one in folder.parents for one in found), folder
        assert any(one in (folder.resolve(), *folder.resolve().parents) for one in found)
    assert found == sorted(found)
    processors = Path("/", PROCESSORS)
    assert not processors.is_dir() or processors in found
    for one in found:
        inside = [other for other in found if other in one.parents and other.resolve() == other]
        assert not inside or one.resolve() == one


class Recorded(list):
    """What `enclosure` would run."""

    def __call__(self, *words):
        self.append(" ".join(map(str, words)))


@pytest.fixture
def ran(monkeypatch):
    """The commands of `enclosure`, none of which is run."""
    commands = Recorded()
    monkeypatch.setattr(enclosure, "run", commands)
    return commands


def test_a_mount_is_made_on_a_folder_or_a_file(tmp_path, ran):
    source = tmp_path / "source"
    source.mkdir()
    for _ in range(2):
        enclosure.bind(source, tmp_path / "new" / "place", "rbind")
        enclosure.mount_tmpfs(tmp_path / "other" / "place")
    (tmp_path / "file").touch()
    enclosure.bind(tmp_path / "file", tmp_path / "new" / "file", "bind")
    assert (tmp_path / "new" / "place").is_dir() and (tmp_path / "new" / "file").is_file()
    assert (tmp_path / "other" / "place").is_dir()
    assert ran[0] == f"mount --rbind {source} {tmp_path / 'new' / 'place'}"
    assert ran[-1] == f"mount --bind {tmp_path / 'file'} {tmp_path / 'new' / 'file'}"
    assert ran[1].startswith("mount -t tmpfs -o mode=755,size=1m,nosuid tmpfs ")


def test_a_mount_and_those_in_it_become_read_only(ran, monkeypatch):
    lines = [
        "22 1 0:20 / /a rw,relatime shared:1 - ext4 x rw",
        r"23 1 0:20 / /a/b\040c rw,nosuid,nodev,noexec - ext4 x rw",
        "24 1 0:20 / /ab rw - ext4 x rw",
        "25 1 0:20 / / rw - ext4 x rw",
    ]
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: "\n".join(lines))
    enclosure.forbid_writing(Path("/a"))
    assert ran == [
        "mount -o remount,bind,nodev,nosuid,relatime,ro /a",
        "mount -o remount,bind,nodev,noexec,nosuid,ro,strictatime /a/b c",
    ]


def test_devices_are_those_that_every_program_expects(tmp_path, ran, monkeypatch):
    bound = []
    monkeypatch.setattr(enclosure, "bind", lambda *given: bound.append(given))
    enclosure.make_devices(tmp_path / "dev")
    assert [(str(a), b.name, how) for a, b, how in bound] == [
        (f"/dev/{name}", name, "bind") for name in enclosure.NODES
    ]
    links = {
        path.name: str(path.readlink())
        for path in (tmp_path / "dev").iterdir()
        if path.is_symlink()
    }
    assert links == {
        **{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "ptmx": "pts/ptmx"},
        **{"stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"},
    }
    assert "newinstance,ptmxmode=0666,mode=620" in ran[-1] and (tmp_path / "dev" / "pts").is_dir()


def test_a_view_is_put_together_and_closed(tmp_path, ran, monkeypatch):
    calls = []
    monkeypatch.setattr(enclosure, "make_devices", lambda place: place.mkdir())
    monkeypatch.setattr(enclosure, "bind", lambda *given: calls.append(given))
    monkeypatch.setattr(enclosure, "forbid_writing", lambda place: calls.append(place))
    monkeypatch.setattr(os, "chdir", lambda place: calls.append(place))
    masks = []
    monkeypatch.setattr(os, "umask", masks.append)
    root = tmp_path / "root"
    mounts = [["read", "/usr", "/usr"], ["cover", "/usr/x", "/usr/x"], ["write", "/w", "/tmp"]]
    enclosure.make_view(root, mounts)
    assert calls == [
        (Path("/usr"), root / "usr", "rbind"),
        root / "usr",
        (Path("/w"), root / "tmp", "bind"),
        "/",
    ]
    assert masks == [0o022]
    closed = [line.split()[-1] for line in ran if "remount,bind,ro,nosuid" in line]
    assert closed == [str(root / "dev"), str(root), str(root / "usr" / "x")]
    assert ran[-2:] == [f"pivot_root {root} {root / 'before'}", "umount -l /before"]
    assert ran[1].startswith("mount -t proc -o nosuid,nodev,noexec proc ")


@pytest.mark.parametrize(
    ("source", "code"), [("pass", 0), ("raise SystemExit(3)", 3), ("KILL", 128 + signal.SIGKILL)]
)
def test_the_exit_code_of_what_ran_in_the_view_is_told(tmp_path, monkeypatch, source, code):
    source = source.replace("KILL", "import os; os.kill(os.getpid(), 9)")
    source = f"import os; assert os.getcwd() == {str(tmp_path)!r}; {source}"
    made = []
    monkeypatch.setattr(enclosure, "make_view", lambda *given: made.append(given))
    job = {"root": "/r", "mounts": [["a"]], "command": [sys.executable, "-c", source]}
    assert enclosure.main(job | {"workplace": str(tmp_path)}) == code
    assert made == [(Path("/r"), [["a"]])]


def test_a_tool_that_fails_ends_the_view():
    enclosure.run("true")
    with pytest.raises(SystemExit) as ended:
        enclosure.run("false")
    assert ended.value.code == 1
