"""Copying parameters between models that mean the same but need not name it the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache

import torch
from scipy.optimize import linear_sum_assignment
from torch import nn


@dataclass(frozen=True)
class Match:
    """Which parameters of a reference belong to which of a model, by their names.

    Args:
        pairs: the reference's name -> the model's name.
        missing: names of the reference without a counterpart.
        added: names of the model without a counterpart.
    """

    pairs: Mapping[str, str]
    missing: list[str]
    added: list[str]

    @torch.no_grad()
    def copy(self, reference: nn.Module, model: nn.Module) -> None:
        """Copies the values of all pairs from the reference into the model."""
        theirs, ours = dict(reference.named_parameters()), dict(model.named_parameters())
        for name, own in self.pairs.items():
            ours[own].copy_(theirs[name])


def match_parameters(reference: nn.Module, model: nn.Module, by_name: bool = True) -> Match:
    """By name and shape; what is left by shape, and by similar names or else by their order."""
    left, right = dict(reference.named_parameters()), dict(model.named_parameters())
    pairs = {name: name for name in left if name in right and left[name].shape == right[name].shape}
    missing = [name for name in left if name not in pairs]
    added = [name for name in right if name not in pairs]
    for shape in {left[name].shape for name in missing}:
        theirs = [name for name in missing if left[name].shape == shape]
        ours = [name for name in added if right[name].shape == shape]
        pairs |= pair_names(theirs, ours, by_name)
    used = set(pairs.values())
    return Match(
        pairs, [name for name in left if name not in pairs], [n for n in right if n not in used]
    )


def pair_names(theirs: list[str], ours: list[str], by_name: bool) -> dict[str, str]:
    """The pairs of two lists of names that are most alike, or else come in the same order."""
    cost = [
        [1e-3 * abs(i - j) - (similarity(a, b) if by_name else 0) for j, b in enumerate(ours)]
        for i, a in enumerate(theirs)
    ]
    if not ours:
        return {}
    return {theirs[i]: ours[j] for i, j in zip(*linear_sum_assignment(cost), strict=True)}


@cache
def similarity(left: str, right: str) -> float:
    """How much two names have in common: 0..1."""
    return SequenceMatcher(None, left, right).ratio()
