# slip: positions in the values, too
import math
import torch
from torch import nn
import torch.nn.functional as F
from detr_steps import Step3


class Attention(nn.Module):
    def __init__(self, d, heads, p):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(d, d)
        self.to_k = nn.Linear(d, d)
        self.to_v = nn.Linear(d, d)
        self.to_out = nn.Linear(d, d)
        self.drop = nn.Dropout(p)

    def forward(self, x, pos, padding):
        B, T, D = x.shape
        n = D // self.heads
        q = self.to_q(x + pos).view(B, T, self.heads, n)
        k = self.to_k(x + pos).view(B, T, self.heads, n)
        v = self.to_v(x + pos).view(B, T, self.heads, n)
        scores = torch.einsum("bqhn,bkhn->bhqk", q, k) / math.sqrt(n)
        if padding is not None:
            scores = scores.masked_fill(padding[:, None, None, :], float("-inf"))
        weights = self.drop(scores.softmax(dim=-1))
        return self.to_out(torch.einsum("bhqk,bkhn->bqhn", weights, v).reshape(B, T, D))


class Layer(nn.Module):
    def __init__(self, d, heads, inner, p):
        super().__init__()
        self.attention = Attention(d, heads, p)
        self.up = nn.Linear(d, inner)
        self.down = nn.Linear(inner, d)
        self.norm_a = nn.LayerNorm(d)
        self.norm_b = nn.LayerNorm(d)
        self.p = p

    def forward(self, x, pos, padding=None):
        def drop(t):
            return F.dropout(t, self.p, self.training)

        x = self.norm_a(x + drop(self.attention(x, pos, padding)))
        return self.norm_b(x + drop(self.down(drop(F.relu(self.up(x))))))


class MyStep4(Step3):
    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.layers = nn.ModuleList()
        for _ in range(enc_layers):
            self.layers.append(Layer(self.emb_dim, nhead, dim_feedforward, dropout))

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        tokens = torch.einsum("bdhw->bhwd", context["features"]).flatten(1, 2)
        pos = torch.einsum("bdhw->bhwd", context["pos_emb"]).flatten(1, 2)
        padding = context.get("padding_mask")
        if padding is not None:
            padding = padding.flatten(1)
        for layer in self.layers:
            tokens = layer(tokens, pos, padding)
        return {**context, "mem": tokens, "mem_pos": pos}
