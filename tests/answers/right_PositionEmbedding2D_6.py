import numpy as np
import torch
from torch import nn


def angles(count, axis):
    last = np.take(count, [-1], axis=axis)
    return 2 * np.pi * count / (last + 1e-6)


def sin_cos(theta, d, temperature):
    """[B, H, W] -> [B, H, W, d]"""
    period = np.power(float(temperature), 2 * np.arange(d // 2) / d)
    phase = theta[..., np.newaxis] / period
    out = np.empty(theta.shape + (d,))
    out[..., 0::2] = np.sin(phase)
    out[..., 1::2] = np.cos(phase)
    return out


class MyPositionEmbedding(nn.Module):
    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        if emb_dim % 4 != 0:
            raise ValueError("emb_dim % 4 != 0")
        self.emb_dim = emb_dim
        self.temperature = temperature

    def forward(self, features, padding_mask=None):
        first = features[:, 0].detach().cpu().numpy()
        if padding_mask is None:
            real = np.ones_like(first, dtype=np.int64)
        else:
            real = np.logical_not(padding_mask.cpu().numpy()).astype(np.int64)
        d = self.emb_dim // 2
        y = sin_cos(angles(np.cumsum(real, axis=1), 1), d, self.temperature)
        x = sin_cos(angles(np.cumsum(real, axis=2), 2), d, self.temperature)
        pos = np.concatenate([y, x], axis=-1)
        return torch.from_numpy(np.moveaxis(pos, -1, 1).copy()).to(features)
