"""The small exercises, one formula each."""

import math

import torch
from torch import Tensor

from .. import small
from ..observing import Probe
from ..tasks import Task
from .boxes import made_boxes
from .common import random


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers of both signs, with a gradient."""
    return (4 * random(*shape, seed=seed) - 2).requires_grad_()


def two_maps() -> tuple[Tensor, Tensor]:
    """A map with an odd number of rows, and the coarser one above it."""
    return numbers(2, 5, 7, 8), numbers(2, 5, 4, 4, seed=1)


def many_sizes(function) -> list:
    """The answers for images of several sizes."""
    return [function(*size) for size in ((640, 640), (641, 639), (500, 333), (32, 1), (33, 800))]


def many_queries(function) -> list:
    """The answers for queries that are sure of a class, sure of none, or of nothing."""
    rows = torch.tensor([[4.0, 0, 1], [0, 1, 6], [-1, 0.5, 0], [2, 1, 2.5], [-3, -1, -2]])
    return [function(logits) for logits in rows]


def many_channels(function) -> list[Tensor]:
    """Eight channels, at positions from 0 to one turn."""
    position = torch.linspace(0, 2 * math.pi, 12).view(3, 4)
    return [function(position, channel, 8, 50.0) for channel in range(8)]


def a_pair() -> tuple[Tensor, ...]:
    """A probability, two boxes, and a GIoU."""
    predicted, wanted = made_boxes(2)
    return torch.tensor(0.7).requires_grad_(), predicted, wanted, torch.tensor(-0.2)


def many_pairs(function) -> Tensor:
    """The costs of several pairs."""
    boxes, prob, giou = made_boxes(6, 2), random(6), 2 * random(6, seed=1) - 1
    return torch.stack([function(p, *b, g) for p, b, g in zip(prob, boxes, giou, strict=True)])


def some_classes() -> tuple[Tensor, Tensor, float]:
    """Six queries, four of them without an object."""
    return numbers(6, 4), torch.tensor([3, 0, 3, 2, 3, 3]), 0.2


TASKS = (
    Task(small.merge, (Probe("a map of 7 rows and one of 4", inputs=two_maps, gradients=True),)),
    Task(small.map_size, (Probe("images of five sizes", many_sizes),)),
    Task(small.read_query, (Probe("five queries", many_queries),)),
    Task(small.wave, (Probe("eight channels at twelve positions", many_channels),)),
    Task(
        small.attention_weights,
        (
            Probe(
                "three queries and five keys",
                inputs=lambda: (numbers(3, 6), numbers(5, 6, seed=1)),
                gradients=True,
            ),
        ),
    ),
    Task(
        small.read_memory,
        (
            Probe(
                "three queries and five tokens",
                inputs=lambda: (numbers(3, 6), numbers(5, 6, seed=1), numbers(5, 6, seed=2)),
                gradients=True,
            ),
        ),
    ),
    Task(
        small.pair_cost,
        (
            Probe("a pair", inputs=a_pair, gradients=True),
            Probe("six pairs", many_pairs),
        ),
    ),
    Task(small.class_term, (Probe("six queries", inputs=some_classes, gradients=True),)),
)
