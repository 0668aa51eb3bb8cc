import torch
from torch import nn
import torch.nn.functional as F
from detr_steps import Step3


class EncLayer(nn.Module):
    def __init__(self, dim, nhead, ff, dropout):
        super().__init__()
        self.h = nhead
        self.q_and_k = nn.Linear(dim, 2 * dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.first_norm = nn.LayerNorm(dim)
        self.w1 = nn.Linear(dim, ff)
        self.w2 = nn.Linear(ff, dim)
        self.second_norm = nn.LayerNorm(dim)
        self.drops = nn.ModuleList([nn.Dropout(dropout) for _ in range(4)])

    def forward(self, x, pos, pad):
        q, k = self.q_and_k(x + pos).chunk(2, dim=-1)
        v = self.v(x)
        found = []
        for qi, ki, vi in zip(q.chunk(self.h, -1), k.chunk(self.h, -1), v.chunk(self.h, -1)):
            s = qi @ ki.transpose(1, 2) * qi.shape[-1] ** -0.5
            if pad is not None:
                s = s.masked_fill(pad.unsqueeze(1), -torch.inf)
            found.append(self.drops[0](F.softmax(s, -1)) @ vi)
        a = self.o(torch.cat(found, -1))
        x = self.first_norm(x + self.drops[1](a))
        g = self.w2(self.drops[2](torch.relu(self.w1(x))))
        return self.second_norm(x + self.drops[3](g))


class MyStep4(Step3):
    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.enc = nn.ModuleList([EncLayer(self.emb_dim, nhead, dim_feedforward, dropout) for _ in range(enc_layers)])

    def encode(self, images, padding_mask=None):
        ctx = super().encode(images, padding_mask)
        mem, mem_pos = (ctx[n].flatten(2).mT for n in ("features", "pos_emb"))
        pad = ctx.get("padding_mask")
        pad = None if pad is None else pad.flatten(1)
        for layer in self.enc:
            mem = layer(mem, mem_pos, pad)
        ctx["mem"] = mem
        ctx["mem_pos"] = mem_pos
        return ctx
