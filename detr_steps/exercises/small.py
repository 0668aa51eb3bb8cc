"""The small exercises, one formula each: what is to be written, as the check compares it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def merge(fine: Tensor, coarse: Tensor) -> Tensor:
    """Lateral map [B, D, H, W] and the merged map above it -> the merged map [B, D, H, W]."""
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")


def map_size(height: int, width: int) -> tuple[int, int]:
    """Pixels of an image -> rows and columns of its map of stride 32."""
    return math.ceil(height / 32), math.ceil(width / 32)


def read_query(logits: Tensor) -> tuple[int, float]:
    """Logits [C + 1] of one query -> the best class that is an object, and its probability."""
    score, label = logits.softmax(-1)[:-1].max(-1)
    return int(label), float(score)


def wave(position: Tensor, channel: int, d: int, temperature: float) -> Tensor:
    """Positions [...] in 0..2 pi -> one of the d channels of a coordinate [...]."""
    angle = position / temperature ** (2 * (channel // 2) / d)
    return angle.cos() if channel % 2 else angle.sin()


def attention_weights(query: Tensor, key: Tensor) -> Tensor:
    """Queries [N, d] and keys [M, d] of one head -> the weights [N, M]."""
    return (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1)


def read_memory(query: Tensor, mem: Tensor, positions: Tensor) -> Tensor:
    """Queries [N, d], memory and its positions [M, d] -> what the queries read, [N, d].

    One head without projections: the keys hold positions, the values do not.
    """
    return attention_weights(query, mem + positions) @ mem


def pair_cost(prob: Tensor, predicted: Tensor, wanted: Tensor, giou: Tensor) -> Tensor:
    """Class probability, two boxes [4] and their GIoU -> the cost of the pair, weights 2, 5, 2."""
    return -2 * prob + 5 * (predicted - wanted).abs().sum() - 2 * giou


def class_term(logits: Tensor, classes: Tensor, no_object_weight: float) -> Tensor:
    """Logits [N, C + 1] and classes [N], C for "no object" -> the weighted mean of -log p."""
    weight = torch.ones(logits.shape[-1])
    weight[-1] = no_object_weight
    return F.cross_entropy(logits, classes, weight)
