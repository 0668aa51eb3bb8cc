"""What runs in the process of one submission: `python -m detr_steps.course.submission < JOB`.

A job is JSON: the source of all `cells`, the `exercises` (each the name of the attempt and of what
it stands for), the `report`, the path of the file for what came of each of them, and the `key` by
which that file is signed, so that no cell can write it.
"""

import hmac
import json
import os
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from IPython.core.interactiveshell import InteractiveShell

from ..exercises.catalogue import TASKS
from ..exercises.checker import check, is_attempted
from ..exercises.observing import safely
from ..writing import write_text

PASSED = "passed"
REPORT_SIZE = 2**20  # bytes, more than any report has
CHECKED_WITH = (torch, torch.Tensor, torch.nn, torch.nn.functional, torch.nn.Module)


def verdict(
    namespace: Mapping[str, Any],
    attempt: str,
    solution: str,
    error: str = "",
    remarks: Iterable[str] = (),
) -> str:
    """What came of one exercise, in a few words: "passed", the mistake's name, or what else.

    What is remarkable about an attempt that has passed stands behind it, in brackets.

    Args:
        namespace: what the notebook has defined.
        attempt: the name that it should have defined.
        solution: the name of what that stands for.
        error: what the cell raised that should have defined it.
        remarks: more of them, on the notebook as a whole.
    """
    if attempt not in namespace:
        return f"error: {error or f'{attempt} is not defined'}"
    try:
        if callable(namespace[attempt]) and not is_attempted(namespace[attempt]):
            return "not attempted"
        answer = check(namespace[attempt], solution)
    except Exception as failure:
        return f"error: {short_error(failure)}"
    if not answer.passed:
        return answer.mistake or "not right"
    noted = "; ".join([*answer.remarks, *remarks])
    return f"{PASSED} ({noted})" if noted else PASSED


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


def tools() -> Iterator[tuple[str, Any, Any]]:
    """Each function and class that the check works with: its name, itself, and its code."""
    own = [one for name, one in sys.modules.items() if name.startswith("detr_steps")]
    for owner in (*CHECKED_WITH, *own):
        for name, thing in list(vars(owner).items()):
            if callable(thing):
                yield f"{owner.__name__}.{name}", thing, getattr(thing, "__code__", None)


def replaced(before: Iterable[tuple[str, Any, Any]]) -> list[str]:
    """The names of those of the tools that are others than before, as remarks."""
    now = {name: (thing, code) for name, thing, code in tools()}
    others = [
        name
        for name, thing, code in before
        if name not in now or now[name][0] is not thing or now[name][1] is not code
    ]
    more = [f"and {len(others) - 3} more"] if len(others) > 3 else []
    return [f"replaced {', '.join(others[:3] + more)}"] if others else []


def save_results(results: Mapping[str, str], path: Path, key: str) -> None:
    """Writes results as signed JSON; whoever reads the file never sees half of it."""
    content = json.dumps(results)
    write_text(path, f"{signature(content, key)}\n{content}")


def read_results(path: Path, key: str, known: Container[str]) -> dict[str, str]:
    """The results in a file that `save_results` has written with this key; none without a file.

    Args:
        path: the file.
        key: the one of the job.
        known: the names of the exercises.

    Raises:
        ValueError: somebody else has written the file.
    """
    if path.is_symlink() or not path.is_file():  # a pipe, for example, would never end
        return {}
    if path.stat().st_size > REPORT_SIZE:
        raise ValueError("its report was not written by the check")
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
    before = list(tools())
    namespace, errors = run_cells(job["cells"])
    remarks = replaced(before)
    results = {}
    for exercise in job["exercises"]:
        attempt, solution, cell = (exercise[key] for key in ("attempt", "solution", "cell"))
        results[solution] = verdict(namespace, attempt, solution, errors[cell], remarks)
        save(results)


if __name__ == "__main__":
    work(json.load(sys.stdin))
    os._exit(0)  # a thread that the notebook has started may never end
