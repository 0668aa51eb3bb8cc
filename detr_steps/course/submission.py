"""What runs in the process of one submission: `python -m detr_steps.course.submission < JOB`.

A job is JSON: the source of all `cells`, the `exercises` (each the name of the attempt and of what
it stands for), the `report`, the path of the file for what came of each of them, and the `key` by
which that file is signed, so that no cell can write it.
"""

import hmac
import json
import os
import sys
from collections.abc import Container, Iterable, Mapping
from functools import partial
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


def save_results(results: Mapping[str, str], path: Path, key: str) -> None:
    """Writes results as signed JSON; whoever reads the file never sees half of it."""
    content = json.dumps(results)
    new = path.with_suffix(".new")
    new.write_text(f"{signature(content, key)}\n{content}", encoding="utf-8")
    new.replace(path)


def read_results(path: Path, key: str, known: Container[str]) -> dict[str, str]:
    """The results in a file that `save_results` has written with this key; none without a file.

    Args:
        path: the file.
        key: the one of the job.
        known: the names of the exercises.

    Raises:
        ValueError: somebody else has written the file.
    """
    if not path.exists():
        return {}
    signed, _, content = path.read_text(encoding="utf-8", errors="replace").partition("\n")
    if not hmac.compare_digest(signed.encode(), signature(content, key).encode()):
        raise ValueError("its report was not written by the check")
    return {task: result for task, result in json.loads(content).items() if task in known}


def signature(content: str, key: str) -> str:
    """What nobody can write below a content without its key."""
    return hmac.new(key.encode(), content.encode(), "sha256").hexdigest()


def work(job: dict[str, Any]) -> None:
    """Runs a submission, and reports after each exercise: the next one may be the end."""
    save = partial(save_results, path=Path(job.pop("report")), key=job.pop("key"))
    for exercise in job["exercises"]:  # now, while nothing in the package can have been replaced
        _ = TASKS[exercise["solution"]].expected
    namespace, errors = run_cells(job["cells"])
    results = {}
    for exercise in job["exercises"]:
        attempt, solution, cell = (exercise[key] for key in ("attempt", "solution", "cell"))
        results[solution] = verdict(namespace, attempt, solution, errors[cell])
        save(results)


if __name__ == "__main__":
    work(json.load(sys.stdin))
    os._exit(0)  # a thread that the notebook has started may never end
