"""What the learner reads: what was tried, what came, what was expected, and where they differ."""

import difflib
import inspect
from textwrap import indent
from typing import Any

import torch
from torch import Tensor

from ..inputs import kind
from .observing import CONSTRUCTION, Key, Observations, Raised, TypeName
from .tasks import Task

STAGES = ("it can be built", "it runs", "types", "shapes", "parameters", "values", "gradients")


def stage(found: Observations, expected: Observations, key: Key) -> int:
    """How early a difference shows: an index of STAGES."""
    leaf, wanted = found.get(key), expected[key]
    if key[0] == CONSTRUCTION:
        return 4 if key[1] else 0
    if isinstance(found.get((key[0], "")), Raised):
        return 1
    if key[1].startswith("gradient"):
        return 6
    if isinstance(leaf, Tensor) and isinstance(wanted, Tensor):
        return 2 if leaf.dtype != wanted.dtype else 3 if leaf.shape != wanted.shape else 5
    return 5 if type(leaf) is type(wanted) and not isinstance(leaf, TypeName) else 2


def precedence(found: Observations, expected: Observations, key: Key) -> tuple[bool, int, int]:
    """By which the difference that is shown is chosen: the lowest one.

    Last come the probes that failed outside of the learner's code, over something that it did not
    get.
    """
    probe = found.get((key[0], ""))
    consequence = isinstance(probe, Raised) and not probe.own and key[0] != CONSTRUCTION
    return consequence, stage(found, expected, key), key[0]


def report(task: Task, found: Observations, key: Key) -> list[str]:
    """Lines on what was tried, what came and what was expected."""
    tried = [] if key[0] == CONSTRUCTION else [f"Tried: {task.probes[key[0]].tried}."]
    part = f"the result{key[1]}" if key[1].startswith("[") else key[1]
    where = f" of {part}" if part else ""
    probe, wanted = found.get((key[0], "")), task.expected[key]
    leaf = probe if isinstance(probe, Raised) else found.get(key, "nothing: it is missing")
    if isinstance(wanted, bool) and not isinstance(leaf, Raised):
        statement = key[1].strip("[']")
        return [*tried, f"Expected: {statement}. It is not so."]
    if isinstance(leaf, Tensor) and isinstance(wanted, Tensor) and leaf.shape == wanted.shape:
        expected = compare(leaf, wanted)
    else:
        expected = f"Expected: {in_words(wanted)}"
    return [*tried, f"Found{where}: {in_words(leaf)}", expected]


def in_words(leaf: Any) -> str:
    """An observation as a learner reads it."""
    if isinstance(leaf, Raised):
        line = f"\n    in the line: {leaf.line}" if leaf.line else ""
        return f"{leaf.error}: {leaf.text}{line}"
    if isinstance(leaf, TypeName):
        return leaf.name
    if isinstance(leaf, Tensor):
        return kind(leaf)
    return str(leaf)


def compare(found: Tensor, expected: Tensor) -> str:
    """A line on two tensors of the same shape: where they differ most."""
    if found.dtype != expected.dtype or not found.numel():
        return f"Expected: {in_words(expected)}"
    gap = (found.double() - expected.double()).abs().nan_to_num(nan=torch.inf)
    index = list(torch.unravel_index(gap.argmax(), gap.shape))
    at = f" at {[int(i) for i in index]}" if index else ""
    ours, theirs = float(found[tuple(index)]), float(expected[tuple(index)])
    numbers = f"found {ours:.3g}, expected {theirs:.3g}"
    return f"Expected: the same shape, other values. The largest difference{at}: {numbers}"


def source_diff(attempt: Any, solution: Any) -> str:
    """What has to change in the learner's source to make it the package's."""
    left, right = attempt_source(attempt), inspect.getsource(solution).rstrip()
    lines = difflib.unified_diff(
        left.splitlines(), right.splitlines(), "yours", "the package's", lineterm="", n=2
    )
    return indent("\n".join(lines), "    ")


def attempt_source(attempt: Any) -> str:
    """The source of a class or function, as far as Python knows it."""
    try:
        return inspect.getsource(attempt).rstrip()
    except (TypeError, OSError):  # before Python 3.13: a class in a notebook has no known source
        functions = [m for m in vars(attempt).values() if inspect.isfunction(m)]
        return "\n\n".join(inspect.getsource(function).rstrip() for function in functions)
