"""Step 7: matching."""

from unittest.mock import patch

import torch
from torch import Tensor

from ...step7_hungarian_matching import Step7
from ..observing import Probe
from ..tasks import Mistake, Task
from .boxes import made_boxes
from .common import is_refused, make_arguments, random

PROB = "prob = class_logits.softmax(-1)"
COLUMNS = "columns = labels.clamp(0, self.num_classes)[:, None]"
L1 = "l1 = torch.cdist(bbox_pred, boxes.expand(len(bbox_pred), -1, -1, -1), p=1)"
CORNERS = "corners = box_cxcywh_to_xyxy(bbox_pred), box_cxcywh_to_xyxy(boxes)"
COST = "return self.cost_bbox * l1 - self.cost_class * prob - self.cost_giou * giou"
SOLVE = "query, target = linear_sum_assignment(cost)"
PAIR = "return torch.from_numpy(query), torch.from_numpy(target)"
ONE_COPY = "the number of copies to the host does not grow with images and layers"
REFUSED = "wrong targets are refused"
GREEDY = """cost, query, target = cost.copy(), [], []
        for j in range(cost.shape[1]):
            query.append(int(cost[:, j].argmin()))
            target.append(j)
            cost[query[-1]] = np.inf
        query, target = np.array(query, dtype=np.int64), np.array(target, dtype=np.int64)"""

COPIES = Mistake(
    "a copy for each image and layer",
    "How often do numbers travel to the CPU?",
    "On a GPU each such trip waits for all that was asked before. One trip can carry everything.",
    sign=ONE_COPY,
)
ACCEPTED = Mistake(
    "bad targets accepted",
    "Try a label that equals num_classes, or boxes in pixels.",
    "`detr_steps.inputs` has checks of targets: `check_targets`, `check_target_values`.",
    sign=REFUSED,
)

MISTAKES = (
    Mistake(
        "class probability raises the cost",
        "Is a query that is sure of the right class cheap or dear?",
        "What is good lowers the cost: mind the sign.",
        ((COST, COST.replace("- self.cost_class", "+ self.cost_class")),),
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
        ((COST, COST.replace("self.cost_bbox * l1", "-self.cost_bbox * l1")),),
    ),
    Mistake(
        "maximised in place of minimised",
        "Which assignment is wanted: the dearest or the cheapest?",
        "All signs turned, or `maximize=True`, comes to the same.",
        ((SOLVE, SOLVE.replace("(cost)", "(cost, maximize=True)")),),
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
        ((COLUMNS, "columns = (labels + 1).clamp(0, self.num_classes)[:, None]"),),
    ),
    Mistake(
        "L1 of corners",
        "In which form are boxes subtracted?",
        "As they are predicted: (cx, cy, w, h).",
        (
            (
                L1,
                L1.replace(
                    "bbox_pred, boxes.", "box_cxcywh_to_xyxy(bbox_pred), box_cxcywh_to_xyxy(boxes)."
                ),
            ),
        ),
    ),
    Mistake(
        "L2 in place of L1",
        "Which distance is it?",
        "The sum of the four absolute differences.",
        ((L1, L1.replace("p=1", "p=2")),),
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
        ((CORNERS, "corners = bbox_pred, boxes"),),
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
        ((COST, "return self.cost_bbox * l1 - self.cost_class * prob"),),
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


def predictions(batch: int = 12, layers: int = 1) -> dict:
    """Random predictions of `layers` layers: the last one's, and the others' as `aux_outputs`."""
    made = [
        {
            "class_logits": (4 * random(batch, 7, 6, seed=2 * i) - 2).requires_grad_(),
            "bbox_pred": made_boxes(batch, 7, seed=2 * i + 1).requires_grad_(),
        }
        for i in range(layers)
    ]
    return {**made[-1], "aux_outputs": made[:-1]}


def targets(*sizes: int) -> list[dict[str, Tensor]]:
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
    return predictions(), targets(3, 5, 1, 6, 4, 2, 5, 6, 3, 4, 6, 5)


def some_images() -> tuple[dict, list]:
    """One without any object, one with as many objects as queries."""
    return predictions(3), targets(0, 7, 2)


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


def refusals(work) -> dict[str, bool]:
    """Whether `work(outputs, targets)` refuses targets that are wrong."""
    wrong = (
        {"labels": torch.tensor([5, 1])},
        {"boxes": 100 * made_boxes(2)},
        {"boxes": torch.full((2, 4), torch.nan)},
        {"boxes": made_boxes(3)},
    )
    return {
        REFUSED: all(
            is_refused(
                "targets", work, predictions(2), [*targets(1), {**targets(1, 2)[1], **changes}]
            )
            for changes in wrong
        )
    }


def count_copies(work, *sizes: tuple[int, int]) -> dict[str, bool]:
    """Whether `work` copies as often for few images and layers as for many."""
    counts = []
    for batch, layers in sizes:
        original, calls = Tensor.cpu, []

        def counted(self, *args, original=original, calls=calls, **kwargs):
            calls.append(self)
            return original(self, *args, **kwargs)

        inputs = predictions(batch, layers), targets(*[2] * batch)
        with patch.object(Tensor, "cpu", counted):
            work(*inputs)
        counts.append(len(calls))
    return {ONE_COPY: len(set(counts)) == 1}


TASKS = (
    Task(
        Step7,
        (
            Probe("twelve images with one to six objects", pairs, many_images),
            Probe("images with no object, 7 objects and 2", pairs, some_images),
            Probe("targets that are wrong", lambda model: refusals(model.match)),
            Probe(
                "how often numbers go to the CPU",
                lambda model: count_copies(model.match, (1, 1), (3, 1)),
            ),
        ),
        MISTAKES,
        lambda: {
            **make_arguments(5)(),
            "cost_class": 1.5,
            "cost_bbox": 4.0,
            "cost_giou": 2.5,
        },
    ),
)
