"""Step 8: the loss."""

from ...step8_set_loss import Step8
from ..observing import Probe
from ..tasks import Mistake, Task
from .common import make_arguments
from .matching import ACCEPTED, COPIES, count_copies, predictions, refusals, targets

PAIRS = "pairs = self.match_layers(class_logits, bbox_pred, targets)"
CLASSES = (
    "classes = torch.full(class_logits.shape[:3], self.num_classes, device=labels.device)\n"
    "        classes[layer, image, query] = labels[image, target]"
)
BOXES = "predicted, wanted = bbox_pred[layer, image, query], boxes[image, target]"
IN_ORDER = "in_order = torch.cat([torch.arange(n) for n in sizes]).repeat(len(pairs))\n        "
L1 = "l1 = (predicted - wanted).abs().sum(-1)"
GIOU = "giou = giou_loss(box_cxcywh_to_xyxy(predicted), box_cxcywh_to_xyxy(wanted))"
NUMBER = "num_boxes = mean_over_processes(bbox_pred.new_tensor(objects)).clamp(min=1)"
WEIGHTS = "weights = mean_over_processes(weight[classes].flatten(1).sum(1))"
NO_OBJECT = "class_weight[-1] = no_object_weight"
LAYERS = '[*outputs.get("aux_outputs", []), outputs]'
RETURN = "return weighted.sum()"
WEIGHTED = """            self.w_class * terms["class"]
            + self.w_bbox * terms["bbox"]
            + self.w_giou * terms["giou"]
"""
TWICE = "the same loss twice"

MISTAKES = (
    Mistake(
        "no weight on no object",
        "Seven queries, two objects: who speaks loudest in the cross-entropy?",
        "The class 'no object' weighs no_object_weight, all others 1.",
        ((NO_OBJECT, "pass"),),
    ),
    Mistake(
        "weight on the first class",
        "Which class weighs less?",
        "'No object' is the last class, not the first.",
        ((NO_OBJECT, "class_weight[0] = no_object_weight"),),
    ),
    Mistake(
        "no-object index off by one",
        "Which number stands for 'no object'?",
        "The classes are 0 to C - 1, so it is C.",
        ((CLASSES, CLASSES.replace("self.num_classes,", "self.num_classes - 1,")),),
    ),
    Mistake(
        "no object is class 0",
        "Which number stands for 'no object'?",
        "The classes are 0 to C - 1, so it is C.",
        ((CLASSES, CLASSES.replace("self.num_classes,", "0,")),),
    ),
    Mistake(
        "unmatched queries left out",
        "What do queries learn that have no object?",
        "The cross-entropy goes over all queries.",
        ((NO_OBJECT, "class_weight[-1] = 0"),),
    ),
    Mistake(
        "class weights left out of the divisor",
        "What is a weighted mean divided by?",
        "By the sum of the weights, not by the number of queries. PyTorch's own mean does it.",
        ((WEIGHTS, "weights = class_logits[0, ..., 0].numel()"),),
    ),
    Mistake(
        "mean over the coordinates in place of the sum",
        "How is L1 summed up?",
        "Over the four numbers of a box and over all boxes; then it is divided by their number.",
        ((L1, L1.replace(".sum(-1)", ".mean(-1)")),),
    ),
    Mistake(
        "divided by the number of queries",
        "What are the boxes' terms divided by?",
        "By the number of objects in the batch.",
        ((NUMBER, "num_boxes = bbox_pred[0, ..., 0].numel()"),),
    ),
    Mistake(
        "divided by the number of images",
        "What are the boxes' terms divided by?",
        "By the number of objects in the batch.",
        ((NUMBER, "num_boxes = len(targets)"),),
    ),
    Mistake(
        "not divided at all",
        "What are the boxes' terms divided by?",
        "By the number of objects in the batch.",
        ((NUMBER, "num_boxes = 1"),),
    ),
    Mistake(
        "0 divided by 0",
        "What if no image of the batch has an object?",
        "The number of objects counts as at least 1.",
        ((NUMBER, NUMBER.replace(".clamp(min=1)", "")),),
    ),
    Mistake(
        "last layer's matching for all layers",
        "Who matches for the auxiliary outputs?",
        "Every layer has predictions of its own, and so a matching of its own.",
        (
            (
                PAIRS,
                "pairs = self.match_layers(class_logits[-1:], bbox_pred[-1:], targets)"
                " * len(class_logits)",
            ),
        ),
    ),
    Mistake(
        "auxiliary outputs left out",
        "Over how many layers does the loss go?",
        "The same loss is taken of every layer's predictions, and summed.",
        ((LAYERS, "[outputs]"),),
    ),
    Mistake(
        "layers averaged",
        "What happens with the layers' losses?",
        "They are summed.",
        ((RETURN, "return weighted.mean()"),),
    ),
    Mistake(
        "L1 of corners",
        "In which form are boxes subtracted?",
        "As they are predicted: (cx, cy, w, h).",
        (
            (
                L1,
                L1.replace(
                    "predicted - wanted",
                    "box_cxcywh_to_xyxy(predicted) - box_cxcywh_to_xyxy(wanted)",
                ),
            ),
        ),
    ),
    Mistake(
        "GIoU of centres and sizes",
        "In which form does GIoU take boxes?",
        "As corners.",
        ((GIOU, "giou = giou_loss(predicted, wanted)"),),
    ),
    Mistake(
        "GIoU rewarded",
        "Is the loss small where the boxes fit?",
        "1 - GIoU is small there.",
        ((GIOU, f"giou = 1 - {GIOU.removeprefix('giou = ')}"),),
    ),
    Mistake(
        "matched boxes in the wrong order",
        "Which object belongs to the first matched query?",
        "The matching gives two indices; the second says which object.",
        ((BOXES, IN_ORDER + BOXES.replace("boxes[image, target]", "boxes[image, in_order]")),),
    ),
    Mistake(
        "matched classes in the wrong order",
        "Which label belongs to the first matched query?",
        "The matching gives two indices; the second says which object.",
        (
            (
                CLASSES,
                IN_ORDER + CLASSES.replace("labels[image, target]", "labels[image, in_order]"),
            ),
        ),
    ),
    Mistake(
        "matched objects in the wrong order",
        "Which object belongs to the first matched query?",
        "The matching gives two indices; the second says which object, for its class and its box.",
        (
            (
                CLASSES,
                IN_ORDER + CLASSES.replace("labels[image, target]", "labels[image, in_order]"),
            ),
            (BOXES, BOXES.replace("boxes[image, target]", "boxes[image, in_order]")),
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
        ((RETURN, "return weighted.sum().detach()"),),
    ),
    Mistake(
        "loss that changes from call to call",
        "Ask twice for the same loss.",
        "Nothing in the loss should be random.",
        sign=TWICE,
        always=True,
    ),
    ACCEPTED,
    COPIES,
)


def a_batch() -> tuple[dict, list]:
    """Three decoder layers, four images, one of them without an object."""
    return predictions(4, 3), targets(3, 0, 6, 2)


def loss(model, outputs, targets):
    """The loss."""
    return model.compute_loss(outputs, targets)


def term(**weights):
    """A probe's `run` that builds the model with these weights."""
    others = dict.fromkeys(("w_class", "w_bbox", "w_giou"), 0.0)

    def run(build, outputs, targets):
        return build(**{**others, **weights}).compute_loss(outputs, targets)

    return run


def twice(model, outputs, targets) -> dict[str, bool]:
    """Whether the loss can be checked."""
    left, right = (model.compute_loss(outputs, targets) for _ in range(2))
    return {TWICE: bool(left == right)}


TASKS = (
    Task(
        Step8,
        (
            Probe("its class term alone", term(w_class=1.0), a_batch, True, True),
            Probe("its L1 term alone", term(w_bbox=1.0), a_batch, True, True),
            Probe("its GIoU term alone", term(w_giou=1.0), a_batch, True, True),
            Probe("the whole loss", loss, a_batch, True),
            Probe("a batch without objects", loss, lambda: (predictions(2, 2), targets(0, 0))),
            Probe("the same loss twice", twice, a_batch),
            Probe("targets that are wrong", lambda model: refusals(model.compute_loss)),
            Probe(
                "how often numbers go to the CPU",
                lambda model: count_copies(model.compute_loss, (1, 1), (3, 3)),
            ),
        ),
        MISTAKES,
        lambda: {
            **make_arguments(5)(),
            "cost_class": 1.5,
            "w_class": 1.5,
            "w_bbox": 4.0,
            "w_giou": 2.5,
            "no_object_weight": 0.2,
        },
    ),
)
