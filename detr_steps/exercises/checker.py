"""The checker: compares what a learner wrote with the package's own step, and names the mistake."""

import dis
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from .answer import Answer
from .catalogue import TASKS
from .general import explain
from .limited import Died, TimeUp, run_limited
from .observing import CONSTRUCTION, OWN_NAMES, Observations, safely
from .reports import STAGES, precedence, report, source_diff, stage
from .tasks import Mistake, Task

PACKAGE = __name__.partition(".")[0]
EMPTY = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "COPY_FREE_VARS"}


def check(attempt: Any, name: str | None = None, hint: int = 1, time_limit: float = 60) -> Answer:
    """Tells whether what you wrote does what the package's own does, and if not, why.

    Your class is built, gets the parameters of the package's (by name and shape), and both run on
    the same inputs. The answer prints; it has `.passed`, `.mistake` (a name, or None), `.message`.

    Args:
        attempt: a class that inherits from the step before, or a class or function with `name`.
        name: what it stands for, as "generalized_box_iou"; not needed for a step.
        hint: 1 for a hint, 2 for a stronger one, 3 for the package's source beside yours.
        time_limit: seconds.
    """
    label = str(getattr(attempt, "__name__", None) or name or "check")
    try:
        task = find_task(attempt, name)
        if isinstance(task, Answer):
            return task
        if not is_attempted(attempt):
            return Answer(False, f"{label}: not attempted yet.")
        with fixed_conditions():
            return best_answer(task, label, attempt, hint, time_limit)
    except TimeUp:
        message = f"{label}: stopped after {time_limit:g} s. Is there a loop that never ends?"
        return Answer(False, message, "no end")
    except Died as error:
        message = f"{label}: it ended the process that it ran in ({error}). The notebook goes on."
        return Answer(False, message, "process ended")
    except Exception as error:  # of something that no one has thought of yet
        found = f"{type(error).__name__}: {safely(str, error)}"
        return Answer(
            False, f"{label}: cannot tell. The check itself failed ({found}).", "cannot tell"
        )


@contextmanager
def fixed_conditions() -> Iterator[None]:
    """Single precision, one thread, gradients; what was set before is set again, seed included."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    try:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(1)  # what is small is done sooner so, and the same on every machine
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


def best_answer(task: Task, label: str, attempt: Any, hint: int, time_limit: float) -> Answer:
    """The answer to an attempt; where its parameters can be matched in several ways, the best one.

    Raises:
        TimeUp: the attempt did not end within `time_limit` seconds.
    """
    _ = task.expected  # its time is not the learner's
    if task.arguments is None:
        found = run_limited(partial(task.observe, attempt), time_limit)
        return make_answer(task, label, attempt, found, hint)
    answers: list[Answer] = []
    for number, matcher in enumerate(task.matchers()):
        try:
            found = run_limited(partial(task.observe, attempt, matcher), time_limit)
        except LookupError:
            continue
        answers.append(make_answer(task, label, attempt, found, hint))
        own_names = (CONSTRUCTION, OWN_NAMES) in found
        if answers[-1].passed or (number > 0 and (answers[-1].mistake or not own_names)):
            break
    return max(answers, key=lambda answer: (answer.passed, answer.mistake is not None))


def find_task(attempt: Any, name: str | None) -> Task | Answer:
    """The task of a name, or of what the attempt inherits from."""
    if not callable(attempt) or isinstance(attempt, torch.nn.Module):
        found = type(attempt).__name__
        return Answer(False, f"check: expected a class or a function, found {found}.")
    if name is not None:
        if name in TASKS:
            return TASKS[name]
        return Answer(False, f"check: expected one of {', '.join(TASKS)}, found {name!r}.")
    return find_by_class(attempt) or Answer(
        False,
        "check: expected a class that inherits from a step, or a name beside it, "
        f"one of {', '.join(TASKS)}.",
    )


def find_by_class(attempt: Any) -> Task | Answer | None:
    """The task of a class: by its own name, as MyStep5, or by the step that it inherits from."""
    name = getattr(attempt, "__name__", "")
    named = [task for task in TASKS.values() if name.lower().endswith(task.name.lower())]
    if named:
        return max(named, key=lambda task: len(task.name))
    own = [one for one in getattr(attempt, "__mro__", ()) if not one.__module__.startswith(PACKAGE)]
    for ancestor in getattr(attempt, "__mro__", ())[1:]:
        for task in TASKS.values():
            if ancestor in getattr(task.solution, "__bases__", ()):
                if sum(issubclass(one, ancestor) for one in own) == 1:
                    return task
                message = f'{name}: which step is it? Write check({name}, "Step5"), for example.'
                return Answer(False, message)
    return None


def is_attempted(attempt: Any) -> bool:
    """Whether anything stands in a class or function beyond its signature."""
    if inspect.isfunction(attempt):
        return not is_stub(attempt)
    if not inspect.isclass(attempt):
        return True
    members = [m for name, m in vars(attempt).items() if inspect.isfunction(m) or name[:2] != "__"]
    parts = (inspect.isfunction(member) or inspect.isclass(member) for member in members)
    return not all(parts) or any(is_attempted(member) for member in members)


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


def make_answer(task: Task, label: str, attempt: Any, found: Observations, hint: int) -> Answer:
    """The answer to what was found."""
    differences = task.differences(found)
    if not differences:
        tried = "; ".join(probe.tried for probe in task.probes)
        lines = [f"{label}: passed. It does what {task.name} does. Tried: {tried}."]
        for remark in task.remarks(found):
            lines.append(f"Remark ({remark.name}): {remark.hint} {remark.stronger}")
        return Answer(True, "\n".join(lines))
    shown = min(differences, key=partial(precedence, found, task.expected))
    mistake = explain(task, attempt, found, shown)
    lines = [
        f"{label}: not right yet ({STAGES[stage(found, task.expected, shown)]}).",
        *report(task, found, shown),
        *advice(task, attempt, mistake, hint),
    ]
    return Answer(False, "\n".join(lines), mistake.name if mistake else None)


def advice(task: Task, attempt: Any, mistake: Mistake | None, hint: int) -> list[str]:
    """Lines on the mistake that was made, and on where there is more help."""
    lines = []
    if mistake:
        lines.append(f"This looks like: {mistake.name}.")
        lines.append(f"Hint: {mistake.stronger if hint == 2 else mistake.hint}")
    if hint >= 3:
        return [*lines, "The package's source beside yours:", source_diff(attempt, task.solution)]
    more = "a stronger hint" if hint < 2 else "the package's source beside yours"
    return [*lines, f"More: check(..., hint={hint + 1}) for {more}."]
