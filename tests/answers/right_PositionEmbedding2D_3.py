import math

import torch
from torch import nn


class MyPositionEmbedding(nn.Module):
    """Map [B, C, H', W'], mask [B, H', W'] (True on padding) -> [B, emb_dim, H', W']."""

    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        if emb_dim % 4:
            raise ValueError(f"emb_dim must be a multiple of 4, not {emb_dim}")
        self.emb_dim, self.temperature = emb_dim, temperature

    def forward(self, features, padding_mask=None):
        if padding_mask is None:
            real = torch.ones_like(features[:, 0])
        else:
            real = (~padding_mask).to(features.dtype)
        k = torch.arange(self.emb_dim // 4, device=features.device, dtype=features.dtype)
        period = self.temperature ** (4 * k / self.emb_dim)
        waves = []
        for dim in (1, 2):  # y, then x
            count = real.cumsum(dim)
            last = count.narrow(dim, count.shape[dim] - 1, 1)
            angle = 2 * math.pi * count / (last + 1e-6)
            angle = angle.unsqueeze(1) / period.view(-1, 1, 1)  # [B, d/2, H, W]
            waves.append(torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1, 2))
        return torch.cat(waves, dim=1)
