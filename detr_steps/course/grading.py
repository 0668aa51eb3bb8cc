"""Grading a folder of notebooks, each in a process of its own with limits on time and memory.

A notebook that hangs, crashes or eats memory costs its own row, and nothing else. This is no
sandbox: the code runs with the rights of whoever grades.
"""

import ast
import csv
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import nbformat
import psutil
from nbformat import NotebookNode
from rich.table import Table
from rich.text import Text

from ..exercises.catalogue import TASKS
from ..exercises.questions import QUESTIONS, ask
from .submission import printable, read_results, short_error

MARK = "DETR_STEPS_SUBMISSION"  # environment variable by which the processes of one are found
INTERVAL = 0.1  # seconds between two looks at a process
NOT_REACHED = "not reached"


@dataclass
class Report:
    """What came of a notebook.

    Args:
        results: name of each solution -> "passed", the mistake's name, "not attempted", ...
        questions: key of each question that it asks -> whether the answer is right.
        note: what happened to the notebook as a whole, if anything did.
    """

    results: dict[str, str] = field(default_factory=dict)
    questions: dict[str, bool] = field(default_factory=dict)
    note: str = ""


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


def grade_notebook(path: Path, time_limit: float, memory_limit: int) -> Report:
    """A report on one notebook, which runs in a process of its own if it has exercises.

    Args:
        path: the notebook.
        time_limit: seconds that it may take.
        memory_limit: bytes that it may take, with all processes that it starts.
    """
    report = Report()
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        exercises = find_exercises(notebook)
        report.questions = mark_questions(notebook)
    except Exception as error:
        report.note = f"cannot be graded: {short_error(error)}"
        return report
    if not exercises:
        report.note = "no exercises"
        return report
    cells = [cell.source for cell in code_cells(notebook)]
    results, report.note = run_apart(cells, exercises, time_limit, memory_limit)
    report.results = {task["solution"]: NOT_REACHED for task in exercises} | results
    if not report.note and NOT_REACHED in report.results.values():
        report.note = "ended before its exercises were checked"
    return report


def run_apart(
    cells: list[str], exercises: list[dict], time_limit: float, memory_limit: int
) -> tuple[dict[str, str], str]:
    """Runs a submission in a process and an empty folder of its own; results, and a note."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        mark, key = secrets.token_hex(), secrets.token_hex()
        report, workplace = (Path(folder, name) for name in (mark, "workplace"))
        workplace.mkdir()
        job = {"cells": cells, "exercises": exercises, "report": str(report), "key": key}
        process = psutil.Popen(
            [sys.executable, "-m", f"{__package__}.submission"],
            cwd=workplace,
            env=os.environ | {MARK: mark, "IPYTHONDIR": folder, "MPLBACKEND": "agg"},
            stdin=PIPE,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(json.dumps(job).encode())  # in no file, where a cell could read the key
        try:
            note = wait(process, time_limit, memory_limit)
        finally:
            end(process, mark)
        try:
            return read_results(report, key, {one["solution"] for one in exercises}), note
        except (OSError, ValueError) as error:
            return {}, note or str(error)


def wait(process: psutil.Popen, time_limit: float, memory_limit: int) -> str:
    """Waits for a process; says what happened if it did not end well, or has to be ended."""
    deadline = time.monotonic() + time_limit
    while True:
        with suppress(psutil.TimeoutExpired):
            return ending(process.wait(INTERVAL))
        if time.monotonic() > deadline:
            return f"stopped after {time_limit:g} s"
        if memory_use(process) > memory_limit:
            return f"stopped at more than {memory_limit / 2**30:.2g} GB of memory"


def ending(code: int) -> str:
    """What an exit code says, nothing if all went well."""
    names = {-number: number.name for number in signal.Signals}
    return f"crashed: {names.get(code, f'exit code {code:d}')}" if code else ""


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it has started, as far as they still run."""
    with suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def memory_use(process: psutil.Process) -> int:
    """Bytes in memory, of a process and all that it has started."""
    total = 0
    for member in family(process):
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


def grade_rows(names: list[str], reports: list[Report]) -> list[dict[str, str]]:
    """One row for each notebook: its name, its exercises, its questions, and what happened."""
    tasks = dict.fromkeys(task for report in reports for task in report.results)
    return [
        {
            "notebook": printable(name),
            **{task: report.results.get(task, "") for task in tasks},
            "questions": count_right(report),
            "note": report.note,
        }
        for name, report in zip(names, reports, strict=True)
    ]


def count_right(report: Report) -> str:
    """How many questions are answered right, of how many."""
    right = sum(report.questions.values())
    return f"{right} of {len(report.questions)}" if report.questions else ""


def write_table(rows: list[dict[str, str]], path: Path) -> None:
    """Writes the rows as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def draw_table(rows: list[dict[str, str]]) -> Table:
    """The rows for a terminal: exercises below each other, so that nine steps fit, too."""
    table = Table("notebook", "exercises", "questions", "note", show_lines=True)
    for row in rows:
        name, *results, questions, note = row.items()
        lines = [f"{task}: {result}" for task, result in results if result]
        cells = (name[1], "\n".join(lines), questions[1], note[1])
        table.add_row(*(Text(cell) for cell in cells))
    return table
