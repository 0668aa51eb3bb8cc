from itertools import accumulate

import torch.nn.functional as F
from torch import nn


class MyFPN(nn.Module):
    """[C_i ..] -> [P_i ..], each [B, emb_dim, H_i, W_i]."""

    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        coarse_first = reversed(list(in_channels.values()))
        self.branches = nn.ModuleList(
            nn.ModuleDict(
                {
                    "smooth": nn.Conv2d(emb_dim, emb_dim, 3, padding=1),
                    "squeeze": nn.Conv2d(channels, emb_dim, 1),
                }
            )
            for channels in coarse_first
        )

    @staticmethod
    def merge(above, here):
        return here + F.interpolate(above, size=here.shape[-2:], mode="nearest")

    def forward(self, features):
        squeezed = [b["squeeze"](c) for b, c in zip(self.branches, features[::-1])]
        merged = accumulate(squeezed, self.merge)
        pyramid = [b["smooth"](m) for b, m in zip(self.branches, merged)]
        return pyramid[::-1]
