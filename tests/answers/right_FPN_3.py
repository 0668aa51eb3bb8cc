import torch.nn.functional as F
from torch import nn


class MyFPN(nn.Module):
    """[C_i ..] -> [P_i ..], each [B, emb_dim, H_i, W_i]."""

    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        self.lateral = nn.ModuleDict({str(i): nn.Conv2d(c, emb_dim, 1) for i, c in in_channels.items()})
        self.output = nn.ModuleDict({str(i): nn.Conv2d(emb_dim, emb_dim, 3, padding=1) for i in in_channels})

    def forward(self, features):
        m = [conv(c) for conv, c in zip(self.lateral.values(), features)]
        for i in range(len(m) - 2, -1, -1):
            m[i] = m[i] + F.interpolate(m[i + 1], size=m[i].shape[-2:], mode="nearest")
        return [conv(x) for conv, x in zip(self.output.values(), m)]
