import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from detr_steps import Step4


class ByHand(nn.Module):
    """Attention with loops over images and heads. All four matrices stand in one array."""

    def __init__(self, D, heads, p):
        super().__init__()
        self.W = nn.Parameter(torch.randn(4, D, D) / np.sqrt(D))  # W_Q, W_K, W_V, W_O
        self.b = nn.Parameter(torch.zeros(4, D))
        self.heads, self.p = heads, p

    def one_image(self, q, k, v):
        Q, K, V = (x @ W + b for x, W, b in zip((q, k, v), self.W, self.b))
        out = []
        for Qi, Ki, Vi in zip(*(np_split(x, self.heads) for x in (Q, K, V))):
            S = Qi @ Ki.T / np.sqrt(Qi.shape[1])
            E = torch.exp(S - S.max(dim=1, keepdim=True).values)
            weights = E / E.sum(dim=1, keepdim=True)
            out.append(F.dropout(weights, self.p, self.training) @ Vi)
        return torch.cat(out, dim=1) @ self.W[3] + self.b[3]

    def forward(self, q, k, v, padding=None):
        results = []
        for i in range(len(q)):
            keys, values = k[i], v[i]
            if padding is not None:  # padded tokens are simply left out
                keys, values = keys[~padding[i]], values[~padding[i]]
            results.append(self.one_image(q[i], keys, values))
        return torch.stack(results)


def np_split(x, n):
    return torch.tensor_split(x, n, dim=1)


class Layer(nn.Module):
    def __init__(self, D, heads, width, p):
        super().__init__()
        self.cross = ByHand(D, heads, p)
        self.own = ByHand(D, heads, p)
        self.W1 = nn.Parameter(torch.randn(D, width) / np.sqrt(D))
        self.b1 = nn.Parameter(torch.zeros(width))
        self.W2 = nn.Parameter(torch.randn(width, D) / np.sqrt(width))
        self.b2 = nn.Parameter(torch.zeros(D))
        self.gain = nn.Parameter(torch.ones(3, D))
        self.shift = nn.Parameter(torch.zeros(3, D))
        self.p = p

    def norm(self, x, i):
        centred = x - x.mean(-1, keepdim=True)
        return self.gain[i] * centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5) ** 0.5 + self.shift[i]

    def drop(self, x):
        return F.dropout(x, self.p, self.training)

    def forward(self, H, Pq, M, Pm, padding):
        H = self.norm(H + self.drop(self.own(H + Pq, H + Pq, H)), 0)
        H = self.norm(H + self.drop(self.cross(H + Pq, M + Pm, M, padding)), 1)
        inner = (H @ self.W1 + self.b1).maximum(torch.zeros(()))
        return self.norm(H + self.drop(self.drop(inner) @ self.W2 + self.b2), 2)


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        D = self.emb_dim
        self.end_gain = nn.Parameter(torch.ones(D))
        self.end_shift = nn.Parameter(torch.zeros(D))
        self.number = dec_layers
        for i in range(dec_layers):
            self.add_module("dec%d" % i, Layer(*self.layer_args))

    def decode(self, context):
        H = super().decode(context)
        Pq, M, Pm = context["query_pos"], context["mem"], context["mem_pos"]
        padding = None
        if "padding_mask" in context:
            padding = context["padding_mask"].reshape(len(M), -1)
        for i in range(self.number):
            H = getattr(self, "dec%d" % i)(H, Pq, M, Pm, padding)
        return F.layer_norm(H, H.shape[-1:], self.end_gain, self.end_shift, 1e-5)
