import math

import torch
from torch import nn

from detr_steps import Step4


class AttentionHead(nn.Module):
    def __init__(self, D, d_k, dropout):
        super().__init__()
        self.value = nn.Linear(D, d_k)
        self.key = nn.Linear(D, d_k)
        self.query = nn.Linear(D, d_k)
        self.out = nn.Linear(d_k, D, bias=False)  # this head's rows of W_O
        self.dropout = nn.Dropout(dropout)
        self.d_k = d_k

    def forward(self, asking, compared, given, padding=None):
        q, k, v = self.query(asking), self.key(compared), self.value(given)
        scores = torch.matmul(q, k.transpose(1, 2)) / math.sqrt(self.d_k)
        if padding is not None:
            scores[padding.unsqueeze(1).expand_as(scores)] = -math.inf
        weights = torch.softmax(scores, dim=2)
        return self.out(torch.matmul(self.dropout(weights), v))


class ManyHeads(nn.Module):
    def __init__(self, D, number, dropout):
        super().__init__()
        self.heads = nn.ModuleList([AttentionHead(D, D // number, dropout) for _ in range(number)])
        self.bias = nn.Parameter(torch.zeros(D))

    def forward(self, asking, compared, given, padding=None):
        total = self.bias
        for head in self.heads:
            total = total + head(asking, compared, given, padding)
        return total


class DecoderLayer(nn.Module):
    def __init__(self, D, number_of_heads, width, dropout):
        super().__init__()
        self.among_queries = ManyHeads(D, number_of_heads, dropout)
        self.to_image = ManyHeads(D, number_of_heads, dropout)
        self.widen = nn.Linear(D, width)
        self.narrow = nn.Linear(width, D)
        self.norms = nn.ModuleList([nn.LayerNorm(D) for _ in range(3)])
        self.dropout = nn.Dropout(dropout)

    def feed_forward(self, x):
        x = self.widen(x)
        x = torch.relu(x)
        x = self.dropout(x)
        return self.narrow(x)

    def forward(self, H, P_q, M, P_m, padding):
        placed = H + P_q
        A = self.among_queries(placed, placed, H)
        H1 = self.norms[0](H + self.dropout(A))
        A = self.to_image(H1 + P_q, M + P_m, M, padding)
        H2 = self.norms[1](H1 + self.dropout(A))
        G = self.feed_forward(H2)
        H3 = self.norms[2](H2 + self.dropout(G))
        return H3


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        D, number_of_heads, width, dropout = self.layer_args
        self.final_norm = nn.LayerNorm(D)
        self.decoder_layers = nn.ModuleList()
        for i in range(dec_layers):
            self.decoder_layers.append(DecoderLayer(D, number_of_heads, width, dropout))

    def decode(self, context):
        H = super().decode(context)
        P_q = context["query_pos"].unsqueeze(0)
        M = context["mem"]
        P_m = context["mem_pos"]
        if "padding_mask" in context:
            padding = context["padding_mask"].flatten(start_dim=1)
        else:
            padding = None
        for layer in self.decoder_layers:
            H = layer(H, P_q, M, P_m, padding)
        return self.final_norm(H)
