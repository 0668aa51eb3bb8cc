from itertools import accumulate

import torch
from torch import nn
from torch.nn.functional import interpolate


class Bias(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return x + self.value.view(1, -1, 1, 1)


class ConvModule(nn.Sequential):
    """As in mmcv: a convolution without bias, and what follows."""

    def __init__(self, c_in, c_out, kernel):
        super().__init__()
        self.add_module("conv", nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False))
        self.add_module("bias", Bias(c_out))


class Level(nn.Module):
    def __init__(self, c_in, dim):
        super().__init__()
        self.fpn_conv = ConvModule(dim, dim, 3)
        self.lateral_conv = ConvModule(c_in, dim, 1)


def merge(coarse, fine):
    return fine + interpolate(coarse, fine.shape[-2:], mode="nearest")


class MyFPN(nn.Module):
    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        self.levels = nn.ModuleDict()
        for name in reversed(list(in_channels)):  # the coarsest level is built first
            self.levels[f"level{name}"] = Level(in_channels[name], emb_dim)

    def forward(self, features):
        levels = list(self.levels.values())
        sides = [level.lateral_conv(c) for level, c in zip(levels, features[::-1])]
        sums = list(accumulate(sides, merge))  # M5, then M4 = lateral + up(M5), ...
        return [level.fpn_conv(m) for level, m in zip(levels, sums)][::-1]
