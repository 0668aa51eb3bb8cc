import math

import torch
from torch import nn


class MyPositionEmbedding(nn.Module):
    """e^(i theta) has the cosine as its real and the sine as its imaginary part."""

    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        if emb_dim % 4 != 0:
            raise ValueError("need emb_dim divisible by four, got %d" % emb_dim)
        self.pairs = emb_dim // 4
        self.temperature = temperature

    def rotate(self, theta):
        speed = torch.logspace(
            0, -1, self.pairs + 1, base=float(self.temperature), dtype=theta.dtype, device=theta.device
        )[:-1]
        z = torch.polar(torch.ones_like(theta)[..., None], torch.einsum("bhw,k->bhwk", theta, speed))
        return torch.view_as_real(z).flip(-1).flatten(-2)  # (sin, cos), (sin, cos), ...

    def forward(self, features, padding_mask=None):
        if padding_mask is None:
            padding_mask = features.new_zeros(features[:, 0].shape, dtype=torch.bool)
        seen = (padding_mask == 0).type_as(features)
        y, x = seen.cumsum(1), seen.cumsum(2)
        y = math.tau * y / (y[:, -1:] + 1e-6)
        x = math.tau * x / (x[..., -1:] + 1e-6)
        both = torch.cat([self.rotate(y), self.rotate(x)], dim=-1)
        return torch.einsum("bhwd->bdhw", both)
