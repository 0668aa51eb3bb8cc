"""Step 7's functions of boxes, and Step 8's."""

import torch
from torch import Tensor

from ...step7_hungarian_matching import box_cxcywh_to_xyxy, box_iou, generalized_box_iou
from ...step8_set_loss import giou_loss
from ..observing import Probe
from ..tasks import Edit, Mistake, Task
from .common import random

CONVERTED = "return torch.cat((centre - half, centre + half), -1)"
HALVES = "centre, half = boxes[..., :2], boxes[..., 2:] / 2"
SIDES = "width, height = (bottom_right - top_left).clamp(min=0).unbind(-1)"
AREAS = "return intersection, areas1 + areas2 - intersection"
IOU_RESULT = "return ratio(intersection, union)\n"  # GIoU's line goes on where this one ends
GIOU_RESULT = "return ratio(intersection, union) - ratio(hull - union, hull)"
PAIR_LOSS = "return 1 - generalized_box_iou(boxes1[..., None, :], boxes2[..., None, :])[..., 0, 0]"
CENTRED = "boxes1, boxes2 = box_cxcywh_to_xyxy(boxes1), box_cxcywh_to_xyxy(boxes2)"
INNER = (
    "top_left = torch.maximum(boxes1[..., :2], boxes2[..., :2])",
    "bottom_right = torch.minimum(boxes1[..., 2:], boxes2[..., 2:])",
)
OUTER = (
    "top_left = torch.minimum(boxes1[..., :2], boxes2[..., :2])",
    "bottom_right = torch.maximum(boxes1[..., 2:], boxes2[..., 2:])",
)


def made_boxes(*shape: int, seed: int = 0) -> Tensor:
    """Boxes (cx, cy, w, h) that touch, overlap, hold one another, or lie apart."""
    numbers = random(*shape, 4, seed=seed)
    return torch.cat((0.3 + 0.4 * numbers[..., :2], 0.2 + 0.3 * numbers[..., 2:]), -1)


def corners(*shape: int, seed: int = 0) -> Tensor:
    """The same as corners."""
    return box_cxcywh_to_xyxy(made_boxes(*shape, seed=seed)).requires_grad_()


def wide(count: int, seed: int) -> Tensor:
    """Corners of boxes in any place from -1 to 2, from a thousandth to twice as large as 1."""
    numbers = random(count, 4, seed=seed)
    start, size = 3 * numbers[:, :2] - 1, 1e-3 * 2000 ** numbers[:, 2:]
    return torch.cat((start, start + size), -1).requires_grad_()


def points() -> tuple[Tensor, Tensor]:
    """Boxes without area, two of them in the same place."""
    place = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.2, 0.3, 0.2, 0.3]])
    return place, place[:1].clone()


def apart() -> tuple[Tensor, Tensor]:
    """A unit square, and others beside it at distances of 1.5, 3 and 10 widths."""
    still = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    moved = still + torch.tensor([1.5, 3.0, 10.0])[:, None] * torch.tensor([1.0, 0.0, 1.0, 0.0])
    return still, moved.requires_grad_()


CORNER_MISTAKES = (
    Mistake(
        "whole size in place of half",
        "How far is it from the centre to the border?",
        "A box of width w reaches w / 2 to either side.",
        ((CONVERTED, "return torch.cat((centre - 2 * half, centre + 2 * half), -1)"),),
    ),
    Mistake(
        "centre taken for the corner",
        "Does the box begin at its centre?",
        "The centre is in the middle of both corners.",
        ((CONVERTED, "return torch.cat((centre, centre + 2 * half), -1)"),),
    ),
    Mistake(
        "corners in the wrong order",
        "Which corner comes first?",
        "The top left one has the smaller numbers.",
        ((CONVERTED, "return torch.cat((centre + half, centre - half), -1)"),),
    ),
    Mistake(
        "x and y swapped",
        "Which of the two coordinates comes first?",
        "(x1, y1, x2, y2).",
        ((CONVERTED, f"{CONVERTED}[..., [1, 0, 3, 2]]"),),
    ),
    Mistake(
        "both x before both y",
        "In which order do the four numbers come?",
        "A corner's x and y stand side by side: (x1, y1, x2, y2).",
        ((CONVERTED, f"{CONVERTED}[..., [0, 2, 1, 3]]"),),
    ),
    Mistake(
        "centre and size swapped",
        "What are the first two numbers of a box?",
        "(cx, cy, w, h): the centre comes first.",
        ((HALVES, "half, centre = boxes[..., :2] / 2, boxes[..., 2:]"),),
    ),
    Mistake(
        "first axis in place of the last",
        "Which axis holds the four numbers?",
        "However many axes come before, the numbers of a box are on the last one.",
        (
            (HALVES, "centre, half = boxes[:2], boxes[2:] / 2"),
            (CONVERTED, CONVERTED.replace("-1", "0")),
        ),
    ),
    Mistake(
        "only two axes thought of",
        "What if boxes come in a batch, [B, N, 4]?",
        "`...` stands for any axes before the last.",
        ((HALVES, "centre, half = boxes[:, :2], boxes[:, 2:] / 2"),),
    ),
    Mistake(
        "only two axes thought of",
        "What if boxes come in a batch, [B, N, 4]?",
        "`...` stands for any axes before the last.",
        ((HALVES, f"boxes = torch.stack([boxes[:, i] for i in range(4)], -1)\n    {HALVES}"),),
    ),
)

OVERLAP_MISTAKES = (
    Mistake(
        "overlap below zero",
        "How large is the intersection of boxes that lie apart?",
        "Two negative sides have a positive product.",
        ((SIDES, SIDES.replace(".clamp(min=0)", "")),),
    ),
    Mistake(
        "overlap counted twice",
        "What is the area of both boxes together?",
        "Whatever belongs to both must be counted once.",
        ((AREAS, "return intersection, areas1 + areas2"),),
    ),
    Mistake(
        "pixels counted inclusively",
        "How wide is a box from 0.2 to 0.3?",
        "Old code adds 1 to every side, for pixels. Boxes here are not made of pixels.",
        ((SIDES, SIDES.replace(".clamp", ".add(1).clamp")),),
    ),
    Mistake(
        "0 divided by 0",
        "What if both boxes are points?",
        "Without an area there is no overlap: 0, not NaN.",
        (("return part / whole.clamp(min=torch.finfo(whole.dtype).tiny)", "return part / whole"),),
    ),
    Mistake(
        "inner and outer corners swapped",
        "Where does the intersection begin, and where does it end?",
        "It begins at the larger of the two left borders.",
        tuple(zip(INNER, OUTER, strict=True)),
    ),
)


def begins(function: str, line: str) -> Edit:
    """An edit: a function of two lists of boxes begins with one more line."""
    signature = f"def {function}(boxes1: Tensor, boxes2: Tensor) -> Tensor:\n"
    return signature, f"{signature}    {line}\n"


def pairing_mistakes(function: str, result: str) -> tuple[Mistake, ...]:
    """Mistakes about which boxes meet, for a function that ends with the line `result`."""
    one_to_one = (
        "if boxes1.dim() == boxes2.dim() and boxes1.shape[-2:] != (1, 4):\n"
        f"        return {function}(boxes1[..., None, :], boxes2[..., None, :])[..., 0, 0]"
    )
    value = result.removeprefix("return ").removesuffix("\n")
    return (
        Mistake(
            "pair by pair in place of all pairs",
            "Three boxes and five boxes: how many pairs?",
            "Every box of the first list meets every box of the second.",
            (begins(function, one_to_one),),
        ),
        Mistake(
            "axes of the pairs swapped",
            "Which list counts the rows?",
            "[N, M]: the first list counts the rows, the second the columns.",
            ((result, result.replace(value, f"({value}).mT")),),
        ),
    )


IOU_MISTAKES = (
    *OVERLAP_MISTAKES,
    *pairing_mistakes("box_iou", IOU_RESULT),
    Mistake(
        "cxcywh taken for xyxy",
        "In which form do the boxes come in?",
        "They are corners already.",
        (begins("box_iou", CENTRED),),
    ),
    Mistake(
        "divided by the first box",
        "What is the intersection compared with?",
        "With the union of both.",
        ((AREAS, "return intersection, areas1 + 0 * areas2"),),
    ),
)

GIOU_MISTAKES = (
    Mistake(
        "GIoU that equals 2 IoU - 1",
        "What do boxes 1.5, 3 and 10 widths apart get? It should be -0.2, -0.5 and -0.82.",
        "Which box around both is meant? It must reach over the gap between them.",
        ((GIOU_RESULT, "return 2 * ratio(intersection, union) - 1"),),
    ),
    Mistake(
        "hull from the inner corners",
        "Where does the smallest box around both begin?",
        "At the smaller of the two left borders.",
        tuple(zip(OUTER, INNER, strict=True)),
    ),
    Mistake(
        "penalty added",
        "Should empty space in the hull make the number larger or smaller?",
        "Look at the sign between the two parts.",
        ((GIOU_RESULT, GIOU_RESULT.replace(" - ratio", " + ratio")),),
    ),
    Mistake(
        "penalty divided by the union",
        "Empty space, as a share of what?",
        "Of the hull: so that GIoU never falls below -1.",
        ((GIOU_RESULT, GIOU_RESULT.replace("hull - union, hull", "hull - union, union")),),
    ),
    Mistake(
        "hull without the intersection alone",
        "Which part of the hull is empty?",
        "What neither box covers: hull minus union.",
        ((GIOU_RESULT, GIOU_RESULT.replace("hull - union, hull", "hull - intersection, hull")),),
    ),
    Mistake(
        "IoU in place of GIoU",
        "What do boxes that lie apart get?",
        "IoU is 0 for all of them, and has no gradient. GIoU has a second part.",
        ((GIOU_RESULT, "return ratio(intersection, union)"),),
    ),
    Mistake(
        "penalty alone",
        "What is the first part of GIoU?",
        "IoU, minus the share of the hull that is empty.",
        ((GIOU_RESULT, "return -ratio(hull - union, hull)"),),
    ),
    Mistake(
        "cxcywh taken for xyxy",
        "In which form do the boxes come in?",
        "They are corners already.",
        (begins("generalized_box_iou", CENTRED),),
    ),
    OVERLAP_MISTAKES[0],
    OVERLAP_MISTAKES[1],
    OVERLAP_MISTAKES[3],
    *pairing_mistakes("generalized_box_iou", GIOU_RESULT),
)

LOSS_MISTAKES = (
    Mistake(
        "GIoU in place of 1 - GIoU",
        "Is the loss small for a perfect box?",
        "A loss is small where all is well; GIoU is 1 there.",
        ((PAIR_LOSS, PAIR_LOSS.replace("1 - g", "g")),),
    ),
    Mistake(
        "sign flipped",
        "Is the loss above or below zero?",
        "1 - GIoU, not GIoU - 1.",
        ((PAIR_LOSS, PAIR_LOSS.replace("return 1 - ", "return -1 + ")),),
    ),
    Mistake(
        "1 forgotten",
        "What is the loss of a perfect box?",
        "It should be 0, and nothing is below it.",
        ((PAIR_LOSS, PAIR_LOSS.replace("return 1 - ", "return -")),),
    ),
    Mistake(
        "all pairs in place of pair by pair",
        "Which prediction belongs to which object?",
        "The matching has said it: the first to the first. One number for each pair is left.",
        ((PAIR_LOSS, "return 1 - generalized_box_iou(boxes1, boxes2)"),),
    ),
    Mistake(
        "averaged already",
        "How many numbers should come out?",
        "One for each pair; the sum comes later, with another divisor.",
        ((PAIR_LOSS, f"return ({PAIR_LOSS.removeprefix('return ')}).mean()"),),
    ),
    Mistake(
        "IoU in place of GIoU",
        "Does a box far away get a gradient?",
        "1 - IoU is 1 for every box that lies apart.",
        (
            (
                PAIR_LOSS,
                "from .step7_hungarian_matching import box_iou\n    "
                + PAIR_LOSS.replace("generalized_box_iou", "box_iou"),
            ),
        ),
    ),
    Mistake(
        "cxcywh taken for xyxy",
        "In which form do the boxes come in?",
        "They are corners already.",
        (begins("giou_loss", CENTRED),),
    ),
)

ALL_PAIRS = (
    Probe("6 boxes with 6 boxes", inputs=lambda: (corners(6), corners(6, seed=1)), gradients=True),
    Probe("3 boxes with 5 boxes", inputs=lambda: (corners(3), corners(5, seed=1))),
    Probe(
        "a batch, [2, 3, 4] with [2, 5, 4]", inputs=lambda: (corners(2, 3), corners(2, 5, seed=1))
    ),
    Probe("boxes without an area", inputs=points, border=True),
    Probe(
        "20 boxes of all sizes with 20 others, also outside of 0..1",
        inputs=lambda: (wide(20, 7), wide(20, 8)),
        gradients=True,
        border=True,
    ),
    Probe("boxes that lie 1.5, 3 and 10 widths apart", inputs=apart, gradients=True),
)

TASKS = (
    Task(
        box_cxcywh_to_xyxy,
        (
            Probe(
                "5 boxes, [5, 4]", inputs=lambda: (made_boxes(5).requires_grad_(),), gradients=True
            ),
            Probe("a batch of boxes, [2, 3, 4]", inputs=lambda: (made_boxes(2, 3),)),
            Probe("a single box, [4]", inputs=lambda: (made_boxes(),)),
            Probe("20 boxes of all sizes, also outside of 0..1", inputs=lambda: (wide(20, 7),)),
        ),
        CORNER_MISTAKES,
    ),
    Task(box_iou, ALL_PAIRS, IOU_MISTAKES),
    Task(generalized_box_iou, ALL_PAIRS, GIOU_MISTAKES),
    Task(
        giou_loss,
        (
            Probe("6 pairs", inputs=lambda: (corners(6), corners(6, seed=1)), gradients=True),
            Probe("pairs in a batch", inputs=lambda: (corners(2, 3), corners(2, 3, seed=1))),
            Probe(
                "40 pairs of all sizes, also outside of 0..1",
                inputs=lambda: (wide(40, 7), wide(40, 8)),
                gradients=True,
                border=True,
            ),
        ),
        LOSS_MISTAKES,
    ),
)
