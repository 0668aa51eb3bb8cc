import math

import torch
from torch import nn

from detr_steps import Step4


class Attend(nn.Module):
    def __init__(self, dim, nhead, dropout):
        super().__init__()
        self.nhead = nhead
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.to_out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, q, k, v, mask=None):
        b, n, d = q.shape
        t, each = k.shape[1], d // self.nhead
        q = self.to_q(q).view(b, n, self.nhead, each).transpose(1, 2)
        k = self.to_k(k).view(b, t, self.nhead, each).transpose(1, 2)
        v = self.to_v(v).view(b, t, self.nhead, each).transpose(1, 2)
        scores = torch.einsum("bhnd,bhtd->bhnt", q, k) / math.sqrt(each)
        if mask is not None:
            scores = scores.masked_fill(mask[:, None, None, :], float("-inf"))
        weights = self.dropout(scores.softmax(dim=-1))
        out = torch.einsum("bhnt,bhtd->bhnd", weights, v)
        return self.to_out(out.transpose(1, 2).reshape(b, n, d))


class DecoderLayer(nn.Module):
    def __init__(self, dim, nhead, hidden, dropout):
        super().__init__()
        self.self_attention = Attend(dim, nhead, dropout)
        self.cross_attention = Attend(dim, nhead, dropout)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        self.norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(3)])
        self.drops = nn.ModuleList([nn.Dropout(dropout) for _ in range(4)])

    def forward(self, x, context, mask):
        place, memory = context["query_pos"], context["mem"]
        a = self.self_attention(x + place, x + place, x)
        x = self.norms[0](x + self.drops[0](a))
        a = self.cross_attention(x + place, memory + context["mem_pos"], memory, mask)
        x = self.norms[1](x + self.drops[1](a))
        a = self.fc2(self.drops[3](torch.relu(self.fc1(x))))
        return self.norms[2](x + self.drops[2](a))


class MyStep5(Step4):
    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        self.decoder_layers = nn.ModuleList()
        for _ in range(dec_layers):
            self.decoder_layers.append(DecoderLayer(*self.layer_args))
        self.decoder_norm = nn.LayerNorm(self.layer_args[0])

    def decode(self, context):
        x = super().decode(context)
        mask = None
        if "padding_mask" in context and context["padding_mask"] is not None:
            mask = context["padding_mask"].flatten(1)
        for layer in self.decoder_layers:
            x = layer(x, context, mask)
        return self.decoder_norm(x)
