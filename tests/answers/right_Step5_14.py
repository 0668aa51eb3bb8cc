import math

import torch
import torch.nn as nn

from detr_steps import Step4


class MultiHeadedAttention(nn.Module):
    def __init__(self, h, d_model, dropout):
        super().__init__()
        assert d_model % h == 0
        self.d_k = d_model // h
        self.h = h
        self.linears = nn.ModuleList([nn.Linear(d_model, d_model) for _ in range(4)])
        self.dropout = nn.Dropout(p=dropout)

    def forward(self, query, key, value, mask=None):
        nbatches = query.size(0)
        query, key, value = [
            lin(x).view(nbatches, -1, self.h, self.d_k).transpose(1, 2)
            for lin, x in zip(self.linears, (query, key, value))
        ]
        scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(self.d_k)
        if mask is not None:
            scores = scores.masked_fill(mask[:, None, None], -1e9)
        p_attn = self.dropout(scores.softmax(dim=-1))
        x = torch.matmul(p_attn, value)
        x = x.transpose(1, 2).contiguous().view(nbatches, -1, self.h * self.d_k)
        return self.linears[-1](x)


class SublayerConnection(nn.Module):
    """norm(x + dropout(sublayer(x)))"""

    def __init__(self, size, dropout):
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, sublayer):
        return self.norm(x + self.dropout(sublayer(x)))


class DecoderLayer(nn.Module):
    def __init__(self, d_model, h, d_ff, dropout):
        super().__init__()
        self.self_attn = MultiHeadedAttention(h, d_model, dropout)
        self.src_attn = MultiHeadedAttention(h, d_model, dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(d_model, d_ff), nn.ReLU(), nn.Dropout(dropout), nn.Linear(d_ff, d_model)
        )
        self.sublayer = nn.ModuleList([SublayerConnection(d_model, dropout) for _ in range(3)])

    def forward(self, x, pos, memory, memory_pos, src_mask):
        where = memory + memory_pos
        x = self.sublayer[0](x, lambda x: self.self_attn(x + pos, x + pos, x))
        x = self.sublayer[1](x, lambda x: self.src_attn(x + pos, where, memory, src_mask))
        return self.sublayer[2](x, self.feed_forward)


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        self.dec = nn.ModuleList([DecoderLayer(*self.layer_args) for _ in range(dec_layers)])
        self.dec_norm = nn.LayerNorm(self.emb_dim)

    def decode(self, context):
        x = super().decode(context)
        pos, memory, memory_pos = (context[k] for k in ("query_pos", "mem", "mem_pos"))
        src_mask = None
        if "padding_mask" in context:
            src_mask = context["padding_mask"].flatten(1)
        for layer in self.dec:
            x = layer(x, pos, memory, memory_pos, src_mask)
        return self.dec_norm(x)
