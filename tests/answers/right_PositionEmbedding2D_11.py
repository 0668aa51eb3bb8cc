import math

import torch
import torch.nn as nn


class Ruler(nn.Module):
    """Cells that are not padding -> the angle of each, along one axis."""

    def __init__(self, axis):
        super().__init__()
        self.axis = axis

    def forward(self, real):
        position = real.cumsum(self.axis)
        longest = position.amax(self.axis, keepdim=True)
        return position / (longest + 1e-6) * (2 * math.pi)


class Waves(nn.Module):
    """Angles [B, H, W] -> [B, channels, H, W]."""

    def __init__(self, channels, temperature):
        super().__init__()
        self.channels = channels
        self.temperature = temperature

    def forward(self, angle):
        planes = []
        for c in range(self.channels):
            k = c // 2
            slow = angle / self.temperature ** (2 * k / self.channels)
            planes.append(slow.sin() if c % 2 == 0 else slow.cos())
        return torch.stack(planes, dim=1)


class MyPositionEmbedding(nn.Module):
    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        if emb_dim % 4 > 0:
            raise ValueError("emb_dim has to be a multiple of 4")
        self.y = nn.Sequential(Ruler(1), Waves(emb_dim // 2, temperature))
        self.x = nn.Sequential(Ruler(2), Waves(emb_dim // 2, temperature))

    def forward(self, features, padding_mask=None):
        real = torch.ones(features.shape[0], *features.shape[2:]).to(features)
        if padding_mask is not None:
            real = real.masked_fill(padding_mask, 0.0)
        return torch.cat((self.y(real), self.x(real)), dim=1)
