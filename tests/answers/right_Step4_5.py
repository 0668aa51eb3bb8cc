import torch
from torch import nn

from detr_steps import Step3


class EncoderBlock(nn.Module):
    def __init__(self, dim, heads, hidden, p):
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads, dropout=p, batch_first=True)
        self.drop = nn.Dropout(p)
        self.ln_a = nn.LayerNorm(dim)
        self.ff = nn.Sequential(
            nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(p), nn.Linear(hidden, dim), nn.Dropout(p)
        )
        self.ln_b = nn.LayerNorm(dim)

    def forward(self, x, pos, pad=None):
        qk = x + pos
        a, _ = self.attn(qk, qk, x, key_padding_mask=pad, need_weights=False)
        x = self.ln_a(x + self.drop(a))
        return self.ln_b(x + self.ff(x))


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.layer_args = (self.emb_dim, nhead, dim_feedforward, dropout)
        self.blocks = nn.ModuleList([EncoderBlock(*self.layer_args) for _ in range(enc_layers)])

    def encode(self, images, padding_mask=None):
        ctx = super().encode(images, padding_mask)
        x = ctx["features"].flatten(2).mT
        pos = ctx["pos_emb"].flatten(2).mT
        pad = ctx.get("padding_mask")
        if pad is not None:
            pad = pad.flatten(1)
        for block in self.blocks:
            x = block(x, pos, pad)
        ctx["mem"] = x
        ctx["mem_pos"] = pos
        return ctx
