"""Attention looked at and taken out: weights recorded, modules silenced, while a model runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def recorded_attention(*modules: nn.MultiheadAttention) -> Iterator[list[Tensor]]:
    """Collects attention weights [B, queries, keys] of `modules`, heads averaged, as they run."""
    weights: list[Tensor] = []

    def record(module, args, kwargs, output):
        weights.append(module.forward(*args, **{**kwargs, "need_weights": True})[1].detach())

    hooks = [module.register_forward_hook(record, with_kwargs=True) for module in modules]
    try:
        yield weights
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def silenced(*modules: nn.Module) -> Iterator[None]:
    """Inside of the block the outputs of these modules are zeros."""

    def zeros(module, args, output):
        if isinstance(output, tuple):  # of an attention: (output, weights)
            return torch.zeros_like(output[0]), *output[1:]
        return torch.zeros_like(output)

    hooks = [module.register_forward_hook(zeros) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
