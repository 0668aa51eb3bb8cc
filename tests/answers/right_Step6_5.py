import math

import torch
from torch import nn

from detr_steps import Step4, Step5


class Attention(nn.Module):
    """Everything by hand, with four projections of their own."""

    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.to_out = nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def split(self, x):
        b, t, d = x.shape
        return x.view(b, t, self.heads, d // self.heads).permute(0, 2, 1, 3)

    def forward(self, q, k, v, padding=None):
        q, k, v = self.split(self.to_q(q)), self.split(self.to_k(k)), self.split(self.to_v(v))
        scores = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(q.size(-1))
        if padding is not None:
            scores = scores.masked_fill(padding[:, None, None, :], float("-inf"))
        weights = self.drop(scores.softmax(dim=-1))
        mixed = torch.matmul(weights, v).permute(0, 2, 1, 3)
        return self.to_out(mixed.reshape(mixed.size(0), mixed.size(1), -1))


class Layer(nn.Module):
    def __init__(self, dim, heads, width, dropout):
        super().__init__()
        self.among_queries = Attention(dim, heads, dropout)
        self.to_image = Attention(dim, heads, dropout)
        self.wide = nn.Linear(dim, width)
        self.narrow = nn.Linear(width, dim)
        self.n1 = nn.LayerNorm(dim)
        self.n2 = nn.LayerNorm(dim)
        self.n3 = nn.LayerNorm(dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, h, pos, mem, mem_pos, padding):
        asking = h + pos
        h = self.n1(h + self.drop(self.among_queries(asking, asking, h)))
        h = self.n2(h + self.drop(self.to_image(h + pos, mem + mem_pos, mem, padding)))
        inner = self.drop(torch.relu(self.wide(h)))
        return self.n3(h + self.drop(self.narrow(inner)))


class MyDecoder(nn.Module):
    def __init__(self, layers, dim, heads, width, dropout):
        super().__init__()
        self.last_norm = nn.LayerNorm(dim)
        self.stack = nn.ModuleList()
        for _ in range(layers):
            self.stack.append(Layer(dim, heads, width, dropout))

    def forward(self, h, pos, mem, mem_pos, padding=None):
        collected = []
        for layer in self.stack:
            h = layer(h, pos, mem, mem_pos, padding)
            collected.append(self.last_norm(h))
        return torch.stack(collected, dim=0)


class MyStep6(Step5):
    decoder_class = MyDecoder

    def decode(self, context):
        padding = context.get("padding_mask")
        if padding is not None:
            padding = padding.flatten(1)
        first = Step4.decode(self, context)
        return self.decoder(first, context["query_pos"], context["mem"], context["mem_pos"], padding)

    def predict(self, hidden):
        number_of_layers = hidden.shape[0]
        result = super().predict(hidden[number_of_layers - 1])
        result["aux_outputs"] = []
        for number in range(number_of_layers - 1):
            aux = super().predict(hidden[number])
            result["aux_outputs"].append(aux)
        return result
