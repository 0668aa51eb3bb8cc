"""Step 2: queries and heads."""

from ...step2_queries_and_heads import Step2
from ..observing import Probe
from ..tasks import Task
from .common import FORWARD, MODES, NO_DROPOUT, START, make_arguments, probe_defaults


def attributes(model) -> dict[str, int]:
    """What later steps read."""
    return {"num_classes": model.num_classes}


TASKS = (
    Task(
        Step2,
        (
            FORWARD,
            Probe("its number of classes", attributes),
            NO_DROPOUT,
            MODES,
            START,
            probe_defaults(num_classes=80, num_queries=100),
        ),
        make_arguments(2),
    ),
)
