import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from detr_steps import Step3


def softmax(x):
    e = torch.exp(x - x.amax(-1, keepdim=True))
    return e / e.sum(-1, keepdim=True)


class EncoderLayer(nn.Module):
    """Written out for one image at a time and one head at a time."""

    def __init__(self, D, n_heads, n_inner, drop_prob):
        super().__init__()
        self.D, self.n_heads, self.drop_prob = D, n_heads, drop_prob
        rng = lambda *shape: nn.Parameter(torch.randn(*shape) / np.sqrt(shape[0]))
        zeros = lambda n: nn.Parameter(torch.zeros(n))
        # X @ W + b, as on the page
        self.W_Q, self.b_Q = rng(D, D), zeros(D)
        self.W_K, self.b_K = rng(D, D), zeros(D)
        self.W_V, self.b_V = rng(D, D), zeros(D)
        self.W_O, self.b_O = rng(D, D), zeros(D)
        self.W_1, self.b_1 = rng(D, n_inner), zeros(n_inner)
        self.W_2, self.b_2 = rng(n_inner, D), zeros(D)
        self.scale_1, self.shift_1 = nn.Parameter(torch.ones(D)), zeros(D)
        self.scale_2, self.shift_2 = nn.Parameter(torch.ones(D)), zeros(D)

    def drop(self, x):
        return F.dropout(x, self.drop_prob, training=self.training)

    def attention(self, X, P, real):
        """X, P: [T, D]; real: indices of the tokens that are not padding."""
        Q = (X + P) @ self.W_Q + self.b_Q
        K = ((X + P) @ self.W_K + self.b_K)[real]
        V = (X @ self.W_V + self.b_V)[real]
        d_k = self.D // self.n_heads
        columns = []
        for head in range(self.n_heads):
            s = slice(head * d_k, (head + 1) * d_k)
            weights = softmax(Q[:, s] @ K[:, s].T / np.sqrt(d_k))  # [T, number of real ones]
            columns.append(self.drop(weights) @ V[:, s])
        return torch.hstack(columns) @ self.W_O + self.b_O

    def forward(self, tokens, positions, padding):
        images = []
        for i in range(len(tokens)):
            X, P = tokens[i], positions[i]
            real = torch.arange(len(X)) if padding is None else torch.where(~padding[i])[0]
            A = self.attention(X, P, real)
            X = F.layer_norm(X + self.drop(A), (self.D,), self.scale_1, self.shift_1)
            inner = self.drop(torch.clip(X @ self.W_1 + self.b_1, min=0))
            G = inner @ self.W_2 + self.b_2
            images.append(F.layer_norm(X + self.drop(G), (self.D,), self.scale_2, self.shift_2))
        return torch.stack(images)


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        for i in range(enc_layers):
            layer = EncoderLayer(self.emb_dim, nhead, dim_feedforward, dropout)
            setattr(self, f"layer_{i}", layer)
        self.num_enc_layers = enc_layers

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        features, pos_emb = context["features"], context["pos_emb"]
        B, D, rows, columns = features.shape
        mem = features.moveaxis(1, -1).reshape(B, rows * columns, D)
        mem_pos = pos_emb.moveaxis(1, -1).reshape(B, rows * columns, D)
        padding = None
        if padding_mask is not None:
            padding = context["padding_mask"].reshape(B, rows * columns)
        for i in range(self.num_enc_layers):
            mem = getattr(self, f"layer_{i}")(mem, mem_pos, padding)
        context["mem_pos"] = mem_pos
        context["mem"] = mem
        return context
