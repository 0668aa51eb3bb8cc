"""The checker: compares what a learner wrote with the package's own step, and names the mistake."""

import difflib
import dis
import inspect
import re
from collections.abc import Callable
from functools import partial
from textwrap import indent
from typing import Any

import torch
from torch import Tensor

from .answer import Answer
from .catalogue import TASKS
from .limited import TimeUp, run_limited
from .observing import CONSTRUCTION, HIDDEN, RENAMED, UNCHANGED, Key, Kind, Observations, Raised
from .tasks import Mistake, Task

STAGES = ("it can be built", "it runs", "types", "shapes", "parameters", "values", "gradients")
GENERAL = (  # where the error's text alone tells the mistake
    (
        r"before Module.__init__",
        Mistake(
            "constructor of the parent not called",
            "A module must be a module before it can hold parts.",
            "What does the parent do in its __init__, and when is it called here?",
        ),
    ),
    (
        r"Can't call numpy\(\) on Tensor that requires grad",
        Mistake(
            "gradient asked of the matching",
            "The assignment is a choice, and a choice has no gradient.",
            "Under which context does PyTorch record nothing?",
        ),
    ),
)
UNEXPECTED = re.compile(r"(\S+)\.__init__\(\) got an unexpected keyword argument")
NOT_PASSED_ON = Mistake(
    "arguments not passed on",
    "Every step takes the arguments of all steps before it.",
    "Which arguments does this constructor name, and what becomes of the others?",
)
NOT_TAKEN = Mistake(
    "new arguments not taken",
    "This step has arguments that the step before does not know.",
    "Which of them must your `__init__` name, so that only the others go on to the parent?",
)
UNREGISTERED = Mistake(
    "layers in a plain list",
    "The model does not know all of its parameters, so none would train or move them.",
    "A module finds the modules that are its attributes, not those inside of a list or dict.",
)
IN_PLACE = Mistake(
    "inputs changed in place",
    "The caller still needs what was given.",
    "Look for `+=`, `x[...] = ...` and methods that end in an underscore.",
)
NOTHING = Mistake(
    "nothing returned",
    "The last line of a function must hand its result on.",
    "A function without `return` returns None.",
)
NOT_FINITE = Mistake(
    "not a finite number",
    "There is a NaN or an infinity in the result.",
    "Where could 0 be divided by 0, or the logarithm of 0 be taken?",
)


def check(attempt: Any, name: str | None = None, hint: int = 1, time_limit: float = 60) -> Answer:
    """Tells whether what you wrote does what the package's own does, and if not, why.

    Your class is built, gets the parameters of the package's (by name and shape), and both are
    asked the same. The answer prints; it has `.passed`, `.mistake` (a name, or None), `.message`.

    Args:
        attempt: a class that inherits from the step before, or a class or function with `name`.
        name: what it stands for, as "generalized_box_iou"; not needed for a step.
        hint: 1 for a hint, 2 for a stronger one, 3 for the package's source beside yours.
        time_limit: seconds.
    """
    task = find_task(attempt, name)
    if isinstance(task, Answer):
        return task
    label = getattr(attempt, "__name__", None) or task.name
    if not is_attempted(attempt):
        return Answer(False, f"{label}: not attempted yet.")
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    try:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(1)  # what is small is done sooner so, and the same on every machine
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            _ = task.expected  # its time is not the learner's
            answers = []
            for by_name in (True, False):  # parameters of other names: two ways to match them
                found = run_limited(partial(task.observe, attempt, by_name), time_limit)
                answers.append(judge(task, label, attempt, found, hint))
                if answers[-1].passed or (CONSTRUCTION, RENAMED) not in found:
                    break
            return max(answers, key=lambda answer: (answer.passed, answer.mistake is not None))
    except TimeUp:
        message = f"{label}: stopped after {time_limit:g} s. Is there a loop that never ends?"
        return Answer(False, message, "no end")
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


def find_task(attempt: Any, name: str | None) -> Task | Answer:
    """The task of a name, or of what the attempt inherits from."""
    if not callable(attempt) or isinstance(attempt, torch.nn.Module):
        found = type(attempt).__name__
        return Answer(False, f"check: expected a class or a function, found {found}.")
    if name is not None:
        if name in TASKS:
            return TASKS[name]
        return Answer(False, f"check: expected one of {', '.join(TASKS)}, found {name!r}.")
    for task in TASKS.values():
        if attempt is task.solution:
            return task
    for ancestor in getattr(attempt, "__mro__", ())[1:]:
        for task in TASKS.values():
            if ancestor in task.solution.__bases__ if inspect.isclass(task.solution) else ():
                return task
    return Answer(
        False,
        "check: expected a class that inherits from a step, or a name beside it, "
        f"one of {', '.join(TASKS)}.",
    )


def is_attempted(attempt: Any) -> bool:
    """Whether anything stands in a class or function beyond its signature."""
    if inspect.isfunction(attempt):
        return not is_stub(attempt)
    if not inspect.isclass(attempt):
        return True
    members = [m for name, m in vars(attempt).items() if inspect.isfunction(m) or name[:2] != "__"]
    return not all(inspect.isfunction(member) and is_stub(member) for member in members)


EMPTY = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "COPY_FREE_VARS"}


def is_stub(function: Callable) -> bool:
    """Whether a function is empty, only calls its parent's constructor, or raises as unfinished."""
    code = function.__code__
    operations = {instruction.opname for instruction in dis.get_instructions(code)}
    names = set(code.co_names)
    if names:
        unfinished = names in ({"NotImplementedError"}, {"super", "__init__"})
        return unfinished and not any("STORE" in name or "JUMP" in name for name in operations)
    constants = set(code.co_consts) - {None, ..., function.__doc__}
    return operations <= EMPTY and not constants


def judge(task: Task, label: str, attempt: Any, found: Observations, hint: int) -> Answer:
    """The answer to what was found."""
    wrong = task.differences(found)
    if not wrong:
        tried = "; ".join(probe.tried for probe in task.probes)
        return Answer(True, f"{label}: passed. It does what {task.name} does. Tried: {tried}.")
    key = min(
        wrong,
        key=lambda key: (is_consequence(found, key), stage(found, task.expected, key), key[0]),
    )
    mistake = explain(task, attempt, found, key)
    lines = [f"{label}: not right yet ({STAGES[stage(found, task.expected, key)]})."]
    if key[0] != CONSTRUCTION:
        lines.append(f"Tried: {task.probes[key[0]].tried}.")
    lines += report(found, task.expected, key)
    if mistake:
        lines.append(f"This looks like: {mistake.name}.")
        lines.append(f"Hint: {mistake.stronger if hint == 2 else mistake.hint}")
    if hint >= 3:
        lines += ["The package's source beside yours:", source_diff(attempt, task.solution)]
    else:
        more = "a stronger hint" if hint < 2 else "the package's source beside yours"
        lines.append(f"More: check(..., hint={hint + 1}) for {more}.")
    return Answer(False, "\n".join(lines), mistake.name if mistake else None)


def is_consequence(found: Observations, key: Key) -> bool:
    """Whether a probe failed outside of the learner's code, over something that it did not get."""
    probe = found.get((key[0], ""))
    return isinstance(probe, Raised) and not probe.own and key[0] != CONSTRUCTION


def explain(task: Task, attempt: Any, found: Observations, key: Key) -> Mistake | None:
    """The mistake, general or of this task."""
    leaf = found.get(key)
    if isinstance(leaf, Raised):
        refusing = UNEXPECTED.match(leaf.text)
        own, *ancestors = getattr(attempt, "__mro__", (None,))
        if refusing and own and refusing[1] == own.__qualname__:
            return NOT_PASSED_ON
        if refusing and refusing[1] in {ancestor.__qualname__ for ancestor in ancestors}:
            return NOT_TAKEN
        for pattern, mistake in GENERAL:
            if re.search(pattern, leaf.text):
                return mistake
    if key == (CONSTRUCTION, "parameters missing") and (CONSTRUCTION, HIDDEN) in found:
        return UNREGISTERED
    if any(path == UNCHANGED and leaf is False for (_, path), leaf in found.items()):
        return IN_PLACE
    known = task.name_mistake(found, key)
    if known is None and leaf is None and key in found:
        return NOTHING
    if known is None and isinstance(leaf, Tensor) and leaf.is_floating_point():
        return None if leaf.isfinite().all() else NOT_FINITE
    return known


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
    return 5 if type(leaf) is type(wanted) and not isinstance(leaf, Kind) else 2


def report(found: Observations, expected: Observations, key: Key) -> list[str]:
    """Lines on what came and what was expected."""
    part = f"the result{key[1]}" if key[1].startswith("[") else key[1]
    where = f" of {part}" if part else ""
    probe = found.get((key[0], ""))
    leaf = probe if isinstance(probe, Raised) else found.get(key, "nothing: it is missing")
    wanted = expected[key]
    lines = [f"Found{where}: {describe(leaf)}", f"Expected: {describe(wanted)}"]
    if isinstance(wanted, bool) and not isinstance(leaf, Raised):
        said = key[1].strip("[']")
        return [f"Expected: {said}. It is not so."]
    if isinstance(leaf, Tensor) and isinstance(wanted, Tensor) and leaf.shape == wanted.shape:
        lines[1:] = compare(leaf, wanted)
    return lines


def describe(leaf: Any) -> str:
    """An observation in words."""
    if isinstance(leaf, Raised):
        line = f"\n    in the line: {leaf.line}" if leaf.line else ""
        return f"{leaf.error}: {leaf.text}{line}"
    if isinstance(leaf, Kind):
        return leaf.name
    if isinstance(leaf, Tensor):
        return f"{str(leaf.dtype).removeprefix('torch.')} {list(leaf.shape)}"
    return str(leaf)


def compare(found: Tensor, expected: Tensor) -> list[str]:
    """Lines on two tensors of the same shape: where they differ most."""
    if found.dtype != expected.dtype or not found.numel():
        return [f"Expected: {describe(expected)}"]
    gap = (found.double() - expected.double()).abs().nan_to_num(nan=torch.inf)
    index = list(torch.unravel_index(gap.argmax(), gap.shape))
    at = f" at {[int(i) for i in index]}" if index else ""
    ours, theirs = float(found[tuple(index)]), float(expected[tuple(index)])
    numbers = f"found {ours:.3g}, expected {theirs:.3g}"
    return [f"Expected: the same shape, other values. The largest difference{at}: {numbers}"]


def source_diff(attempt: Any, solution: Any) -> str:
    """What has to change in the learner's source to make it the package's."""
    left, right = source_of(attempt), inspect.getsource(solution).rstrip()
    lines = difflib.unified_diff(
        left.splitlines(), right.splitlines(), "yours", "the package's", lineterm="", n=2
    )
    return indent("\n".join(lines), "    ")


def source_of(attempt: Any) -> str:
    """The source of a class or function, as far as Python knows it."""
    try:
        return inspect.getsource(attempt).rstrip()
    except (
        TypeError,
        OSError,
    ):  # before Python 3.13 the source of a class in a notebook is unknown
        functions = [m for m in vars(attempt).values() if inspect.isfunction(m)]
        return "\n\n".join(inspect.getsource(function).rstrip() for function in functions)
