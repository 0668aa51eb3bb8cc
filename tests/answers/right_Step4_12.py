import torch
import torch.nn.functional as F
from torch import nn

from detr_steps import Step3


class FusedAttention(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.width, self.heads, self.p = width, heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x, pos, keep=None):
        w, b = self.qkv.weight, self.qkv.bias
        qk = F.linear(x + pos, w[: 2 * self.width], b[: 2 * self.width])
        v = F.linear(x, w[2 * self.width :], b[2 * self.width :])
        q, k = qk.chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=keep, dropout_p=self.p if self.training else 0.0
        )
        return self.proj(out.transpose(1, 2).flatten(2))


class Residual(nn.Module):
    """norm(x + dropout(fn(x, ...)))"""

    def __init__(self, fn, width, dropout):
        super().__init__()
        self.fn = fn
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, *args):
        return self.norm(x + self.dropout(self.fn(x, *args)))


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        d = self.emb_dim
        self.attentions, self.mlps = nn.ModuleList(), nn.ModuleList()
        for _ in range(enc_layers):
            mlp = nn.Sequential(
                nn.Linear(d, dim_feedforward),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
                nn.Linear(dim_feedforward, d),
            )
            self.attentions.append(Residual(FusedAttention(d, nhead, dropout), d, dropout))
            self.mlps.append(Residual(mlp, d, dropout))

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        x = torch.einsum("bdhw->bhwd", context["features"]).flatten(1, 2)
        pos = torch.einsum("bdhw->bhwd", context["pos_emb"]).flatten(1, 2)
        keep = None
        if "padding_mask" in context:
            keep = context["padding_mask"].flatten(1).logical_not()[:, None, None, :]
        for attention, mlp in zip(self.attentions, self.mlps):
            x = mlp(attention(x, pos, keep))
        context["mem"], context["mem_pos"] = x, pos
        return context
