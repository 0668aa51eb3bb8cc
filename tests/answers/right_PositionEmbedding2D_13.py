import math

import torch
from torch import nn


def one_axis(theta, channels, temperature):
    """Any shape -> the same shape and, at the end, the channels."""
    k = torch.arange(channels // 2, dtype=theta.dtype, device=theta.device)
    slow = theta.unsqueeze(-1) / temperature ** (2 * k / channels)
    return torch.cat((slow.sin().unsqueeze(-1), slow.cos().unsqueeze(-1)), -1).flatten(-2)


class MyPositionEmbedding(nn.Module):
    """Map [B, C, H', W'], mask [B, H', W'] (True on padding) -> [B, emb_dim, H', W']."""

    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        if emb_dim % 4 != 0:
            raise ValueError(f"{emb_dim} channels cannot be cut into four equal parts")
        self.d = emb_dim // 2
        self.temperature = temperature

    def plain(self, features):
        """Without a mask a row is a row: one vector for each, then repeated."""
        B, _, H, W = features.shape
        t_y = torch.arange(1, H + 1, dtype=features.dtype, device=features.device)
        t_x = torch.arange(1, W + 1, dtype=features.dtype, device=features.device)
        e_y = one_axis(2 * math.pi * t_y / (H + 1e-6), self.d, self.temperature)  # [H, d]
        e_x = one_axis(2 * math.pi * t_x / (W + 1e-6), self.d, self.temperature)  # [W, d]
        e_y = e_y.T[None, :, :, None].expand(B, -1, H, W)
        e_x = e_x.T[None, :, None, :].expand(B, -1, H, W)
        return torch.cat((e_y, e_x), dim=1)

    def masked(self, features, mask):
        real = mask.logical_not().to(features.dtype)
        t_y = real.cumsum(dim=1)
        t_x = real.cumsum(dim=2)
        theta_y = 2 * math.pi * t_y / (real.sum(dim=1, keepdim=True) + 1e-6)
        theta_x = 2 * math.pi * t_x / (real.sum(dim=2, keepdim=True) + 1e-6)
        e_y = one_axis(theta_y, self.d, self.temperature)
        e_x = one_axis(theta_x, self.d, self.temperature)
        return torch.cat((e_y, e_x), dim=-1).movedim(-1, 1)

    def forward(self, features, padding_mask=None):
        if padding_mask is None:
            return self.plain(features)
        return self.masked(features, padding_mask)
