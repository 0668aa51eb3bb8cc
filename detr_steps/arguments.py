"""What the constructors accept: one table of arguments and their ranges.

Every constructor calls `check_arguments` before it builds anything, and its docstring says a range
in the words of the table.
"""

from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from math import inf
from reprlib import repr as shortened
from typing import NamedTuple

import torch
import torchvision
from torch import nn
from torchvision.models import ResNet, list_models

from .inputs import kind, mismatch

FLOAT = torch.finfo(torch.float32)  # models compute in it, so that beyond it a number is 0 or inf
RESNETS = ("resnet*", "resnext*", "wide_resnet*")


class Range(NamedTuple):
    """The values that an argument may have.

    Args:
        text: the range in words.
        kinds: types of the values; True and False count as numbers nowhere.
        low: the least value.
        high: the largest value.
        left_out: a value between them that does not belong to the range.
    """

    text: str
    kinds: tuple[type, ...]
    low: float
    high: float
    left_out: float | None = None

    def holds(self, value: object) -> bool:
        """Whether a value lies in the range; NaN lies in none."""
        fits = isinstance(value, self.kinds)
        if isinstance(value, bool):  # which Python counts as a whole number
            fits = bool in self.kinds
        return fits and self.low <= value <= self.high and value != self.left_out


COUNT = Range("a whole number, at least 1", (int,), 1, inf)
WEIGHT = Range("a finite number, at least 0", (int, float), 0, FLOAT.max)
POSITIVE = Range("a finite number above 0", (int, float), FLOAT.tiny, FLOAT.max)
SWITCH = Range("True or False", (bool,), False, True)

RANGES = {
    "pretrained": SWITCH,
    "dilation": SWITCH,
    "trainable_layers": Range("a whole number in 0..5", (int,), 0, 5),
    "emb_dim": COUNT,
    "num_classes": COUNT,
    "num_queries": COUNT,
    "temperature": POSITIVE,
    "nhead": COUNT,
    "enc_layers": Range("a whole number, at least 0", (int,), 0, inf),
    "dec_layers": COUNT,
    "dim_feedforward": COUNT,
    "dropout": Range("a number from 0 to below 1", (int, float), 0, 1, left_out=1),
    "cost_class": WEIGHT,
    "cost_bbox": WEIGHT,
    "cost_giou": WEIGHT,
    "w_class": WEIGHT,
    "w_bbox": WEIGHT,
    "w_giou": WEIGHT,
    "no_object_weight": POSITIVE,  # with 0, a batch without objects has the loss 0 / 0
}


def check_arguments(**arguments: object) -> None:
    """Each argument lies in its range of the table.

    Raises:
        ValueError: one does not.
    """
    for name, value in arguments.items():
        if not RANGES[name].holds(value):
            raise mismatch(ValueError, name, RANGES[name].text, shortened(value))


def check_heads(nhead: int, emb_dim: int) -> None:
    """Every attention head gets the same share of the channels."""
    if emb_dim % nhead:
        raise mismatch(ValueError, "nhead", f"a divisor of emb_dim = {emb_dim}", nhead)


def check_channels(in_channels: object) -> None:
    """`in_channels` maps each level of a pyramid to its number of channels."""
    expected = "channels by level, as {2: 256, ..., 5: 2048}"
    if not isinstance(in_channels, Mapping):
        raise mismatch(TypeError, "in_channels", expected, kind(in_channels))
    if not all(map(COUNT.holds, in_channels.values())):
        raise mismatch(ValueError, "in_channels", expected, shortened(in_channels))


def check_backbone(
    backbone: object,
    pretrained: bool,
    dilation: bool,
    norm_layer: Callable[[int], nn.Module] | None,
) -> None:
    """A ResNet by name, or a ready one, which has already decided on weights, dilation and norm."""
    ready = isinstance(norm_layer, nn.Module)
    if norm_layer is not None and (ready or not callable(norm_layer)):
        expected = "None, or what makes a norm of a number of channels"
        raise mismatch(TypeError, "norm_layer", expected, shortened(norm_layer))
    if isinstance(backbone, str):
        check_backbone_name(backbone)
        if dilation and backbone in ("resnet18", "resnet34"):
            bottlenecks = "a ResNet with bottleneck blocks (resnet50 or deeper)"
            raise mismatch(ValueError, "dilation", bottlenecks, repr(backbone))
    elif not isinstance(backbone, ResNet):
        raise mismatch(TypeError, "backbone", "a torchvision ResNet or its name", kind(backbone))
    elif pretrained or dilation or norm_layer is not None:
        raise ValueError(
            "pretrained, dilation, norm_layer: expected none of them beside a ready backbone"
        )


def check_backbone_name(backbone: str) -> None:
    """torchvision knows a ResNet of this name."""
    known = list_models(torchvision.models, include=RESNETS)
    if backbone not in known:
        like = any(fnmatch(backbone, pattern) for pattern in RESNETS)
        expected = f"one of {', '.join(known)}" if like else "the name of a torchvision ResNet"
        raise mismatch(ValueError, "backbone", expected, shortened(backbone))
