# after facebookresearch/detr, models/position_encoding.py
import math

import torch
from torch import nn


class MyPositionEmbedding(nn.Module):
    """Map [B, C, H', W'], mask [B, H', W'] (True on padding) -> [B, emb_dim, H', W']."""

    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        assert emb_dim % 4 == 0, "emb_dim must be divisible by 4"
        self.num_pos_feats = emb_dim // 2
        self.temperature = temperature
        self.scale = 2 * math.pi

    def forward(self, features, padding_mask=None):
        x = features
        mask = padding_mask
        if mask is None:
            mask = torch.zeros((x.size(0), x.size(2), x.size(3)), device=x.device, dtype=torch.bool)
        not_mask = ~mask
        y_embed = not_mask.cumsum(1, dtype=torch.float32)
        x_embed = not_mask.cumsum(2, dtype=torch.float32)
        eps = 1e-6
        y_embed = y_embed / (y_embed[:, -1:, :] + eps) * self.scale
        x_embed = x_embed / (x_embed[:, :, -1:] + eps) * self.scale

        dim_t = torch.arange(self.num_pos_feats, dtype=torch.float32, device=x.device)
        dim_t = self.temperature ** (2 * torch.div(dim_t, 2, rounding_mode="floor") / self.num_pos_feats)

        pos_x = x_embed[:, :, :, None] / dim_t
        pos_y = y_embed[:, :, :, None] / dim_t
        pos_x = torch.stack((pos_x[:, :, :, 0::2].sin(), pos_x[:, :, :, 1::2].cos()), dim=4).flatten(3)
        pos_y = torch.stack((pos_y[:, :, :, 0::2].sin(), pos_y[:, :, :, 1::2].cos()), dim=4).flatten(3)
        pos = torch.cat((pos_y, pos_x), dim=3).permute(0, 3, 1, 2)
        return pos
