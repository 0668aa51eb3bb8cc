import math

import torch
from torch import nn

from detr_steps import Step3


class Attention(nn.Module):
    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.mix = nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def split(self, x):
        B, T, D = x.shape
        return x.view(B, T, self.heads, D // self.heads).permute(0, 2, 1, 3)

    def forward(self, q, k, v, padding):
        B, T, D = q.shape
        q, k, v = self.split(self.to_q(q)), self.split(self.to_k(k)), self.split(self.to_v(v))
        scores = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
        if padding is not None:
            scores = scores.masked_fill(padding[:, None, None, :], float("-inf"))
        weights = self.drop(torch.softmax(scores, dim=-1))
        out = torch.matmul(weights, v).permute(0, 2, 1, 3).reshape(B, T, D)
        return self.mix(out)


class Layer(nn.Module):
    def __init__(self, dim, heads, hidden, dropout):
        super().__init__()
        self.att = Attention(dim, heads, dropout)
        self.norm_a = nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, hidden)
        self.narrow = nn.Linear(hidden, dim)
        self.norm_b = nn.LayerNorm(dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x, pos, padding):
        where = x + pos
        x = self.norm_a(x + self.drop(self.att(where, where, x, padding)))
        inner = self.drop(torch.relu(self.wide(x)))
        return self.norm_b(x + self.drop(self.narrow(inner)))


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.stack = nn.ModuleList(
            [Layer(self.emb_dim, nhead, dim_feedforward, dropout) for _ in range(enc_layers)]
        )

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        tokens = context["features"].flatten(2).transpose(1, 2)
        pos = context["pos_emb"].flatten(2).transpose(1, 2)
        padding = context.get("padding_mask")
        if padding is not None:
            padding = padding.flatten(1)
        for layer in self.stack:
            tokens = layer(tokens, pos, padding)
        context["mem"] = tokens
        context["mem_pos"] = pos
        return context
