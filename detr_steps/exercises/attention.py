"""Attention by hand, with the mistakes that can be made inside of it (the edits of `mistakes`)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attend(
    attention: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    padding: Tensor | None = None,
    *,
    scale: float | None = None,
    axis: int = -1,
    heads: int | None = None,
    cut: bool = False,
    project: bool = True,
) -> Tensor:
    """What an attention computes: [B, N, D], [B, M, D], [B, M, D], padding [B, M] -> [B, N, D].

    Args:
        attention: whose parameters and number of heads are taken.
        query, key, value, padding: as for that one.
        scale, axis, heads: what similarities are multiplied by, the axis of the softmax, and the
            number of heads; None, -1 and None are right.
        cut: whether heads are cut without a transpose, which mixes the tokens.
        project: whether the output projection is applied.
    """
    heads = heads or attention.num_heads
    projections = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    q, k, v = (
        split(x @ weight.T + bias, heads, cut)
        for x, weight, bias in zip((query, key, value), *projections, strict=True)
    )
    similarity = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if padding is not None:
        similarity = similarity.masked_fill(padding[:, None, None], -torch.inf)
    weights = F.dropout(similarity.softmax(axis), attention.dropout, attention.training)
    result = weights @ v
    result = result.reshape(query.shape) if cut else result.transpose(1, 2).flatten(2)
    return attention.out_proj(result) if project else result


def split(x: Tensor, heads: int, cut: bool) -> Tensor:
    """Tokens [B, N, D] -> their heads [B, heads, N, D / heads]; `cut` as for `attend`."""
    batch, number, width = x.shape
    if cut:
        return x.reshape(batch, heads, number, width // heads)
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
