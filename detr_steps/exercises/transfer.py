"""Copying parameters between models that mean the same but need not cut or name it the same.

A match says which block of a model plays the part of which block of the reference.
"""

from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from .cutting import Block, Parameters, count_shapes, cut, ways_to_cut


@dataclass(frozen=True)
class Match:
    """Which parameters of a reference belong to which of a model.

    Args:
        pairs: a block of the reference, and the model's block.
        missing: names of the reference without a counterpart.
        added: names of the model without a counterpart.
    """

    pairs: list[tuple[Block, Block]]
    missing: list[str]
    added: list[str]

    @torch.no_grad()
    def copy(self, reference: nn.Module, model: nn.Module) -> None:
        """Copies the values of all pairs from the reference into the model."""
        theirs, ours = dict(reference.named_parameters()), dict(model.named_parameters())
        for left, right in self.pairs:
            right.fill(ours, left.of(theirs))

    def translate(self, values: Parameters, reference: nn.Module) -> dict[str, Tensor]:
        """Values of the model's parameters, as gradients, in the shape of the reference's."""
        theirs = dict(reference.named_parameters())
        found = {left.name: torch.zeros_like(theirs[left.name]) for left, _ in self.pairs}
        for left, right in self.pairs:
            left.fill(found, right.of(values))
        return found


def match_parameters(reference: nn.Module, model: nn.Module, by_name: bool = True) -> Match:
    """By name and shape; what is left by shape, and by similar names or else by their order."""
    left, right = dict(reference.named_parameters()), dict(model.named_parameters())
    for sizes in ways_to_cut(reference):
        theirs, ours = cut(left, **sizes), cut(right, **sizes)
        if count_shapes(theirs) == count_shapes(ours):
            return Match(pair_blocks(theirs, ours, by_name), [], [])
    pairs = pair_blocks(cut(left), cut(right), by_name)
    found, used = {theirs.name for theirs, _ in pairs}, {ours.name for _, ours in pairs}
    return Match(pairs, [n for n in left if n not in found], [n for n in right if n not in used])


def match_in_order(reference: nn.Module, model: nn.Module) -> Match:
    """By shape and order alone.

    Raises:
        LookupError: names lead to the same match.
    """
    match = match_parameters(reference, model, by_name=False)
    if set(match.pairs) == set(match_parameters(reference, model).pairs):
        raise LookupError
    return match


def pair_blocks(theirs: list[Block], ours: list[Block], by_name: bool) -> list[tuple[Block, Block]]:
    """Pairs of blocks of the same shape: the same block, else alike in name, else in order."""
    same = set(theirs) & set(ours)
    pairs = [(block, block) for block in theirs if block in same]
    for shape in dict.fromkeys(block.shape for block in theirs):
        left = [block for block in theirs if block.shape == shape and block not in same]
        right = [block for block in ours if block.shape == shape and block not in same]
        if left and right:
            cost = [
                [
                    1e-3 * abs(i - j) - by_name * similarity(a.name, b.name)
                    for j, b in enumerate(right)
                ]
                for i, a in enumerate(left)
            ]
            pairs += [
                (left[i], right[j]) for i, j in zip(*linear_sum_assignment(cost), strict=True)
            ]
    return pairs


@cache
def similarity(left: str, right: str) -> float:
    """How much two names have in common: 0..1."""
    return SequenceMatcher(None, left, right).ratio()
