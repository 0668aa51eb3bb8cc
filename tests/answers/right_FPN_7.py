import math

import torch
import torch.nn.functional as F
from torch import nn


class MyFPN(nn.Module):
    """No nn.Conv2d at all: plain parameters, those of the 3x3 of all levels in one tensor."""

    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        n = len(in_channels)
        self.w1 = nn.ParameterList([nn.Parameter(torch.empty(emb_dim, c, 1, 1)) for c in in_channels.values()])
        self.b1 = nn.Parameter(torch.zeros(n, emb_dim))
        self.w3 = nn.Parameter(torch.empty(n, emb_dim, emb_dim, 3, 3))
        self.b3 = nn.Parameter(torch.zeros(n, emb_dim))
        for w in self.w1:
            nn.init.kaiming_uniform_(w, a=math.sqrt(5))
        for w in self.w3.data:
            nn.init.kaiming_uniform_(w, a=math.sqrt(5))

    def forward(self, features):
        n = len(self.w1)
        merged = [None] * n
        for i in range(n - 1, -1, -1):
            merged[i] = F.conv2d(features[i], self.w1[i], self.b1[i])
            if i + 1 < n:
                merged[i] = merged[i] + F.interpolate(merged[i + 1], size=features[i].shape[-2:])
        return [F.conv2d(merged[i], self.w3[i], self.b3[i], padding=1) for i in range(n)]
