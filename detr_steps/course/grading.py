"""Grading a folder of notebooks, each in a process of its own with limits to what it takes.

A notebook that hangs, crashes, eats memory or starts processes without end costs its own row, and
nothing else. Where `protection` works, the code also sees no network and no files but its own;
where it does not, the code runs with the rights of whoever grades, and the table says so.
"""

import ast
import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import matplotlib
import psutil
from nbformat import NotebookNode

from ..exercises.catalogue import TASKS
from ..exercises.questions import QUESTIONS, ask
from ..notebook.runner import read
from .grades import Report
from .protection import UNPROTECTED, WORKPLACE, Protection
from .submission import read_results, short_error

MARK = "DETR_STEPS_SUBMISSION"  # environment variable by which the processes of one are found
INTERVAL = 0.1  # seconds between two looks at a process
PROCESS_LIMIT = 64  # at a time; a check needs one, loading data a few
NOT_REACHED = "not reached"


def find_notebooks(folder: Path) -> list[Path]:
    """All notebooks in a folder and its sub-folders, without JupyterLab's checkpoints."""
    found = sorted(folder.rglob("*.ipynb"))
    return [path for path in found if ".ipynb_checkpoints" not in path.parts]


def find_exercises(notebook: NotebookNode) -> list[dict[str, Any]]:
    """For each exercise `attempt`, `solution`, and `cell`, the index among the code cells.

    Raises:
        ValueError, KeyError, TypeError: the metadata of a cell does not name an attempt and what
            it stands for.
    """
    exercises = []
    for i, cell in enumerate(code_cells(notebook)):
        if "exercise" in cell.metadata:
            attempt, solution = (cell.metadata.exercise[key] for key in ("attempt", "solution"))
            if solution not in TASKS:
                raise ValueError(f"exercise: expected the name of a solution, found {solution!r}")
            exercises.append({"attempt": attempt, "solution": solution, "cell": i})
    return exercises


def mark_questions(notebook: NotebookNode) -> dict[str, bool]:
    """Key of each question that a notebook asks -> whether the answer written there is right."""
    calls = [call for cell in code_cells(notebook) for call in find_calls(cell.source)]
    return {key: ask(key, answer).passed for key, answer in calls}


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells of a notebook."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def find_calls(source: str) -> Iterator[tuple[str, Any]]:
    """(key, answer) of each call of `ask` in the source of a cell, which is not run."""
    with suppress(SyntaxError):
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call) and getattr(call.func, "id", None) == "ask":
                given = dict(zip(("key", "answer"), call.args, strict=False))
                given |= {keyword.arg: keyword.value for keyword in call.keywords}
                key, answer = (getattr(given.get(n), "value", None) for n in ("key", "answer"))
                if key in QUESTIONS:
                    yield key, answer


def grade_notebook(
    path: Path, time_limit: float, memory_limit: int, protection: Protection = UNPROTECTED
) -> Report:
    """A report on one notebook, which runs in a process of its own if it has exercises.

    Args:
        path: the notebook.
        time_limit: seconds that it may take.
        memory_limit: bytes that it may take, with all processes that it starts.
        protection: what keeps it apart from the system.
    """
    report = Report()
    try:
        notebook = read(path)
        exercises = find_exercises(notebook)
        report.questions = mark_questions(notebook)
    except Exception as error:
        report.note = f"cannot be graded: {short_error(error.__cause__ or error)}"
        return report
    if not exercises:
        report.note = "no exercises"
        return report
    cells = [cell.source for cell in code_cells(notebook)]
    run = Run(cells, exercises, time_limit, memory_limit, protection)
    results, report.note = run_apart(run)
    report.results = {task["solution"]: NOT_REACHED for task in exercises} | results
    if not report.note and NOT_REACHED in report.results.values():
        report.note = "ended before its exercises were checked"
    return report


@dataclass(frozen=True)
class Run:
    """What is run, and within which limits.

    Args:
        cells: the sources of the code cells.
        exercises: as `find_exercises` gives them.
        time_limit: seconds.
        memory_limit: bytes.
        protection: what keeps it apart from the system.
    """

    cells: list[str]
    exercises: list[dict[str, Any]]
    time_limit: float
    memory_limit: int
    protection: Protection


def run_apart(run: Run) -> tuple[dict[str, str], str]:
    """Runs a submission in a process and an empty folder of its own; results, and a note."""
    with own_folder() as folder:
        mark, key = secrets.token_hex(), secrets.token_hex()
        report = folder / mark
        job = {"cells": run.cells, "exercises": run.exercises, "report": str(report), "key": key}
        process = psutil.Popen(
            run.protection.enclose([sys.executable, "-m", f"{__package__}.submission"], folder),
            cwd=folder / WORKPLACE,
            env=run.protection.environment(folder) | {MARK: mark, "MPLBACKEND": "agg"},
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(json.dumps(job).encode())  # in no file, where a cell could read the key
        try:
            note = wait(process, run)
        finally:
            end(process, mark)
        try:
            return read_results(report, key, {one["solution"] for one in run.exercises}), note
        except (OSError, ValueError) as error:
            return {}, note or str(error)


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder for one submission, with the list of fonts, which takes seconds to make."""
    temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    try:
        folder = Path(temporary.name).resolve()
        (folder / "home").mkdir()
        for file in Path(matplotlib.get_cachedir()).glob("fontlist*.json"):
            shutil.copy(file, folder / "home")
        yield folder
    finally:
        try:
            temporary.cleanup()
        except RecursionError:  # folders too deep for Python up to 3.12 to remove
            subprocess.run(["rm", "-rf", temporary.name])


def wait(process: psutil.Popen, run: Run) -> str:
    """Waits for a process; says what happened if it did not end well, or has to be ended."""
    deadline = time.monotonic() + run.time_limit
    while True:
        with suppress(psutil.TimeoutExpired):
            return ending(run.protection.exit_code(process.wait(INTERVAL)))
        members = family(process)
        if time.monotonic() > deadline:
            return f"stopped after {run.time_limit:g} s"
        if len(members) > PROCESS_LIMIT:
            return f"stopped at more than {PROCESS_LIMIT} processes"
        if memory_use(members) > run.memory_limit:
            return f"stopped at more than {run.memory_limit / 2**30:.2g} GB of memory"


def ending(code: int) -> str:
    """What an exit code says, nothing if all went well."""
    names = {-number: number.name for number in signal.Signals}
    return f"crashed: {names.get(code, f'exit code {code:d}')}" if code else ""


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it has started, as far as they still run."""
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def memory_use(members: list[psutil.Process]) -> int:
    """Bytes in memory, of all members of a family together."""
    total = 0
    for member in members:
        with suppress(psutil.Error):
            total += member.memory_info().rss
    return total


def end(process: psutil.Process, mark: str) -> None:
    """Ends a process and all that it has started, also those that have cut the tie to it."""
    while running := family(process) + marked(mark):
        for member in running:
            with suppress(psutil.Error):
                member.kill()
        psutil.wait_procs(running, timeout=5)


def marked(mark: str) -> list[psutil.Process]:
    """All processes that have inherited this mark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found
