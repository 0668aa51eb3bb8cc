"""Step 8: the loss."""

from functools import partial

from ...step8_set_loss import Step8
from ..observing import Probe
from ..tasks import Task
from .common import alone, arguments, keeps_modes, probe_defaults
from .matching import (
    ONE_LAYER,
    count_copies,
    last_layer,
    made_predictions,
    made_targets,
    refuses_targets,
    two_images,
    wide_range,
)

WEIGHTS = ("w_class", "w_bbox", "w_giou")
SAME_LOSS = "the same loss twice"


def a_batch() -> tuple[dict, list]:
    """Three decoder layers, four images, one of them without an object."""
    return made_predictions(4, 3), made_targets(3, 0, 6, 2)


def loss(model, outputs, targets):
    """The loss."""
    return model.compute_loss(outputs, targets)


def compute_twice(model, outputs, targets) -> dict[str, bool]:
    """Whether the loss can be checked."""
    left, right = (model.compute_loss(outputs, targets) for _ in range(2))
    return {SAME_LOSS: bool(left == right)}


TASKS = (
    Task(
        Step8,
        (
            *(
                Probe(f"its {name} term alone", alone(loss, WEIGHTS, weight), a_batch, True, True)
                for name, weight in zip(("class", "L1", "GIoU"), WEIGHTS, strict=True)
            ),
            Probe("the whole loss", loss, a_batch, True),
            Probe(
                "a batch without objects",
                loss,
                lambda: (made_predictions(2, 2), made_targets(0, 0)),
            ),
            Probe(
                "a batch with a single object",
                loss,
                lambda: (made_predictions(2, 2), made_targets(1, 0)),
            ),
            Probe("outputs without aux_outputs", loss, partial(last_layer, 2, 1)),
            Probe("training mode", partial(keeps_modes, method="compute_loss"), two_images),
            Probe("the same loss twice", compute_twice, a_batch),
            Probe(
                "targets that are wrong",
                lambda model: refuses_targets(model.compute_loss, (Exception,)),
            ),
            Probe(
                "how often numbers go to the CPU",
                lambda model: count_copies(model.compute_loss, (1, 1), (3, 3)),
                remark=True,
            ),
            Probe("boxes of all sizes and logits of all scales", loss, wide_range, True),
            probe_defaults(w_class=2, w_bbox=5, w_giou=2, no_object_weight=0.1),
        ),
        lambda: {
            **arguments(5),
            **ONE_LAYER,
            "cost_class": 1.5,
            "w_class": 1.5,
            "w_bbox": 4.0,
            "w_giou": 2.5,
            "no_object_weight": 0.2,
        },
    ),
)
