"""What runs in the process of one submission: `python -m detr_steps.course.submission < JOB`.

A job is JSON: the source of all `cells`, the `exercises` (each the name of the attempt and of what
it stands for), and the `report`, the path of the file for what came of each of them.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from ..exercises.catalogue import TASKS
from ..exercises.checker import check, is_attempted
from ..exercises.observing import safely

PASSED = "passed"


def verdict(namespace: Mapping[str, Any], attempt: str, solution: str, error: str = "") -> str:
    """What came of one exercise, in a few words: "passed", the mistake's name, or what else.

    Args:
        namespace: what the notebook has defined.
        attempt: the name that it should have defined.
        solution: the name of what that stands for.
        error: what the cell raised that should have defined it.
    """
    if attempt not in namespace:
        return f"error: {error or f'{attempt} is not defined'}"
    try:
        if callable(namespace[attempt]) and not is_attempted(namespace[attempt]):
            return "not attempted"
        answer = check(namespace[attempt], solution)
    except Exception as failure:
        return f"error: {short_error(failure)}"
    return PASSED if answer.passed else answer.mistake or "not right"


def short_error(error: BaseException) -> str:
    """An error on one short line that every file and terminal takes."""
    return printable(shorten(f"{type(error).__name__}: {safely(str, error)}", 120))


def printable(text: str) -> str:
    """The text with what UTF-8 cannot write, as in odd file names, written as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def run_cells(cells: Iterable[str]) -> tuple[Mapping[str, Any], list[str]]:
    """Runs cells, also after an error; what they have defined, and the error of each or ""."""
    shell = InteractiveShell.instance()
    results = [shell.run_cell(cell) for cell in cells]
    errors = [result.error_before_exec or result.error_in_exec for result in results]
    return shell.user_ns, [short_error(error) if error else "" for error in errors]


def save_results(results: Mapping[str, str], path: Path) -> None:
    """Writes results as JSON; whoever reads the file never sees half of it."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(results), encoding="utf-8")
    new.replace(path)


def work(job: Mapping[str, Any]) -> None:
    """Runs a submission, and reports after each exercise: the next one may be the end."""
    for exercise in job["exercises"]:  # now, while nothing in the package can have been replaced
        _ = TASKS[exercise["solution"]].expected
    namespace, errors = run_cells(job["cells"])
    results = {}
    for exercise in job["exercises"]:
        attempt, solution, cell = (exercise[key] for key in ("attempt", "solution", "cell"))
        results[solution] = verdict(namespace, attempt, solution, errors[cell])
        save_results(results, Path(job["report"]))


if __name__ == "__main__":
    work(json.load(sys.stdin))
    os._exit(0)  # a thread that the notebook has started may never end
