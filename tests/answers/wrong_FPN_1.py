# slip: the smoothed P goes down to the next level, not the sum M
import torch
from torch import nn
import torch.nn.functional as F


class MyFPN(nn.Module):
    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        self.inner = nn.ModuleList([nn.Conv2d(c, emb_dim, 1) for c in in_channels.values()])
        self.outer = nn.ModuleList([nn.Conv2d(emb_dim, emb_dim, 3, padding=1) for _ in in_channels])

    def forward(self, features):
        n = len(features)
        results = [None] * n
        merged = None
        for i in reversed(range(n)):
            here = self.inner[i](features[i])
            if merged is not None:
                here = here + F.interpolate(merged, size=here.shape[-2:], mode="nearest")
            merged = self.outer[i](here)
            results[i] = merged
        return results
