import numpy as np
import torch
from torch import nn

# I come from TensorFlow: channels last inside, cosine as a sine with a phase


class MyPositionEmbedding(nn.Module):
    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        self.units = emb_dim
        self.temperature = temperature

    def get_angle_rates(self, units, device):
        i = torch.arange(units, device=device)
        even = (i - i % 2).double()
        return 1.0 / torch.pow(torch.tensor(float(self.temperature), dtype=torch.float64), even / units)

    def get_phases(self, units, device):
        return torch.arange(units, device=device).remainder(2).double() * (np.pi / 2)

    def encode_axis(self, ones, axis):
        positions = torch.cumsum(ones, dim=axis)
        total = torch.sum(ones, dim=axis, keepdim=True)
        normalized = positions / (total + 1e-6) * (2.0 * np.pi)
        units = self.units // 2
        angle_rads = normalized.unsqueeze(-1) * self.get_angle_rates(units, ones.device)
        return torch.sin(angle_rads + self.get_phases(units, ones.device))  # NHWC

    def call(self, inputs, mask=None):
        batch, _, height, width = inputs.shape
        ones = torch.ones((batch, height, width), dtype=torch.float64, device=inputs.device)
        if mask is not None:
            ones = torch.where(mask, torch.zeros_like(ones), ones)
        pos = torch.concat([self.encode_axis(ones, 1), self.encode_axis(ones, 2)], dim=-1)
        return pos.permute(0, 3, 1, 2).to(inputs.dtype)  # NHWC -> NCHW

    def forward(self, features, padding_mask=None):
        return self.call(features, padding_mask)
