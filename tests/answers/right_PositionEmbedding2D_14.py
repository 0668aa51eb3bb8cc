import math

import torch
from torch import nn


class MyPositionEmbedding(nn.Module):
    """Map [B, C, H', W'], mask [B, H', W'] (True on padding) -> [B, emb_dim, H', W']."""

    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        if emb_dim % 4 != 0:
            raise ValueError(f"emb_dim must be a multiple of 4, not {emb_dim}")
        self.d = emb_dim // 2  # channels of one coordinate
        self.tau = temperature

    def phasors(self, count, axis):
        """Unit complex numbers exp(i angle), written as (sine, cosine): [B, H', W', d]."""
        last = count.select(axis, -1).unsqueeze(axis)
        theta = 2 * math.pi * count / (last + 1e-6)
        two_k = torch.arange(0, self.d, 2, dtype=count.dtype, device=count.device)
        angle = theta[..., None] / self.tau ** (two_k / self.d)
        z = torch.polar(torch.ones_like(angle), angle)
        cos_sin = torch.view_as_real(z)
        return cos_sin.flip(-1).flatten(-2)

    def forward(self, features, padding_mask=None):
        B, _, H, W = features.shape
        if padding_mask is None:
            real = features.new_ones(B, H, W)
        else:
            real = (~padding_mask).to(features.dtype)
        y = self.phasors(real.cumsum(1), 1)
        x = self.phasors(real.cumsum(2), 2)
        return torch.cat([y, x], dim=-1).movedim(-1, 1)
