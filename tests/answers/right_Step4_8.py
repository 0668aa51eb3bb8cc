import math

import torch
from torch import nn

from detr_steps import Step3


class Head(nn.Module):
    """One head: its own small projections, D -> d_k."""

    def __init__(self, D, d_k, dropout):
        super().__init__()
        self.d_k = d_k
        self.to_qk = nn.Linear(D, 2 * d_k)  # both come from tokens + positions
        self.to_v = nn.Linear(D, d_k)
        self.drop = nn.Dropout(dropout)

    def forward(self, placed, content, padding):
        q, k = self.to_qk(placed).split(self.d_k, dim=-1)
        similarity = q @ k.transpose(-2, -1) / math.sqrt(self.d_k)  # [B, T, T]
        if padding is not None:
            similarity = similarity.masked_fill(padding.unsqueeze(1), -torch.inf)
        return self.drop(similarity.softmax(dim=-1)) @ self.to_v(content)


class SelfAttention(nn.Module):
    def __init__(self, D, h, dropout):
        super().__init__()
        self.heads = nn.ModuleList()
        for _ in range(h):
            self.heads.append(Head(D, D // h, dropout))
        self.mix = nn.Linear(D, D)

    def forward(self, tokens, positions, padding):
        placed = tokens + positions
        results = [head(placed, tokens, padding) for head in self.heads]
        return self.mix(torch.cat(results, dim=-1))


class FeedForward(nn.Module):
    def __init__(self, D, inner, dropout):
        super().__init__()
        self.up, self.down = nn.Linear(D, inner), nn.Linear(inner, D)
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        return self.down(self.drop(torch.relu(self.up(x))))


class AddAndNorm(nn.Module):
    def __init__(self, D, dropout):
        super().__init__()
        self.drop, self.norm = nn.Dropout(dropout), nn.LayerNorm(D)

    def forward(self, old, new):
        return self.norm(old + self.drop(new))


class Layer(nn.Module):
    def __init__(self, D, h, inner, dropout):
        super().__init__()
        self.feed_forward = FeedForward(D, inner, dropout)
        self.after_feed_forward = AddAndNorm(D, dropout)
        self.attention = SelfAttention(D, h, dropout)
        self.after_attention = AddAndNorm(D, dropout)

    def forward(self, tokens, positions, padding):
        tokens = self.after_attention(tokens, self.attention(tokens, positions, padding))
        return self.after_feed_forward(tokens, self.feed_forward(tokens))


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.stack = nn.ModuleList()
        for _ in range(enc_layers):
            self.stack.append(Layer(self.emb_dim, nhead, dim_feedforward, dropout))

    @staticmethod
    def unroll(image_map):
        B, D, rows, columns = image_map.shape
        return image_map.reshape(B, D, rows * columns).transpose(1, 2)

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        mem = self.unroll(context["features"])
        mem_pos = self.unroll(context["pos_emb"])
        padding = None
        if padding_mask is not None:
            padding = context["padding_mask"].reshape(mem.shape[:2])
        for layer in self.stack:
            mem = layer(mem, mem_pos, padding)
        return context | {"mem": mem, "mem_pos": mem_pos}
