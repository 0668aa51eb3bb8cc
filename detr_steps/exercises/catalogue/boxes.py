"""Step 7's functions of boxes, and Step 8's."""

import torch
from torch import Tensor

from ...step7_hungarian_matching import box_cxcywh_to_xyxy, box_iou, generalized_box_iou
from ...step8_set_loss import giou_loss
from ..observing import Probe
from ..tasks import Task
from .common import random


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


def pairs_of_points() -> tuple[Tensor, Tensor]:
    """The same points, pair by pair."""
    place, other = points()
    return place, other.repeat(2, 1)


def apart() -> tuple[Tensor, Tensor]:
    """A unit square, and others beside it, and a little below: at 1.5, 3 and 10 widths."""
    still = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    moved = still + torch.tensor([1.5, 3.0, 10.0])[:, None] * torch.tensor([1.0, 0.01, 1.0, 0.01])
    return still, moved.requires_grad_()


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
    ),
    Task(box_iou, ALL_PAIRS),
    Task(generalized_box_iou, ALL_PAIRS),
    Task(
        giou_loss,
        (
            Probe("6 pairs", inputs=lambda: (corners(6), corners(6, seed=1)), gradients=True),
            Probe("pairs in a batch", inputs=lambda: (corners(2, 3), corners(2, 3, seed=1))),
            Probe("no pairs, [0, 4]", inputs=lambda: (corners(0), corners(0)), border=True),
            Probe("boxes without an area", inputs=pairs_of_points, border=True),
            Probe(
                "40 pairs of all sizes, also outside of 0..1",
                inputs=lambda: (wide(40, 7), wide(40, 8)),
                gradients=True,
                border=True,
            ),
        ),
    ),
)
