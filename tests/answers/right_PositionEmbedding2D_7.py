from math import tau

import torch
from torch import nn


class MyPositionEmbedding(nn.Module):
    """Frequencies in a buffer, waves written into an empty map."""

    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        if emb_dim < 4 or emb_dim % 4 != 0:
            raise ValueError(f"emb_dim={emb_dim}: sine and cosine of y and x need a multiple of 4")
        quarter = emb_dim // 4
        exponent = torch.arange(quarter, dtype=torch.float64) / quarter
        self.register_buffer("frequency", (temperature**-exponent).float())
        self.emb_dim = emb_dim

    def forward(self, features, padding_mask=None):
        b, _, h, w = features.shape
        if padding_mask is None:
            padding_mask = torch.zeros(b, h, w, dtype=torch.bool, device=features.device)
        visible = padding_mask.logical_not()
        rows = visible.cumsum(dim=-2).to(features.dtype)
        cols = visible.cumsum(dim=-1).to(features.dtype)
        theta_y = rows / (rows[:, -1, None, :] + 1e-6) * tau
        theta_x = cols / (cols[:, :, -1, None] + 1e-6) * tau
        f = self.frequency.to(features.dtype)[None, :, None, None]
        half = self.emb_dim // 2
        out = torch.empty(b, self.emb_dim, h, w, dtype=features.dtype, device=features.device)
        out[:, 0:half:2] = torch.sin(theta_y[:, None] * f)
        out[:, 1:half:2] = torch.cos(theta_y[:, None] * f)
        out[:, half::2] = torch.sin(theta_x[:, None] * f)
        out[:, half + 1 :: 2] = torch.cos(theta_x[:, None] * f)
        return out
