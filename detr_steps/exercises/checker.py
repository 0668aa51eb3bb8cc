"""The checker: compares what a learner wrote with the package's own step, and names the mistake."""

import dis
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from .answer import DIFFERENCE, Answer
from .catalogue import TASKS
from .diagnosis import Diagnosis
from .general import explain
from .limited import Died, TimeUp, run_limited
from .location import locate, look
from .observing import CONSTRUCTION, OWN_NAMES, Key, Matcher, Observations, safely
from .relations import name_of
from .reports import STAGES, precedence, relation_of, report, source_diff, stage
from .tasks import Task

PACKAGE = __name__.partition(".")[0]
GIVEN = {"super", "__init__", "emb_dim", "num_classes", "layer_args"}  # what stands in a stub
GIVEN_MATCH = {"check_targets", "shape", "num_classes"}  # and in that of Step 7
BY_ROLES = 1  # the place of this way to match parameters among all
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


BORROWED = "this is the package's, or all that it does is done by the package's."
UNSURE = (
    "The package's weights were copied into your parameters in every way that fits, and the "
    "results still differ: look for a step of the computation that is another one."
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
    judge = Judge(task, label, attempt, hint)
    tried: list[tuple[Answer, Observations]] = []
    for number, matcher in enumerate(ways_to_match(task, attempt, time_limit)):
        try:
            found = run_limited(partial(task.observe, attempt, matcher), time_limit)
        except LookupError:
            continue
        answer = judge.answer(found)
        tried.append((answer, found))
        own_names = (CONSTRUCTION, OWN_NAMES) in found
        if number == BY_ROLES:  # it does in this probe what the package's does
            tried = tried[-1:]
            break
        if answer.passed or (answer.mistake and (number > 0 or not own_names)):
            break
    best = max((answer for answer, _ in tried), key=lambda one: (one.passed, bool(one.mistake)))
    if best.passed or best.mistake:
        return best
    closest = min((found for _, found in tried), key=lambda found: len(task.differences(found)))
    where, shown = None, judge.shown(closest)
    relation = relation_of(task, closest, shown)
    if task.views and isinstance(closest.get(shown), torch.Tensor) and not name_of(relation):
        where = locate(task, run_limited(partial(look, task, attempt), time_limit))
    return judge.answer(closest, last=True, where=where)


def ways_to_match(task: Task, attempt: Any, time_limit: float) -> Iterator[Matcher]:
    """Ways to find out which parameter of an attempt is which.

    The last ones know what parameters do in a model that makes a known mistake.
    """
    yield from task.matchers()
    if task.arguments is not None:
        results = run_limited(partial(task.first_results, attempt), time_limit)
        for wrong in task.wrong:
            if wrong.may_be(results):
                yield partial(task.match_roles, wrong.solution)


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
    """Whether a function is empty, does what the page's stub does, or raises as unfinished."""
    code = function.__code__
    # Python 3.15 loads None by an operation that loads other things as well
    instructions = (one for one in dis.get_instructions(code) if one.argrepr != "None")
    operations = {instruction.opname for instruction in instructions}
    names = set(code.co_names)
    if names:
        if any("JUMP" in name or "STORE_FAST" in name for name in operations):
            return False
        return names == {"NotImplementedError"} or names <= GIVEN or names == GIVEN_MATCH
    constants = set(code.co_consts) - {None, ..., function.__doc__}
    return operations <= EMPTY and not constants


@dataclass(frozen=True)
class Judge:
    """What turns observations of an attempt into an answer.

    Args:
        task, label, attempt: what was to be written, what it is called, and what was written.
        hint: as for `check`.
    """

    task: Task
    label: str
    attempt: Any
    hint: int

    def shown(self, found: Observations) -> Key | None:
        """The difference that the learner gets to see; None where there is none."""
        earliest = partial(precedence, found, self.task.expected)
        return min(self.task.differences(found), key=earliest, default=None)

    def answer(
        self, found: Observations, last: bool = False, where: str | Diagnosis | None = None
    ) -> Answer:
        """The answer to what was found.

        Args:
            found: the observations.
            last: whether all is tried: two mistakes at once, and names of any exercise.
            where: where the mistake lies, or one of several, found by looking at the parts.
        """
        shown = self.shown(found)
        if shown is None:
            return self.praise(found)
        relation = relation_of(self.task, found, shown)
        diagnosis = where if isinstance(where, Diagnosis) else None
        diagnosis = diagnosis or explain(self.task, self.attempt, found, shown, relation, last)
        lines = [
            f"{self.label}: not right yet: {STAGES[stage(found, self.task.expected, shown)]}.",
            *report(self.task, found, shown, relation, self.hint),
        ]
        if isinstance(where, str):
            lines.append(where)
        elif last and diagnosis is None and (CONSTRUCTION, OWN_NAMES) in found:
            lines.append(UNSURE)
        lines += self.advice(diagnosis)
        return Answer(False, "\n".join(lines), diagnosis.mistake.name if diagnosis else None)

    def praise(self, found: Observations) -> Answer:
        """The answer to an attempt that is right."""
        tried = "; ".join(probe.tried for probe in self.task.probes)
        lines = [f"{self.label}: passed. It does what {self.task.name} does. Tried: {tried}."]
        remarks = {}
        if is_borrowed(self.attempt, self.task.solution):
            remarks["the package's own"] = BORROWED
        for remark in self.task.remarks(found):
            remarks[remark.name] = f"{remark.hint} {remark.stronger}"
        lines += [f"Remark ({name}): {text}" for name, text in remarks.items()]
        return Answer(True, "\n".join(lines), remarks=tuple(remarks))

    def advice(self, diagnosis: Diagnosis | None) -> list[str]:
        """Lines on the mistake that was made, and on where there is more help."""
        lines = []
        if diagnosis:
            mistake = diagnosis.mistake
            lines.append(f"This looks like: {mistake.name}.")
            lines.append(f"Hint: {mistake.stronger if self.hint == 2 else mistake.hint}")
            if diagnosis.more:
                lines.append("Something else may differ as well: check again when this is done.")
        if self.hint >= 3:
            source = source_diff(self.attempt, self.task.solution)
            return [*lines, DIFFERENCE, source]
        more = "a stronger hint" if self.hint < 2 else "the package's source beside yours"
        return [*lines, f"More: check(..., hint={self.hint + 1}) for {more}."]


def is_borrowed(attempt: Any, solution: Callable) -> bool:
    """Whether an attempt is the solution, inherits from it, or is a function that calls it."""
    if inspect.isclass(attempt):
        return issubclass(attempt, solution)
    if not inspect.isfunction(attempt):
        return attempt is solution
    known = attempt.__globals__ | inspect.getclosurevars(attempt).nonlocals
    names = attempt.__code__.co_names + attempt.__code__.co_freevars
    return attempt is solution or any(known.get(name) is solution for name in names)
