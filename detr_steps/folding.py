"""Batch norm inside of the convolution before it: the same numbers with fewer passes over the maps.

A norm whose statistics stay as they are multiplies each channel and adds to it. The convolution can
do both at no cost: the factors go into its weights, and what is added becomes its bias.
"""

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor, nn
from torchvision.ops.misc import FrozenBatchNorm2d

Norm = nn.BatchNorm2d | nn.SyncBatchNorm | FrozenBatchNorm2d


def scale_and_shift(norm: Norm) -> tuple[Tensor, Tensor]:
    """What a norm with fixed statistics multiplies each channel by, and adds: [C] and [C]."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale


class AbsorbedBatchNorm2d(FrozenBatchNorm2d):
    """A frozen batch norm whose numbers the convolution before it uses: it has nothing to do."""

    def forward(self, x: Tensor) -> Tensor:
        """A map -> the same map."""
        return x


class NormedConv2d(nn.Conv2d):
    """A convolution that does the work of the frozen norm after it, and can be trained.

    Args:
        conv: the convolution, without bias. Its weights are shared.
        norm: the norm, which keeps its numbers under its own name.
    """

    def __init__(self, conv: nn.Conv2d, norm: AbsorbedBatchNorm2d):
        super().__init__(**conv_args(conv), bias=False, device="meta")
        self.weight = conv.weight
        self.absorbed = (norm,)  # in a tuple, so that it is not registered under a second name

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, H, W] -> the normed map."""
        scale, shift = scale_and_shift(*self.absorbed)
        return self._conv_forward(x, self.weight * scale[:, None, None, None], shift)


def conv_args(conv: nn.Conv2d) -> dict:
    """The arguments of `torch.nn.Conv2d` that make one of the same shape."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
    return {name: getattr(conv, name) for name in (*names, "groups", "padding_mode")}


def normed_convolutions(module: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Each (parent, name of a convolution, name of the norm that follows it) in a ResNet."""
    for parent in module.modules():
        for (conv_name, conv), (norm_name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, Norm):
                yield parent, conv_name, norm_name


def absorb_frozen_norms(module: nn.Module) -> None:
    """In place: frozen norms go into their convolutions, which can still be trained.

    Parameters, buffers and their names stay the same.
    """
    for parent, conv_name, norm_name in list(normed_convolutions(module)):
        conv, norm = getattr(parent, conv_name), getattr(parent, norm_name)
        if type(norm) is FrozenBatchNorm2d and conv.bias is None:
            absorbed = AbsorbedBatchNorm2d(len(norm.weight), norm.eps).to(norm.weight)
            absorbed.load_state_dict(norm.state_dict())
            setattr(parent, conv_name, NormedConv2d(conv, absorbed))
            setattr(parent, norm_name, absorbed)


def fold_norms(module: nn.Module) -> None:
    """In place, for good: norms go into their convolutions' weights, as evaluation mode has them.

    What is left are plain convolutions with a bias; the norms are gone.
    """
    for parent, conv_name, norm_name in list(normed_convolutions(module)):
        conv, norm = getattr(parent, conv_name), getattr(parent, norm_name)
        scale, shift = scale_and_shift(norm)
        folded = nn.Conv2d(**conv_args(conv), device="meta")
        folded.weight = nn.Parameter((conv.weight * scale[:, None, None, None]).detach())
        bias = shift if conv.bias is None else shift + conv.bias * scale
        folded.bias = nn.Parameter(bias.detach())
        setattr(parent, conv_name, folded)
        setattr(parent, norm_name, nn.Identity())
