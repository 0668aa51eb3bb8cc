"""Step 8: the loss."""

from ...step8_set_loss import Step8
from ..observing import Probe
from ..tasks import Task
from .common import arguments, probe_defaults
from .matching import (
    ONE_LAYER,
    count_copies,
    keeps_modes,
    made_predictions,
    made_targets,
    refuses_targets,
    wide_range,
)

SAME_LOSS = "the same loss twice"


def a_batch() -> tuple[dict, list]:
    """Three decoder layers, four images, one of them without an object."""
    return made_predictions(4, 3), made_targets(3, 0, 6, 2)


def last_layer() -> tuple[dict, list]:
    """The predictions of the last layer alone."""
    outputs = made_predictions(2)
    del outputs["aux_outputs"]
    return outputs, made_targets(2, 1)


def loss(model, outputs, targets):
    """The loss."""
    return model.compute_loss(outputs, targets)


def term(**weights):
    """A probe's `run` that builds the model with these weights."""
    others = dict.fromkeys(("w_class", "w_bbox", "w_giou"), 0.0)

    def run(build, outputs, targets):
        return build(**{**others, **weights}).compute_loss(outputs, targets)

    return run


def compute_twice(model, outputs, targets) -> dict[str, bool]:
    """Whether the loss can be checked."""
    left, right = (model.compute_loss(outputs, targets) for _ in range(2))
    return {SAME_LOSS: bool(left == right)}


TASKS = (
    Task(
        Step8,
        (
            Probe("its class term alone", term(w_class=1.0), a_batch, True, True),
            Probe("its L1 term alone", term(w_bbox=1.0), a_batch, True, True),
            Probe("its GIoU term alone", term(w_giou=1.0), a_batch, True, True),
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
            Probe("outputs without aux_outputs", loss, last_layer),
            Probe("training mode", lambda model: keeps_modes(model.compute_loss, model)),
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
