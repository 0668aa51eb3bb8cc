import numpy as np
import torch
from torch import nn


def nearest_index(small, large):
    step = np.float32(small) / np.float32(large)
    index = np.floor(np.arange(large, dtype=np.float32) * step).astype(np.int64)
    return torch.from_numpy(np.minimum(index, small - 1))


def conv(x, weight, bias):
    """x [B, C, H, W], weight [k, k, C, D]: a sum over the k * k shifted copies of the map."""
    k = weight.shape[0]
    pad = k // 2
    b, c, h, w = x.shape
    padded = x.new_zeros(b, c, h + 2 * pad, w + 2 * pad)
    padded[:, :, pad : pad + h, pad : pad + w] = x
    total = 0
    for dy in range(k):
        for dx in range(k):
            window = padded[:, :, dy : dy + h, dx : dx + w]
            total = total + torch.einsum("bchw,cd->bdhw", window, weight[dy, dx])
    return total + bias[:, None, None]


def kernel(k, c_in, c_out):
    bound = 1 / np.sqrt(k * k * c_in)
    return nn.Parameter(torch.empty(k, k, c_in, c_out).uniform_(-bound, bound))


class MyFPN(nn.Module):
    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        self.names = [str(level) for level in in_channels]
        self.weights = nn.ParameterDict()
        for level, channels in in_channels.items():
            self.weights[f"lateral_{level}_w"] = kernel(1, channels, emb_dim)
            self.weights[f"lateral_{level}_b"] = nn.Parameter(torch.zeros(emb_dim))
            self.weights[f"output_{level}_w"] = kernel(3, emb_dim, emb_dim)
            self.weights[f"output_{level}_b"] = nn.Parameter(torch.zeros(emb_dim))

    def forward(self, features):
        p = self.weights
        m = {}
        for name, c in zip(self.names, features):
            m[name] = conv(c, p[f"lateral_{name}_w"], p[f"lateral_{name}_b"])
        for fine, coarse in list(zip(self.names[:-1], self.names[1:]))[::-1]:
            rows = nearest_index(m[coarse].shape[2], m[fine].shape[2]).to(c.device)
            cols = nearest_index(m[coarse].shape[3], m[fine].shape[3]).to(c.device)
            m[fine] = m[fine] + m[coarse][:, :, rows[:, None], cols[None, :]]
        return [conv(m[name], p[f"output_{name}_w"], p[f"output_{name}_b"]) for name in self.names]
