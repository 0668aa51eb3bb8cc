import math

import torch
from torch import nn


class MyPositionEmbedding(nn.Module):
    """PositionEmbeddingSine of the official DETR."""

    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        if emb_dim % 4 != 0:
            raise ValueError(f"emb_dim must be a multiple of 4, got {emb_dim}")
        self.num_pos_feats = emb_dim // 2
        self.temperature = temperature
        self.scale = 2 * math.pi

    def forward(self, features, padding_mask=None):
        x = features
        b, _, h, w = x.shape
        mask = padding_mask
        if mask is None:
            mask = torch.zeros((b, h, w), dtype=torch.bool, device=x.device)
        not_mask = ~mask
        y_embed = not_mask.cumsum(1, dtype=x.dtype)
        x_embed = not_mask.cumsum(2, dtype=x.dtype)
        eps = 1e-6
        y_embed = y_embed / (y_embed[:, -1:, :] + eps) * self.scale
        x_embed = x_embed / (x_embed[:, :, -1:] + eps) * self.scale

        dim_t = torch.arange(self.num_pos_feats, dtype=x.dtype, device=x.device)
        dim_t = self.temperature ** (2 * (dim_t // 2) / self.num_pos_feats)

        pos_x = x_embed[:, :, :, None] / dim_t
        pos_y = y_embed[:, :, :, None] / dim_t
        pos_x = torch.stack((pos_x[:, :, :, 0::2].sin(), pos_x[:, :, :, 1::2].cos()), dim=4).flatten(3)
        pos_y = torch.stack((pos_y[:, :, :, 0::2].sin(), pos_y[:, :, :, 1::2].cos()), dim=4).flatten(3)
        return torch.cat((pos_y, pos_x), dim=3).permute(0, 3, 1, 2)
