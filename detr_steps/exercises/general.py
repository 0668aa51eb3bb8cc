"""The mistakes that can be made in any task, recognised by an error's text or by what came back."""

import inspect
import re
from typing import Any

from torch import Tensor

from ..backbone import build_backbone
from ..step0_resnet_fpn import ResNetFPN
from .observing import CONSTRUCTION, HIDDEN, UNCHANGED, Key, Observations, Raised
from .tasks import Mistake, Task

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
UNEXPECTED = re.compile(r"(\S+)\(\) got an unexpected keyword argument '(\w+)'")
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


def explain(task: Task, attempt: Any, found: Observations, shown: Key) -> Mistake | None:
    """The mistake, general or of the task, behind the difference that is shown to the learner."""
    leaf = found.get(shown)
    if isinstance(leaf, Raised):
        mistake = explain_argument(task, attempt, leaf) or explain_text(leaf)
        if mistake:
            return mistake
    if shown == (CONSTRUCTION, "parameters missing") and (CONSTRUCTION, HIDDEN) in found:
        return UNREGISTERED
    if any(path == UNCHANGED and leaf is False for (_, path), leaf in found.items()):
        return IN_PLACE
    known = task.name_mistake(found, shown)
    if known is None and leaf is None and shown in found:
        return NOTHING
    if known is None and isinstance(leaf, Tensor) and leaf.is_floating_point():
        return None if leaf.isfinite().all() else NOT_FINITE
    return known


def explain_argument(task: Task, attempt: Any, error: Raised) -> Mistake | None:
    """What it means that a constructor does not know one of the task's arguments."""
    refused = UNEXPECTED.match(error.text)
    if not refused or not inspect.isclass(attempt) or refused[2] not in task.arguments():
        return None
    own, *parents = (f"{parent.__qualname__}.__init__" for parent in attempt.__mro__)
    if refused[1] == own:
        return NOT_PASSED_ON
    if issubclass(attempt, ResNetFPN):
        parents.append(build_backbone.__name__)  # where the arguments that no step takes arrive
    return NOT_TAKEN if refused[1] in parents else None


def explain_text(error: Raised) -> Mistake | None:
    """The mistake whose error has this text."""
    return next((mistake for text, mistake in GENERAL if re.search(text, error.text)), None)
