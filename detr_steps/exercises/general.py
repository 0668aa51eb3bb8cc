"""The mistakes that can be made in any task, recognised by an error's text or by what came back."""

import inspect
import re
from typing import Any

from torch import Tensor

from ..backbone import build_backbone
from ..step0_resnet_fpn import ResNetFPN
from .diagnosis import Diagnosis, diagnose
from .mistakes import ANY, MISTAKES, named
from .observing import CONSTRUCTION, HIDDEN, SHARED, UNCHANGED, Key, Observations, Raised, TypeName
from .relations import Relation, name_of
from .reports import MISSING
from .tasks import Task

UNEXPECTED = re.compile(r"(\S+)\(\) got an unexpected keyword argument '(\w+)'")


def explain(
    task: Task,
    attempt: Any,
    found: Observations,
    shown: Key,
    relation: Relation | None,
    pairs: bool,
) -> Diagnosis | None:
    """What is behind the difference that is shown to the learner; see `diagnose`."""
    leaf = found.get(shown, MISSING)
    name = explain_argument(task, attempt, leaf) if isinstance(leaf, Raised) else None
    if shown == (CONSTRUCTION, "parameters missing") and (CONSTRUCTION, HIDDEN) in found:
        name = "layers in a plain list"
    elif any(path == UNCHANGED and leaf is False for (_, path), leaf in found.items()):
        name = "inputs changed in place"
    known = None if name else diagnose(task, found, shown, pairs and not name_of(relation))
    if known:
        return known
    name = name or explain_leaf(leaf)
    if name is None and shown[0] == CONSTRUCTION and (CONSTRUCTION, SHARED) in found:
        name = "one layer, used again"
    if name is None and pairs:
        name = name_of(relation) or explain_kind(leaf, task.expected[shown], shown)
    return Diagnosis(named(name)) if name else None


def explain_leaf(leaf: Any) -> str | None:
    """What an error's text, nothing or numbers that are not finite mean in any exercise."""
    if isinstance(leaf, Raised):
        text = f"{leaf.error}: {leaf.text}"
        known = (one.name for one in MISTAKES[ANY] if one.error and re.search(one.error, text))
        return next(known, None)
    if leaf is None:
        return "nothing returned"
    if isinstance(leaf, Tensor) and leaf.is_floating_point() and not leaf.isfinite().all():
        return "not a finite number"
    return None


def explain_kind(leaf: Any, wanted: Any, shown: Key) -> str | None:
    """What it means that something of another kind was found."""
    if shown[0] == CONSTRUCTION:
        return "parameters that are missing or too many" if shown[1] else None
    if leaf is MISSING:
        return "something is missing from the result"
    if "default of" in shown[1]:
        return "another default"
    if not isinstance(wanted, Tensor) and not isinstance(wanted, TypeName):
        return None
    if not isinstance(leaf, Tensor) or not isinstance(wanted, Tensor):
        return "a result of another kind"
    if leaf.shape != wanted.shape:
        return "a result of another shape"
    if leaf.dtype != wanted.dtype:
        return "numbers of another type"
    return "a gradient that does not arrive" if is_lost(leaf, shown) else None


def is_lost(leaf: Tensor, shown: Key) -> bool:
    """Whether a gradient is 0 everywhere."""
    return shown[1].startswith("gradient") and not leaf.any()


def explain_argument(task: Task, attempt: Any, error: Raised) -> str | None:
    """What it means that a constructor does not know one of the task's arguments."""
    refused = UNEXPECTED.match(error.text)
    if not refused or not inspect.isclass(attempt) or refused[2] not in task.arguments():
        return None
    own, *parents = (f"{parent.__qualname__}.__init__" for parent in attempt.__mro__)
    if refused[1] == own:
        return "arguments not passed on"
    if issubclass(attempt, ResNetFPN):
        parents.append(build_backbone.__name__)  # where the arguments that no step takes arrive
    return "new arguments not taken" if refused[1] in parents else None
