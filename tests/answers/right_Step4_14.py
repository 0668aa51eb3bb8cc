import torch
from torch import nn

from detr_steps import Step3


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map [B, D, H, W]."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MapAttention(nn.Module):
    """Non-local block: every cell of the map attends to every other cell."""

    def __init__(self, channels, heads, dropout):
        super().__init__()
        self.heads = heads
        self.theta = nn.Conv2d(channels, channels, 1)  # queries
        self.phi = nn.Conv2d(channels, channels, 1)  # keys
        self.g = nn.Conv2d(channels, channels, 1)  # values
        self.out = nn.Conv2d(channels, channels, 1)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, pos, padding):
        n, c, h, w = x.shape
        shape = (n, self.heads, c // self.heads, h * w)
        theta = self.theta(x + pos).reshape(shape)
        phi = self.phi(x + pos).reshape(shape)
        g = self.g(x).reshape(shape)
        affinity = theta.transpose(2, 3) @ phi * shape[2] ** -0.5  # [n, heads, hw, hw]
        if padding is not None:
            affinity = torch.where(padding.reshape(n, 1, 1, h * w), -torch.inf, affinity)
        affinity = self.drop(torch.softmax(affinity, dim=3))
        y = g @ affinity.transpose(2, 3)  # [n, heads, c / heads, hw]
        return self.out(y.reshape(n, c, h, w))


class Block(nn.Module):
    def __init__(self, channels, heads, inner, dropout):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, kernel_size=1)
        self.conv2 = nn.Conv2d(inner, channels, kernel_size=1)
        self.nonlocal_ = MapAttention(channels, heads, dropout)
        self.n1, self.n2 = ChannelNorm(channels), ChannelNorm(channels)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, pos, padding):
        x = self.n1(x + self.drop(self.nonlocal_(x, pos, padding)))
        inner = self.drop(torch.relu(self.conv1(x)))
        return self.n2(x + self.drop(self.conv2(inner)))


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        blocks = [Block(self.emb_dim, nhead, dim_feedforward, dropout) for _ in range(enc_layers)]
        self.trunk = nn.ModuleList(blocks)

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        x, pos = context["features"], context["pos_emb"]
        padding = context["padding_mask"] if padding_mask is not None else None
        for block in self.trunk:
            x = block(x, pos, padding)
        # it stays a map to the end and is unrolled only here
        context["mem"] = x.flatten(2).transpose(1, 2)
        context["mem_pos"] = pos.flatten(2).transpose(1, 2)
        return context
