import math
import torch
from torch import nn


class MyPositionEmbedding(nn.Module):
    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        self.emb_dim = emb_dim
        k = torch.arange(emb_dim // 4, dtype=torch.float32)
        self.register_buffer("freq", float(temperature) ** (-4 * k / emb_dim), persistent=False)

    def forward(self, features, padding_mask=None):
        B, _, H, W = features.shape
        if padding_mask is None:
            count = features.new_ones(B, H, W)
        else:
            count = 1 - padding_mask.to(features.dtype)
        result = features.new_zeros(B, self.emb_dim, H, W)
        half = self.emb_dim // 2
        for start, axis in ((0, 1), (half, 2)):
            t = torch.cumsum(count, dim=axis)
            theta = 2 * math.pi * t / (t.amax(dim=axis, keepdim=True) + 1e-6)
            waves = torch.einsum("bhw,k->bkhw", theta, self.freq)
            result[:, start : start + half : 2] = torch.sin(waves)
            result[:, start + 1 : start + half : 2] = torch.cos(waves)
        return result
