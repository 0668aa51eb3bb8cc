"""Step 7: matching."""

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...step7_hungarian_matching import Step7
from ..observing import Probe
from ..tasks import Mistake, Task
from .boxes import made_boxes
from .common import arguments, is_refused, probe_defaults, random

PROB = "prob = class_logits.softmax(-1)"
LABELS = "labels[None, :, None]"
L1_COST = "l1 = torch.cdist(bbox_pred, boxes[None], p=1)"
L1_COST_OF_CORNERS = """\
corners, wanted = box_cxcywh_to_xyxy(bbox_pred), box_cxcywh_to_xyxy(boxes)
        l1 = torch.cdist(corners, wanted[None], p=1)"""
PAIR_GIOU = "return generalized_box_iou(box_cxcywh_to_xyxy(boxes1), box_cxcywh_to_xyxy(boxes2))"
COST = "return -self.cost_class * prob + self.cost_bbox * l1 - self.cost_giou * giou"
SOLVE = "query, target = linear_sum_assignment(cost.numpy())"
PAIR = "return torch.from_numpy(query), torch.from_numpy(target)"
ONE_LAYER = {"enc_layers": 0, "dec_layers": 1}  # the network is not run here
ONE_COPY = "the number of copies to the CPU does not grow with images and layers"
TARGETS_REFUSED = "wrong targets are refused"
GREEDY = """\
cost, query = cost.clone(), torch.zeros(cost.shape[1], dtype=torch.int64)
        for j in range(cost.shape[1]):
            query[j] = cost[:, j].argmin()
            cost[query[j]] = torch.inf
        query, target = query.numpy(), torch.arange(cost.shape[1]).numpy()"""

COPIES = Mistake(
    "a copy for each image and layer",
    "How often are numbers copied to the CPU?",
    "On a GPU each copy waits for all work before it. One copy can hold the costs of all.",
    sign=ONE_COPY,
)
ACCEPTED = Mistake(
    "bad targets accepted",
    "Try a label that equals num_classes, or boxes in pixels.",
    "`detr_steps.inputs` has a check of targets, values included: `check_targets`.",
    sign=TARGETS_REFUSED,
)

STEP7_MISTAKES = (
    Mistake(
        "class probability raises the cost",
        "Is a query that is sure of the right class cheap or dear?",
        "What is good lowers the cost: mind the sign.",
        ((COST, COST.replace("-self.cost_class", "self.cost_class")),),
    ),
    Mistake(
        "GIoU raises the cost",
        "Is a box that fits well cheap or dear?",
        "What is good lowers the cost: mind the sign.",
        ((COST, COST.replace("- self.cost_giou", "+ self.cost_giou")),),
    ),
    Mistake(
        "distance lowers the cost",
        "Is a box far away cheap or dear?",
        "What is bad raises the cost: mind the sign.",
        ((COST, COST.replace("+ self.cost_bbox", "- self.cost_bbox")),),
    ),
    Mistake(
        "maximised in place of minimised",
        "Which assignment is wanted: the dearest or the cheapest?",
        "All signs turned, or `maximize=True`, comes to the same.",
        ((SOLVE, SOLVE.replace("numpy()", "numpy(), maximize=True")),),
    ),
    Mistake(
        "softmax over the wrong axis",
        "What should sum to 1: the classes of a query, or the queries of a class?",
        "Classes are the last axis.",
        ((PROB, "prob = class_logits.softmax(-2)"),),
    ),
    Mistake(
        "logits in place of probabilities",
        "In which range does the class's share of the cost lie?",
        "The other shares are bounded or measured; a probability is in 0..1.",
        ((PROB, "prob = class_logits"),),
    ),
    Mistake(
        "sigmoid in place of softmax",
        "Are the classes of one query exclusive?",
        "DETR's classes share one softmax, with 'no object' among them.",
        ((PROB, "prob = class_logits.sigmoid()"),),
    ),
    Mistake(
        "log-probabilities in place of probabilities",
        "The loss uses the logarithm. The cost does not.",
        "Section 3.1 of the paper says why: so that it is commensurable with the boxes' share.",
        ((PROB, "prob = class_logits.log_softmax(-1)"),),
    ),
    Mistake(
        "softmax without no object",
        "How many classes share the softmax?",
        "All C + 1. What is left out afterwards does not matter.",
        (
            (
                PROB,
                "prob = torch.nn.functional.pad(class_logits[..., :-1].softmax(-1), (0, 1))",
            ),
        ),
    ),
    Mistake(
        "class index off by one",
        "In which column of the logits does class 0 stand?",
        "In column 0. 'No object' is the last one.",
        ((LABELS, "(labels + 1)[None, :, None]"),),
    ),
    Mistake(
        "L1 of corners",
        "In which form are boxes subtracted?",
        "As they are predicted: (cx, cy, w, h).",
        ((L1_COST, L1_COST_OF_CORNERS),),
    ),
    Mistake(
        "L2 in place of L1",
        "Which distance is it?",
        "The sum of the four absolute differences.",
        ((L1_COST, L1_COST.replace("p=1", "p=2")),),
    ),
    Mistake(
        "mean over the coordinates in place of the sum",
        "How large is the boxes' share of the cost?",
        "L1 is a sum over the four numbers; a mean is a quarter of it.",
        ((COST, COST.replace("* l1", "* l1 / 4")),),
    ),
    Mistake(
        "GIoU of centres and sizes",
        "In which form does GIoU take boxes?",
        "As corners.",
        ((PAIR_GIOU, "return generalized_box_iou(boxes1, boxes2)"),),
    ),
    Mistake(
        "weights left out",
        "What do cost_class, cost_bbox and cost_giou do?",
        "Each share of the cost has its weight.",
        ((COST, "return l1 - prob - giou"),),
    ),
    Mistake(
        "class left out",
        "Two boxes in the same place: which query gets which object?",
        "The cost has three shares.",
        ((COST, "return self.cost_bbox * l1 - self.cost_giou * giou"),),
    ),
    Mistake(
        "GIoU left out",
        "Is a small error of a small box as bad as of a large one?",
        "The cost has three shares.",
        ((COST, "return -self.cost_class * prob + self.cost_bbox * l1"),),
    ),
    Mistake(
        "L1 left out",
        "What pulls boxes that already overlap?",
        "The cost has three shares.",
        ((COST, "return -self.cost_class * prob - self.cost_giou * giou"),),
    ),
    Mistake(
        "targets before queries",
        "Which index comes first in a pair?",
        "(query index, target index).",
        ((PAIR, "return torch.from_numpy(target), torch.from_numpy(query)"),),
    ),
    Mistake(
        "greedy in place of the cheapest",
        "Is taking the best query for one object after the other always best in all?",
        "scipy has the algorithm for this: the Hungarian one.",
        ((SOLVE, GREEDY),),
    ),
    ACCEPTED,
    COPIES,
)


def made_predictions(batch: int = 12, layers: int = 1) -> dict:
    """Random predictions of `layers` layers: the last one's, and the others' as `aux_outputs`."""
    made = [
        {
            "class_logits": (4 * random(batch, 7, 6, seed=2 * i) - 2).requires_grad_(),
            "bbox_pred": made_boxes(batch, 7, seed=2 * i + 1).requires_grad_(),
        }
        for i in range(layers)
    ]
    return {**made[-1], "aux_outputs": made[:-1]}


def made_targets(*sizes: int) -> list[dict[str, Tensor]]:
    """Random objects, so many in each image; several share a place or a class."""
    return [
        {
            "labels": (5 * random(size, seed=50 + i)).long(),
            "boxes": made_boxes(size, seed=100 + i),
        }
        for i, size in enumerate(sizes)
    ]


def many_images() -> tuple[dict, list]:
    """Twelve images with up to six objects."""
    return made_predictions(), made_targets(3, 5, 1, 6, 4, 2, 5, 6, 3, 4, 6, 5)


def some_images() -> tuple[dict, list]:
    """One without any object, one with as many objects as queries."""
    return made_predictions(3), made_targets(0, 7, 2)


def wide_range() -> tuple[dict, list]:
    """Forty images: from tiny to large boxes, from flat to sure predictions."""
    outputs, targets = made_predictions(40), made_targets(*[6] * 40)
    scale = torch.logspace(-3, 0, 40)[:, None, None]
    boxes, logits = (outputs[key].detach().clone() for key in ("bbox_pred", "class_logits"))
    boxes[..., 2:] *= scale
    outputs |= {
        "bbox_pred": boxes.requires_grad_(),
        "class_logits": (20 * scale.flip(0) * logits).requires_grad_(),
    }
    for target, factor in zip(targets, scale.flatten(), strict=True):
        target["boxes"][:, 2:] *= factor
    return outputs, targets


def pairs(model, outputs, targets) -> list:
    """What `match` returns, each image's pairs in the order of their queries."""
    found = model.match(outputs, targets)
    if not isinstance(found, (list, tuple)) or not all(isinstance(p, (list, tuple)) for p in found):
        return found
    if not all(isinstance(index, Tensor) for pair in found for index in pair):
        return found
    return [
        [index[pair[0].argsort()] for index in pair]
        if len(pair) == 2 and pair[0].shape == pair[1].shape
        else pair
        for pair in found
    ]


def refuses_targets(work) -> dict[str, bool]:
    """Whether `work(outputs, targets)` refuses targets that are wrong."""
    wrong = (
        {"labels": torch.tensor([5, 1])},
        {"boxes": 100 * made_boxes(2)},
        {"boxes": torch.full((2, 4), torch.nan)},
        {"boxes": made_boxes(3)},
    )
    batches = [[*made_targets(1), {**made_targets(1, 2)[1], **changes}] for changes in wrong]
    refused = all(is_refused(work, made_predictions(2), batch) for batch in batches)
    return {TARGETS_REFUSED: refused}


class CopiesToCpu(TorchFunctionMode):
    """Collects the tensors that are copied to the CPU while it is entered."""

    def __init__(self):
        super().__init__()
        self.copied: list[Tensor] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Runs a function of tensors, and notes it if it is `.cpu()` or `.to("cpu")`."""
        kwargs = kwargs or {}
        device = args[1] if len(args) > 1 else kwargs.get("device")
        by_name = isinstance(device, str) and device == "cpu"  # not to wherever the others are
        if function is Tensor.cpu or (function is Tensor.to and by_name):
            self.copied.append(args[0])
        return function(*args, **kwargs)


def count_copies(work, *sizes: tuple[int, int]) -> dict[str, bool]:
    """Whether `work` copies as often for few images and layers as for many."""
    counts = set()
    for batch, layers in sizes:
        outputs, objects = made_predictions(batch, layers), made_targets(*[2] * batch)
        on_cpu = {tensor.data_ptr() for target in objects for tensor in target.values()}
        with CopiesToCpu() as copies:
            work(outputs, objects)
        # targets lie on the CPU as they come, so that `.cpu()` of a target copies nothing
        counts.add(sum(tensor.data_ptr() not in on_cpu for tensor in copies.copied))
    return {ONE_COPY: len(counts) == 1}


TASKS = (
    Task(
        Step7,
        (
            Probe("twelve images with one to six objects", pairs, many_images),
            Probe("images with no object, 7 objects and 2", pairs, some_images),
            Probe("targets that are wrong", lambda model: refuses_targets(model.match)),
            Probe(
                "how often numbers go to the CPU",
                lambda model: count_copies(model.match, (1, 1), (3, 1)),
                remark=True,
            ),
            Probe("boxes of all sizes and logits of all scales", pairs, wide_range),
            probe_defaults(cost_class=2, cost_bbox=5, cost_giou=2),
        ),
        STEP7_MISTAKES,
        lambda: {
            **arguments(5),
            **ONE_LAYER,
            "cost_class": 1.5,
            "cost_bbox": 4.0,
            "cost_giou": 2.5,
        },
    ),
)
