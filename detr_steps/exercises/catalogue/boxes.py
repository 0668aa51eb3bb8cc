"""Step 7's functions of boxes, and Step 8's."""

import torch
from torch import Tensor

from ...step7_hungarian_matching import box_cxcywh_to_xyxy, box_iou, generalized_box_iou
from ...step8_set_loss import giou_loss
from ..observing import Probe
from ..tasks import Mistake, Task
from .common import random

CORNERS = "return torch.cat((centre - size / 2, centre + size / 2), -1)"
SPLIT = "centre, size = boxes[..., :2], boxes[..., 2:]"
IOU = "return ratio(*intersection_and_union(boxes1, boxes2))"
GIOU = "return ratio(intersection, union) - ratio(hull - union, hull)"
LOSS = "return 1 - generalized_box_iou(boxes1[..., None, :], boxes2[..., None, :])[..., 0, 0]"
WIDTH = "width, height = (bottom_right - top_left).clamp(min=0).unbind(-3)"
CENTRED = "boxes1, boxes2 = box_cxcywh_to_xyxy(boxes1), box_cxcywh_to_xyxy(boxes2)"


def made_boxes(*shape: int, seed: int = 0) -> Tensor:
    """Boxes (cx, cy, w, h) that touch, overlap, hold one another, or lie apart."""
    numbers = random(*shape, 4, seed=seed)
    return torch.cat((0.3 + 0.4 * numbers[..., :2], 0.2 + 0.3 * numbers[..., 2:]), -1)


def corners(*shape: int, seed: int = 0) -> Tensor:
    """The same as corners."""
    return box_cxcywh_to_xyxy(made_boxes(*shape, seed=seed)).requires_grad_()


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
        ((CORNERS, "return torch.cat((centre - size, centre + size), -1)"),),
    ),
    Mistake(
        "centre taken for the corner",
        "Does the box begin at its centre?",
        "The centre is in the middle of both corners.",
        ((CORNERS, "return torch.cat((centre, centre + size), -1)"),),
    ),
    Mistake(
        "corners in the wrong order",
        "Which corner comes first?",
        "The top left one has the smaller numbers.",
        ((CORNERS, "return torch.cat((centre + size / 2, centre - size / 2), -1)"),),
    ),
    Mistake(
        "x and y swapped",
        "Which of the two coordinates comes first?",
        "(x1, y1, x2, y2).",
        ((CORNERS, f"{CORNERS}[..., [1, 0, 3, 2]]"),),
    ),
    Mistake(
        "both x before both y",
        "In which order do the four numbers come?",
        "A corner's x and y stand side by side: (x1, y1, x2, y2).",
        ((CORNERS, f"{CORNERS}[..., [0, 2, 1, 3]]"),),
    ),
    Mistake(
        "centre and size swapped",
        "What are the first two numbers of a box?",
        "(cx, cy, w, h): the centre comes first.",
        ((SPLIT, "size, centre = boxes[..., :2], boxes[..., 2:]"),),
    ),
    Mistake(
        "first axis in place of the last",
        "Which axis holds the four numbers?",
        "However many axes come before, the numbers of a box are on the last one.",
        ((SPLIT, "centre, size = boxes[:2], boxes[2:]"), (CORNERS, CORNERS.replace("-1", "0"))),
    ),
    Mistake(
        "only two axes thought of",
        "What if boxes come in a batch, [B, N, 4]?",
        "`...` stands for any axes before the last.",
        ((SPLIT, "centre, size = boxes[:, :2], boxes[:, 2:]"),),
    ),
    Mistake(
        "only two axes thought of",
        "What if boxes come in a batch, [B, N, 4]?",
        "`...` stands for any axes before the last.",
        ((SPLIT, f"boxes = torch.stack([boxes[:, i] for i in range(4)], -1)\n    {SPLIT}"),),
    ),
)

OVERLAP_MISTAKES = (
    Mistake(
        "overlap below zero",
        "How large is the intersection of boxes that lie apart?",
        "Two negative sides have a positive product.",
        ((WIDTH, WIDTH.replace(".clamp(min=0)", "")),),
    ),
    Mistake(
        "overlap counted twice",
        "What is the area of both boxes together?",
        "Whatever belongs to both must be counted once.",
        (("return intersection, both - intersection", "return intersection, both"),),
    ),
    Mistake(
        "pixels counted inclusively",
        "How wide is a box from 0.2 to 0.3?",
        "Old code adds 1 to every side, for pixels. Boxes here are not made of pixels.",
        ((WIDTH, f"{WIDTH.replace('.clamp(min=0)', '.add(1).clamp(min=0)')}"),),
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
        (
            ("torch.maximum(top_left1, top_left2)", "torch.minimum(top_left1, top_left2, )"),
            (
                "torch.minimum(bottom_right1, bottom_right2)",
                "torch.maximum(bottom_right1, bottom_right2, )",
            ),
        ),
    ),
)


def pairing_mistakes(line: str, function: str) -> tuple[Mistake, ...]:
    """Mistakes about which boxes meet, for a function that ends with `line`."""
    one_to_one = f"{function}(boxes1[..., None, :], boxes2[..., None, :])[..., 0, 0]"
    begin = line.index("return")
    return (
        Mistake(
            "pair by pair in place of all pairs",
            "Three boxes and five boxes: how many pairs?",
            "Every box of the first list meets every box of the second.",
            (
                (
                    line,
                    f"if boxes1.dim() == boxes2.dim() and boxes1.shape[-2:] != (1, 4):\n"
                    f"        return {one_to_one}\n    {line[begin:]}",
                ),
            ),
        ),
        Mistake(
            "axes of the pairs swapped",
            "Which list counts the rows?",
            "[N, M]: the first list counts the rows, the second the columns.",
            (
                (
                    line,
                    line + ".mT" if function == "box_iou" else f"return ({line[begin + 7 :]}).mT",
                ),
            ),
        ),
    )


IOU_MISTAKES = (
    *OVERLAP_MISTAKES,
    *pairing_mistakes(IOU, "box_iou"),
    Mistake(
        "cxcywh taken for xyxy",
        "In which form do the boxes come in?",
        "They are corners already.",
        ((IOU, f"{CENTRED}\n    {IOU}"),),
    ),
    Mistake(
        "divided by the first box",
        "What is the intersection compared with?",
        "With the union of both.",
        (
            (
                "return intersection, both - intersection",
                "return intersection, area(top_left1, bottom_right1) + 0 * both",
            ),
        ),
    ),
)

GIOU_MISTAKES = (
    Mistake(
        "GIoU that equals 2 IoU - 1",
        "What do boxes 1.5, 3 and 10 widths apart get? It should be -0.2, -0.5 and -0.82.",
        "Which box around both is meant? It must reach over the gap between them.",
        ((GIOU, "return 2 * ratio(intersection, union) - 1"),),
    ),
    Mistake(
        "hull from the inner corners",
        "Where does the smallest box around both begin?",
        "At the smaller of the two left borders.",
        (
            ("torch.minimum(top_left1, top_left2)", "torch.maximum(top_left1, top_left2, )"),
            (
                "torch.maximum(bottom_right1, bottom_right2)",
                "torch.minimum(bottom_right1, bottom_right2, )",
            ),
        ),
    ),
    Mistake(
        "penalty added",
        "Should empty space in the hull make the number larger or smaller?",
        "Look at the sign between the two parts.",
        ((GIOU, GIOU.replace(" - ratio", " + ratio")),),
    ),
    Mistake(
        "penalty divided by the union",
        "Empty space, as a share of what?",
        "Of the hull: so that GIoU never falls below -1.",
        ((GIOU, GIOU.replace("hull - union, hull", "hull - union, union")),),
    ),
    Mistake(
        "hull without the intersection alone",
        "Which part of the hull is empty?",
        "What neither box covers: hull minus union.",
        ((GIOU, GIOU.replace("hull - union, hull", "hull - intersection, hull")),),
    ),
    Mistake(
        "IoU in place of GIoU",
        "What do boxes that lie apart get?",
        "IoU is 0 for all of them, and has no gradient. GIoU has a second part.",
        ((GIOU, "return ratio(intersection, union)"),),
    ),
    Mistake(
        "penalty alone",
        "What is the first part of GIoU?",
        "IoU, minus the share of the hull that is empty.",
        ((GIOU, "return -ratio(hull - union, hull)"),),
    ),
    Mistake(
        "cxcywh taken for xyxy",
        "In which form do the boxes come in?",
        "They are corners already.",
        (
            (
                "intersection, union = intersection_and_union(boxes1, boxes2)",
                f"{CENTRED}\n    intersection, union = intersection_and_union(boxes1, boxes2)",
            ),
        ),
    ),
    OVERLAP_MISTAKES[0],
    OVERLAP_MISTAKES[1],
    OVERLAP_MISTAKES[3],
    *pairing_mistakes(GIOU, "generalized_box_iou"),
)

LOSS_MISTAKES = (
    Mistake(
        "GIoU in place of 1 - GIoU",
        "Is the loss small for a perfect box?",
        "A loss is small where all is well; GIoU is 1 there.",
        ((LOSS, LOSS.replace("1 - g", "g")),),
    ),
    Mistake(
        "sign flipped",
        "Is the loss above or below zero?",
        "1 - GIoU, not GIoU - 1.",
        ((LOSS, LOSS.replace("return 1 - ", "return -1 + ")),),
    ),
    Mistake(
        "1 forgotten",
        "What is the loss of a perfect box?",
        "It should be 0, and nothing is below it.",
        ((LOSS, LOSS.replace("return 1 - ", "return -")),),
    ),
    Mistake(
        "all pairs in place of pair by pair",
        "Which prediction belongs to which object?",
        "The matching has said it: the first to the first. One number for each pair is left.",
        ((LOSS, "return 1 - generalized_box_iou(boxes1, boxes2)"),),
    ),
    Mistake(
        "averaged already",
        "How many numbers should come out?",
        "One for each pair; the sum comes later, with another divisor.",
        ((LOSS, f"return ({LOSS.removeprefix('return ')}).mean()"),),
    ),
    Mistake(
        "IoU in place of GIoU",
        "Does a box far away get a gradient?",
        "1 - IoU is 1 for every box that lies apart.",
        (
            (
                LOSS,
                "from .step7_hungarian_matching import box_iou\n    "
                + LOSS.replace("generalized_box_iou", "box_iou"),
            ),
        ),
    ),
    Mistake(
        "cxcywh taken for xyxy",
        "In which form do the boxes come in?",
        "They are corners already.",
        ((LOSS, f"{CENTRED}\n    {LOSS}"),),
    ),
)

ALL_PAIRS = (
    Probe("6 boxes with 6 boxes", inputs=lambda: (corners(6), corners(6, seed=1)), gradients=True),
    Probe("3 boxes with 5 boxes", inputs=lambda: (corners(3), corners(5, seed=1))),
    Probe(
        "a batch, [2, 3, 4] with [2, 5, 4]", inputs=lambda: (corners(2, 3), corners(2, 5, seed=1))
    ),
    Probe("boxes without an area", inputs=points, border=True),
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
        ),
        LOSS_MISTAKES,
    ),
)
