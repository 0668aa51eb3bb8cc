"""A trained model made ready to detect, fast."""

import warnings
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops.misc import FrozenBatchNorm2d

from ..inputs import mismatch
from ..step8_set_loss import Step8
from .bfloat16 import InBfloat16, TokensFirst, has_bfloat16, wrap
from .runtimes import in_openvino

Norm = nn.BatchNorm2d | nn.SyncBatchNorm | FrozenBatchNorm2d


def for_inference(
    model: Step8, compile: bool | str = False, dtype: torch.dtype | None = None
) -> nn.Module:
    """A copy of `model` that only detects, faster: the same outputs within 1e-4.

    The copy is in evaluation mode and frozen, its batch norm is folded into the convolutions, and
    its weights lie channels last. It can neither be trained nor load a state dict of a Step8. Call
    it as the model itself, under `torch.no_grad()`.

    Args:
        model: a Step8, which is left as it is.
        compile: True for `torch.compile`, which makes it faster still. The first call takes minutes
            then, and so does the first call with a second image size; a CPU needs a C++ compiler.
            "openvino" for OpenVINO on a CPU: half a minute here, no more at any size, but nothing
            comes back but class_logits and bbox_pred. It needs the extra "openvino".
        dtype: torch.bfloat16 computes in 16 bits, faster on a processor that has instructions for
            it; on any other it warns, and stays in float32. Outputs are float32, logits within
            about 0.05 and boxes within 0.005. None for the model's own.

    Raises:
        TypeError: `model` is no Step8.
        ValueError: another `compile` or `dtype`, or OpenVINO is not installed.
        RuntimeError: a convolution is wrong in bfloat16 on this processor.
    """
    if not isinstance(model, Step8):
        raise mismatch(TypeError, "model", "a Step8", type(model).__name__)
    if compile not in (False, True, "openvino"):
        raise mismatch(ValueError, "compile", 'False, True or "openvino"', repr(compile))
    if dtype not in (None, torch.float32, torch.bfloat16):
        raise mismatch(ValueError, "dtype", "torch.bfloat16, torch.float32 or None", dtype)
    model = deepcopy(model).eval()
    fold_norms(model.backbone)
    model.requires_grad_(False).to(dtype=dtype and torch.float32)
    model.to(memory_format=torch.channels_last)
    dtype = possible(dtype, model.queries.device)
    if compile == "openvino":
        return in_openvino(model, dtype)
    ready = InBfloat16(model).eval() if dtype == torch.bfloat16 else model
    return Compiled(ready).eval() if compile else ready


class Compiled(nn.Module):
    """A model in evaluation mode, compiled at its first call with each size of images.

    Freezing makes constants of the weights, which oneDNN then lays out as its kernels read them,
    with additions and ReLUs inside of the convolutions. It has to be on while the model is traced,
    too: as an option of `torch.compile` alone it leaves the weights as they are.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        if isinstance(model, Step8):
            wrap(model, nn.MultiheadAttention, TokensFirst)
        self.model = model
        self.model.compile()

    def forward(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """As Step8's."""
        from torch._inductor import config  # takes a second: only where it is used

        with torch.no_grad(), config.patch(freezing=True):  # it freezes nothing with gradients
            return self.model(images, padding_mask)


def possible(dtype: torch.dtype | None, device: torch.device) -> torch.dtype:
    """The wanted type of numbers, or float32 where a device only imitates bfloat16."""
    if dtype == torch.bfloat16 and not has_bfloat16(device):
        warnings.warn(
            "dtype: this processor has no instructions for bfloat16, which would be slower than "
            "float32; the model stays in float32",
            stacklevel=3,
        )
        dtype = None
    return dtype or torch.float32


def fold_norms(module: nn.Module) -> None:
    """In place, for good: in evaluation mode, batch norms go into the convolutions before them.

    A norm whose statistics stay as they are multiplies each channel by a number and adds another.
    The convolution can do both: the factors go into its weights, what is added becomes its bias.
    """
    for parent in list(module.modules()):
        for (_, conv), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, Norm):
                statistics = norm.running_mean, norm.running_var, norm.eps
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, *statistics, norm.weight, norm.bias
                )
                setattr(parent, name, nn.Identity())
