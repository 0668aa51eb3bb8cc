"""Copying parameters between models that mean the same but need not cut or name it the same.

A parameter is seen as blocks: three projections in one matrix are three blocks, or one for every
head. A match says which block of a model plays the part of which block of the reference.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

Parameters = Mapping[str, Tensor]


class Block(NamedTuple):
    """A part of a parameter.

    Args:
        name: of the parameter.
        shape: of the block.
        start: its first row and column, where it is no whole parameter.
    """

    name: str
    shape: tuple[int, ...]
    start: tuple[int, ...] = ()

    def of(self, parameters: Parameters) -> Tensor:
        """The block as a view of its parameter; axes of length 1 are left out."""
        view = parameters[self.name].squeeze()
        ranges = zip(self.start, self.shape, strict=True)
        return view[tuple(slice(a, a + n) for a, n in ranges)] if self.start else view


def cut(parameters: Parameters, rows: int = 0, columns: int = 0) -> list[Block]:
    """All blocks of some parameters.

    Args:
        parameters: by name.
        rows: height of a block, where that divides the rows of a vector or matrix; 0 is any.
        columns: width of a block, where that divides the columns of a matrix; 0 is any.
    """
    blocks = []
    for name, parameter in parameters.items():
        shape = tuple(parameter.squeeze().shape)
        if len(shape) not in (1, 2) or 0 in shape:
            blocks.append(Block(name, shape))
            continue
        block = tuple(
            side if side and length % side == 0 else length
            for length, side in zip(shape, (rows, columns), strict=False)
        )
        starts = torch.cartesian_prod(
            *(torch.arange(0, n, part) for n, part in zip(shape, block, strict=True))
        )
        blocks += [Block(name, block, tuple(s)) for s in starts.view(-1, len(shape)).tolist()]
    return blocks


def ways_to_cut(reference: nn.Module) -> Iterator[dict[str, int]]:
    """From whole parameters to ever smaller blocks: as wide as the model, and as a head."""
    yield {}
    widths = {
        (module.embed_dim, module.head_dim)
        for module in reference.modules()
        if isinstance(module, nn.MultiheadAttention)
    }
    for width, head in sorted(widths):
        yield {"rows": width}
        yield {"rows": head}
        yield {"rows": head, "columns": head}


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
            right.of(ours).copy_(left.of(theirs))

    def translate(self, values: Parameters, reference: nn.Module) -> dict[str, Tensor]:
        """Values of the model's parameters, as gradients, in the shape of the reference's."""
        theirs = dict(reference.named_parameters())
        found = {left.name: torch.zeros_like(theirs[left.name]) for left, _ in self.pairs}
        for left, right in self.pairs:
            left.of(found).copy_(right.of(values))
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


def count_shapes(blocks: list[Block]) -> Counter:
    """How many blocks there are of each shape."""
    return Counter(block.shape for block in blocks)


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
