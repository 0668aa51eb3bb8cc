"""What the learner reads: what was tried, what came, what was expected, and where they differ."""

import difflib
import inspect
import re
import sys
from textwrap import indent
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor

from ..inputs import kind
from .observing import CONSTRUCTION, Key, Observations, Raised, TypeName, same
from .relations import Relation, relate
from .tasks import Task

STAGES = (
    "it cannot be built",
    "it ends in an error",
    "a result has the wrong type",
    "a shape differs",
    "its parameters are not those that are needed",
    "the values differ",
    "the gradients differ",
)
SHOWN = 6  # numbers in a row
MISSING = "nothing: it is missing"
COUNTERPARTS = (
    ("parameters missing", "the package's step and not in yours"),
    ("parameters added", "yours and not in the package's step"),
)


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


def report(
    task: Task, found: Observations, key: Key, relation: Relation | None, hint: int
) -> list[str]:
    """Lines on what was tried, what came and what was expected."""
    tried = [] if key[0] == CONSTRUCTION else [f"Tried: {task.probes[key[0]].tried}."]
    where = f" of {part_in_words(key[1])}" if key[1] else ""
    probe, wanted = found.get((key[0], "")), task.expected[key]
    leaf = probe if isinstance(probe, Raised) else found.get(key, MISSING)
    if isinstance(wanted, bool) and not isinstance(leaf, Raised):
        statement = key[1].strip("[']")
        return [*tried, f"Expected: {statement}. It is not so."]
    if key[0] == CONSTRUCTION and key[1]:
        return [
            *tried,
            *(
                f"In {words}: {found.get((CONSTRUCTION, path), wanted)}"
                for path, words in COUNTERPARTS
            ),
        ]
    lines = [*tried, f"Found{where}: {in_words(leaf)}", *entries_before(key[1])]
    text = relation.text if relation else ""
    if not (isinstance(leaf, Tensor) and isinstance(wanted, Tensor) and comparable(leaf, wanted)):
        return [*lines, f"Expected: {in_words(wanted)}. {text}".rstrip(". ")]
    if leaf.numel() == 1:
        lines[len(tried)] = f"Found{where}: {float(leaf):.4g}"
        return [*lines, f"Expected: {float(wanted):.4g}. {text}".rstrip()]
    lines.append("Expected: the same shape, other values. " + (text or spread(leaf, wanted)))
    return lines + (numbers(leaf, wanted) + verdicts(task, found, key[0]) if hint >= 2 else [])


def comparable(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors have the same shape and type."""
    return left.shape == right.shape and left.dtype == right.dtype


def relation_of(task: Task, found: Observations, key: Key) -> Relation | None:
    """How what was found under a key is related to what was expected; of a number its gradient."""
    leaf, wanted = found.get(key), task.expected[key]
    if not (isinstance(leaf, Tensor) and isinstance(wanted, Tensor)):
        return None
    if not leaf.is_floating_point() and comparable(leaf, wanted) and leaf.dtype != torch.bool:
        return None  # of indices, which agree by chance
    others = {
        part_in_words(path): other
        for (number, path), other in task.expected.items()
        if number == key[0] and path != key[1] and path.startswith("[")
    }
    if leaf.numel() != 1 or wanted.numel() != 1:
        return relate(leaf, wanted, others)
    for (number, path), wanted in task.expected.items():
        gradient = found.get((number, path))
        if (
            number == key[0]
            and path.startswith("gradient of input")
            and isinstance(gradient, Tensor)
            and not same(gradient, wanted)
        ):
            relation = relate(gradient, wanted, {})
            if relation and relation.name:
                return Relation(relation.name, f"This holds for the {path}: {relation.text}")
    return None


def entries_before(path: str) -> list[str]:
    """A line on the entries of a list before the one that is shown, which are right."""
    index = re.match(r"\[(\d+)\]", path)
    if not index or index[1] == "0":
        return []
    last = int(index[1]) - 1
    return ["Entry 0 is right." if not last else f"Entries 0 to {last} are right."]


def part_in_words(path: str) -> str:
    """What a path leads to."""
    return f"the result{path}" if path.startswith("[") else path or "the result"


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


def spread(found: Tensor, expected: Tensor) -> str:
    """A sentence on where two tensors of the same shape differ."""
    gap = (found.double() - expected.double()).abs().nan_to_num(nan=torch.inf)
    wrong = int((gap > 1e-3 * expected.double().abs().max() + 1e-7).sum())
    index = torch.unravel_index(gap.argmax(), gap.shape)
    ours, theirs = float(found[tuple(index)]), float(expected[tuple(index)])
    where = f"most of all at {[int(i) for i in index]}: {ours:.3g} in place of {theirs:.3g}"
    return f"{wrong} of {gap.numel()} numbers differ, {where}."


def numbers(found: Tensor, expected: Tensor) -> list[str]:
    """The first row that differs, of both tensors."""
    left, right = (x.detach().reshape(-1, x.shape[-1] if x.dim() else 1) for x in (found, expected))
    row = next((i for i in range(len(left)) if not same(left[i], right[i])), 0)
    shown = (", ".join(f"{float(v):.4g}" for v in x[row, :SHOWN]) for x in (left, right))
    more = ", ..." if left.shape[1] > SHOWN else ""
    return [
        f"    {who} {values}{more}"
        for who, values in zip(("yours:   ", "expected:"), shown, strict=True)
    ]


def verdicts(task: Task, found: Observations, number: int) -> list[str]:
    """Which results of a probe are right, and which are not, if there are several."""
    names: dict[bool, list[str]] = {True: [], False: []}
    for key, wanted in task.expected.items():
        if key[0] == number and key[1].startswith("[") and isinstance(wanted, Tensor):
            names[same(found.get(key), wanted)].append(key[1])
    if not names[True] or not names[False]:
        return []
    return [f"Right: {', '.join(names[True])}. Not right: {', '.join(names[False])}."]


def source_diff(attempt: Any, solution: Any) -> str:
    """What has to change in the learner's source to make it the package's."""
    left, right = (
        "\n\n\n".join(source_of(one) for one in definitions(thing)) for thing in (attempt, solution)
    )
    lines = difflib.unified_diff(
        left.splitlines(), right.splitlines(), "yours", "the package's", lineterm="", n=2
    )
    return indent("\n".join(lines), "    ")


def definitions(thing: Any) -> list[Any]:
    """A class or function, after those of the same module that it is made of."""
    found: list[Any] = []

    def add(one: Any) -> None:
        if one in waiting or one in found:
            return
        waiting.append(one)
        for name in names_in(one):
            other = namespace.get(name)
            if callable(other) and getattr(other, "__module__", None) == thing.__module__:
                add(other)
        found.append(one)

    waiting: list[Any] = []
    namespace = globals_of(thing)
    add(thing)
    return found


def functions_of(thing: Any) -> list[FunctionType]:
    """A function, or those of a class."""
    members = vars(thing).values() if inspect.isclass(thing) else [thing]
    return [inspect.unwrap(one) for one in members if inspect.isfunction(one)]


def globals_of(thing: Any) -> dict[str, Any]:
    """The names that a class or function can use."""
    functions = functions_of(thing)
    return functions[0].__globals__ if functions else vars(sys.modules.get(thing.__module__, sys))


def names_in(thing: Any) -> list[str]:
    """The names that a class or function uses, in the order of their first use."""
    names = [base.__name__ for base in getattr(thing, "__bases__", ())]
    if inspect.isclass(thing):
        names += [one.__name__ for one in vars(thing).values() if inspect.isclass(one)]
    waiting = [function.__code__ for function in functions_of(thing)]
    while waiting:
        code = waiting.pop(0)
        names += code.co_names
        waiting += [one for one in code.co_consts if isinstance(one, CodeType)]
    return list(dict.fromkeys(names))


def source_of(thing: Any) -> str:
    """The source of a class or function, as far as Python knows it."""
    try:
        return inspect.getsource(thing).rstrip()
    except (TypeError, OSError):  # before Python 3.13: a class in a notebook has no known source
        functions = functions_of(thing) if inspect.isclass(thing) else []
        return "\n\n".join(map(source_of, functions)) or f"({thing.__name__}: no source)"
