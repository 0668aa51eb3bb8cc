# slip: all sines first, then all cosines, not alternating
import math
import torch
from torch import nn


class MyPositionEmbedding(nn.Module):
    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        if emb_dim % 4:
            raise ValueError("emb_dim must be a multiple of 4")
        self.half = emb_dim // 2
        self.temperature = temperature

    def waves(self, angle):
        sines, cosines = [], []
        for k in range(self.half // 2):
            a = angle / self.temperature ** (2 * k / self.half)
            sines.append(a.sin())
            cosines.append(a.cos())
        return torch.stack(sines + cosines, dim=1)

    def forward(self, features, padding_mask=None):
        b, _, h, w = features.shape
        if padding_mask is None:
            padding_mask = torch.zeros(b, h, w, dtype=torch.bool, device=features.device)
        real = (~padding_mask).float()
        rows, cols = real.cumsum(1), real.cumsum(2)
        rows = rows / (rows[:, -1:, :] + 1e-6) * 2 * math.pi
        cols = cols / (cols[:, :, -1:] + 1e-6) * 2 * math.pi
        return torch.cat([self.waves(rows), self.waves(cols)], dim=1)
