"""Attention looked at and taken out: weights recorded and measured, modules silenced."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@contextmanager
def recorded_attention(
    *modules: nn.MultiheadAttention, average: bool = True
) -> Iterator[list[Tensor]]:
    """Collects the attention weights of `modules` as they run.

    Args:
        *modules: the attentions.
        average: over the heads: weights [B, queries, keys], else [B, heads, queries, keys].
    """
    weights: list[Tensor] = []

    def record(module, args, kwargs, output):
        asked = {"need_weights": True, "average_attn_weights": average}
        weights.append(module.forward(*args, **{**kwargs, **asked})[1].detach())

    with ExitStack() as hooks:
        for module in modules:
            hooks.enter_context(module.register_forward_hook(record, with_kwargs=True))
        yield weights


@contextmanager
def silenced(*modules: nn.Module) -> Iterator[None]:
    """Inside of the block the outputs of these modules are zeros."""

    def zeros(module, args, output):
        if isinstance(output, tuple):  # of an attention: (output, weights)
            return torch.zeros_like(output[0]), *output[1:]
        return torch.zeros_like(output)

    with ExitStack() as hooks:
        for module in modules:
            hooks.enter_context(module.register_forward_hook(zeros))
        yield


def cells_of(outlines: Tensor, cell: int) -> Tensor:
    """Which cells of a map hold a part of each object's outline.

    Args:
        outlines: which pixels are part of each object's outline, bool [M, H, W].
        cell: side of a cell in pixels.

    Returns:
        bool [M, H'W'], in the order of the tokens.
    """
    return F.max_pool2d(outlines[None].float(), cell)[0].flatten(1).bool()


def owners_of(cells: Tensor) -> Tensor:
    """The object of each cell [H'W'], -1 where there is none or several; see `cells_of`."""
    return torch.where(cells.sum(0) == 1, cells.float().argmax(0), -1)


def cells_within(reach: int, rows: int, columns: int) -> Tensor:
    """Which cells of a map lie at most `reach` rows and columns apart: bool [H'W', H'W']."""
    row, column = torch.arange(rows * columns) // columns, torch.arange(rows * columns) % columns
    apart = torch.maximum((row[:, None] - row).abs(), (column[:, None] - column).abs())
    return apart <= reach


def own_shares(weights: Tensor, owners: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """The share of each cell's attention that stays on its own object.

    Queries and keys are the cells that belong to one object alone; a cell's weight on itself is
    left out, and so are cells that have keys of their own object alone, or none of it.

    Args:
        weights: of self-attention, [heads, H'W', H'W'].
        owners: object of each cell [H'W'], -1 for the cells to leave out.
        counted: which keys count for each query, bool [H'W', H'W']; see `cells_within`.

    Returns:
        The share of each of these K cells [heads, K], and that under uniform attention [K].
    """
    keys = counted & (owners >= 0) & ~torch.eye(len(owners), dtype=torch.bool)
    own = keys & (owners[:, None] == owners)
    queries = (owners >= 0) & own.any(1) & (keys & ~own).any(1)
    weights, own, keys = weights[:, queries], own[queries], keys[queries]
    measured = (weights * own).sum(-1) / (weights * keys).sum(-1)
    return measured, own.sum(-1) / keys.sum(-1)


def extremes_of(cells: Tensor, columns: int) -> Tensor:
    """Which cells of each object lie in its first or last row or column: bool [M, H'W'].

    Args:
        cells: see `cells_of`.
        columns: of the map.
    """
    maps = cells.unflatten(1, (-1, columns))  # [M, H', W']
    row, column = maps.any(2), maps.any(1)
    outer_row, outer_column = first_or_last(row), first_or_last(column)
    return (maps & (outer_row[:, :, None] | outer_column[:, None, :])).flatten(1)


def first_or_last(used: Tensor) -> Tensor:
    """The first and the last true place of each line: bool [M, K] -> bool [M, K]."""
    count = used.long().cumsum(1)
    return used & ((count == 1) | (count == count[:, -1:]))
