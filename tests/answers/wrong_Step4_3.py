# slip: no dropout in the attention weights
import torch
from torch import nn
import torch.nn.functional as F
from detr_steps import Step3


class Block(nn.Module):
    def __init__(self, d, heads, inner, p):
        super().__init__()
        self.attn = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ff = nn.Sequential(nn.Linear(d, inner), nn.ReLU(), nn.Dropout(p), nn.Linear(inner, d), nn.Dropout(p))
        self.ln1 = nn.LayerNorm(d)
        self.ln2 = nn.LayerNorm(d)
        self.drop = nn.Dropout(p)

    def forward(self, x, pos, padding):
        qk = x + pos
        a, _ = self.attn(qk, qk, x, key_padding_mask=padding, need_weights=False)
        x = self.ln1(x + self.drop(a))
        return self.ln2(x + self.ff(x))


class MyStep4(Step3):
    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.blocks = nn.ModuleList(
            Block(self.emb_dim, nhead, dim_feedforward, dropout) for _ in range(enc_layers)
        )

    def encode(self, images, padding_mask=None):
        c = super().encode(images, padding_mask)
        x = c["features"].flatten(2).permute(0, 2, 1)
        pos = c["pos_emb"].flatten(2).permute(0, 2, 1)
        padding = c["padding_mask"].flatten(1) if "padding_mask" in c else None
        for block in self.blocks:
            x = block(x, pos, padding)
        c["mem"], c["mem_pos"] = x, pos
        return c
