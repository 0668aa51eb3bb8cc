"""Where a mistake lies: what an attempt does where a part adds nothing, or in a simpler case."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from .diagnosis import Diagnosis, diagnose
from .observing import CONSTRUCTION, OWN_NAMES, Observations
from .reports import precedence
from .tasks import Task
from .transfer import match_in_order, match_parameters

Views = dict[str, Observations]


def look(task: Task, attempt: Callable) -> list[Views]:
    """What an attempt does in each view of a task, for each simple way to match parameters."""
    seen: list[Views] = []
    for way in (match_parameters, match_in_order):
        with suppress(LookupError):  # the second leads to what the first does
            seen.append({words: view.observe(attempt, way) for words, view in task.views.items()})
    return seen


def locate(task: Task, seen: list[Views]) -> str | Diagnosis | None:
    """A sentence on where the mistake lies, or one of several mistakes; see `look`."""
    for views in seen:
        for words, found in views.items():
            if not task.views[words].differences(found):
                return f"Yours is right {words}. Look at what is different then."
    for views in seen:
        for words, found in views.items():
            if (CONSTRUCTION, OWN_NAMES) in found:
                return None  # what is what is not sure enough
            view = task.views[words]
            shown = min(view.differences(found), key=partial(precedence, found, view.expected))
            diagnosis = diagnose(view, found, shown, pairs=False)
            if diagnosis and not diagnosis.more:
                return Diagnosis(diagnosis.mistake, more=True)
    return None
