import torch
from torch import nn

from detr_steps import Step5


class Head(nn.Module):
    """One head; keys and values come from one matrix each, cut out of a common parameter."""

    def __init__(self, D, d):
        super().__init__()
        self.query = nn.Linear(D, d)
        self.key_value = nn.Linear(D, 2 * d)

    def forward(self, q, k, v, padding, drop):
        d = self.query.out_features
        W_k, W_v = self.key_value.weight[:d], self.key_value.weight[d:]
        b_k, b_v = self.key_value.bias[:d], self.key_value.bias[d:]
        Q, K, V = self.query(q), k @ W_k.T + b_k, v @ W_v.T + b_v
        similarity = torch.einsum("bnd,btd->bnt", Q, K) * d**-0.5
        if padding is not None:
            similarity = similarity.masked_fill(padding.unsqueeze(1), -torch.inf)
        return torch.einsum("bnt,btd->bnd", drop(similarity.softmax(-1)), V)


class Heads(nn.ModuleList):
    def __init__(self, D, h, dropout):
        super().__init__([Head(D, D // h) for _ in range(h)])
        self.mix = nn.ModuleDict({"out": nn.Linear(D, D), "drop": nn.Dropout(dropout)})
        self.h = h

    def forward(self, q, k, v, padding=None):
        results = [self[i](q, k, v, padding, self.mix["drop"]) for i in range(self.h)]
        return self.mix["out"](torch.cat(results, -1))


class Block(nn.Module):
    def __init__(self, D, h, width, dropout):
        super().__init__()
        self.ffn = nn.Sequential(
            nn.Linear(D, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, D)
        )
        self.cross = Heads(D, h, dropout)
        self.self_attention = Heads(D, h, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(3))
        self.dropouts = nn.ModuleList(nn.Dropout(dropout) for _ in range(3))

    def forward(self, x, where, memory, memory_where, padding):
        steps = (
            lambda x: self.self_attention(x + where, x + where, x),
            lambda x: self.cross(x + where, memory + memory_where, memory, padding),
            self.ffn,
        )
        for step, norm, dropout in zip(steps, self.norms, self.dropouts):
            x = norm(x + dropout(step(x)))
        return x


class MyDecoder(nn.Module):
    def __init__(self, count, D, nhead=8, dim_feedforward=2048, dropout=0.1):
        super().__init__()
        self.blocks = nn.ModuleList(Block(D, nhead, dim_feedforward, dropout) for _ in range(count))
        self.final = nn.LayerNorm(D)

    def forward(self, x, where, memory, memory_where, padding=None):
        def states(x):
            for block in self.blocks:
                x = block(x, where, memory, memory_where, padding)
                yield x

        return self.final(torch.stack(list(states(x))))


class MyStep6(Step5):
    decoder_class = MyDecoder

    def predict(self, hidden):
        layers = list(map(super().predict, hidden.unbind()))
        return layers[-1] | {"aux_outputs": layers[:-1]}
