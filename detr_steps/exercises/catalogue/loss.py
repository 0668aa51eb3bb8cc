"""Step 8: the loss."""

from ...step8_set_loss import Step8
from ..observing import Probe
from ..tasks import Mistake, Task
from .common import arguments, probe_defaults
from .matching import (
    ACCEPTED,
    COPIES,
    ONE_LAYER,
    count_copies,
    made_predictions,
    made_targets,
    refuses_targets,
    wide_range,
)

MATCHINGS = (
    "matchings = self.match_layers(layers, targets)  # every layer has a matching of its own"
)
LAYERS_READ = "layers = read_layers(outputs, self.num_classes)"
WANTED_LABELS = 'labels = torch.cat([target["labels"][index] for target, index in matched])'
WANTED_BOXES = 'boxes = torch.cat([target["boxes"][index] for target, index in matched])'
NO_OBJECT_INDEX = "image.new_full(class_logits.shape[:2], self.num_classes)"
WEIGHTED_MEAN = "classes.flatten(), weight)"
L1_LOSS = "l1 = (predicted - wanted).abs().sum(-1)"
L1_LOSS_OF_CORNERS = L1_LOSS.replace(
    "predicted - wanted", "box_cxcywh_to_xyxy(predicted) - box_cxcywh_to_xyxy(wanted)"
)
GIOU_OF_PAIRS = "giou_loss(box_cxcywh_to_xyxy(predicted), box_cxcywh_to_xyxy(wanted))"
NUM_BOXES = "return mean_over_processes(like.new_tensor(objects)).clamp(min=1)"
NO_OBJECT_WEIGHT = "class_weight[-1] = no_object_weight"
SUM_OF_LAYERS = "return len(layers) * mean"
WEIGHTED = """            self.w_class * terms["class"]
            + self.w_bbox * terms["bbox"]
            + self.w_giou * terms["giou"]
"""
SAME_LOSS = "the same loss twice"


def unordered(line: str) -> str:
    """The objects as they stand in the target, not in the order of their queries."""
    return line.replace("[index]", "")


STEP8_MISTAKES = (
    Mistake(
        "no weight on no object",
        "Seven queries, two objects: which class dominates the cross-entropy?",
        "The class 'no object' weighs no_object_weight, all others 1.",
        ((NO_OBJECT_WEIGHT, "pass"),),
    ),
    Mistake(
        "weight on the first class",
        "Which class weighs less?",
        "'No object' is the last class, not the first.",
        ((NO_OBJECT_WEIGHT, "class_weight[0] = no_object_weight"),),
    ),
    Mistake(
        "no-object index off by one",
        "Which number stands for 'no object'?",
        "The classes are 0 to C - 1, so it is C.",
        ((NO_OBJECT_INDEX, NO_OBJECT_INDEX.replace("num_classes", "num_classes - 1")),),
    ),
    Mistake(
        "no object is class 0",
        "Which number stands for 'no object'?",
        "The classes are 0 to C - 1, so it is C.",
        ((NO_OBJECT_INDEX, NO_OBJECT_INDEX.replace("self.num_classes", "0")),),
    ),
    Mistake(
        "unmatched queries left out",
        "What do queries learn that have no object?",
        "The cross-entropy goes over all queries.",
        ((NO_OBJECT_WEIGHT, "class_weight[-1] = 0"),),
    ),
    Mistake(
        "class weights left out of the divisor",
        "What is a weighted mean divided by?",
        "By the sum of the weights, not by the number of queries. PyTorch's own mean does it.",
        ((WEIGHTED_MEAN, 'classes.flatten(), weight, reduction="none").mean()'),),
    ),
    Mistake(
        "mean over the coordinates in place of the sum",
        "How is L1 summed up?",
        "Over the four numbers of a box and over all boxes; then it is divided by their number.",
        ((L1_LOSS, L1_LOSS.replace(".sum(-1)", ".mean(-1)")),),
    ),
    Mistake(
        "divided by the number of queries",
        "What are the boxes' terms divided by?",
        "By the number of objects in the batch.",
        ((NUM_BOXES, "return like[..., 0].numel()"),),
    ),
    Mistake(
        "divided by the number of images",
        "What are the boxes' terms divided by?",
        "By the number of objects in the batch.",
        ((NUM_BOXES, "return len(targets)"),),
    ),
    Mistake(
        "not divided at all",
        "What are the boxes' terms divided by?",
        "By the number of objects in the batch.",
        ((NUM_BOXES, "return 1"),),
    ),
    Mistake(
        "0 divided by 0",
        "What if no image of the batch has an object?",
        "The number of objects counts as at least 1.",
        ((NUM_BOXES, NUM_BOXES.removesuffix(".clamp(min=1)")),),
    ),
    Mistake(
        "last layer's matching for all layers",
        "Which matching do the auxiliary outputs use?",
        "Every layer has predictions of its own, and therefore a matching of its own.",
        (
            (
                MATCHINGS,
                "matchings = self.match_layers(layers[-1:], targets) * len(layers)",
            ),
        ),
    ),
    Mistake(
        "auxiliary outputs left out",
        "Over how many layers does the loss go?",
        "The same loss is taken of every layer's predictions, and summed.",
        ((f"{LAYERS_READ}\n        {MATCHINGS}", f"{LAYERS_READ}[-1:]\n        {MATCHINGS}"),),
    ),
    Mistake(
        "layers averaged",
        "What happens with the layers' losses?",
        "They are summed.",
        ((SUM_OF_LAYERS, "return mean"),),
    ),
    Mistake(
        "L1 of corners",
        "In which form are boxes subtracted?",
        "As they are predicted: (cx, cy, w, h).",
        ((L1_LOSS, L1_LOSS_OF_CORNERS),),
    ),
    Mistake(
        "GIoU of centres and sizes",
        "In which form does GIoU take boxes?",
        "As corners.",
        ((GIOU_OF_PAIRS, "giou_loss(predicted, wanted)"),),
    ),
    Mistake(
        "GIoU rewarded",
        "Is the loss small where the boxes fit?",
        "1 - GIoU is small there.",
        ((GIOU_OF_PAIRS, f"1 - {GIOU_OF_PAIRS}"),),
    ),
    Mistake(
        "matched boxes in the wrong order",
        "Which object belongs to the first matched query?",
        "The matching gives two indices; the second says which object.",
        ((WANTED_BOXES, unordered(WANTED_BOXES)),),
    ),
    Mistake(
        "matched classes in the wrong order",
        "Which label belongs to the first matched query?",
        "The matching gives two indices; the second says which object.",
        ((WANTED_LABELS, unordered(WANTED_LABELS)),),
    ),
    Mistake(
        "matched objects in the wrong order",
        "Which object belongs to the first matched query?",
        "The matching gives two indices; the second says which object, for its class and its box.",
        (
            (WANTED_LABELS, unordered(WANTED_LABELS)),
            (WANTED_BOXES, unordered(WANTED_BOXES)),
        ),
    ),
    Mistake(
        "weights left out",
        "What do w_class, w_bbox and w_giou do?",
        "Each term has its weight.",
        ((WEIGHTED, '            terms["class"] + terms["bbox"] + terms["giou"]\n'),),
    ),
    Mistake(
        "predictions detached",
        "Does a gradient reach the predictions?",
        "Only the matching goes without one.",
        ((SUM_OF_LAYERS, f"{SUM_OF_LAYERS}.detach()"),),
    ),
    Mistake(
        "loss that changes from call to call",
        "Ask twice for the same loss.",
        "Nothing in the loss should be random.",
        sign=SAME_LOSS,
        always=True,
    ),
    ACCEPTED,
    COPIES,
)


def a_batch() -> tuple[dict, list]:
    """Three decoder layers, four images, one of them without an object."""
    return made_predictions(4, 3), made_targets(3, 0, 6, 2)


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
            Probe("the same loss twice", compute_twice, a_batch),
            Probe("targets that are wrong", lambda model: refuses_targets(model.compute_loss)),
            Probe(
                "how often numbers go to the CPU",
                lambda model: count_copies(model.compute_loss, (1, 1), (3, 3)),
                remark=True,
            ),
            Probe("boxes of all sizes and logits of all scales", loss, wide_range, True),
            probe_defaults(w_class=2, w_bbox=5, w_giou=2, no_object_weight=0.1),
        ),
        STEP8_MISTAKES,
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
