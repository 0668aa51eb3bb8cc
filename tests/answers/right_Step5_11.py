import torch
import torch.nn.functional as F
from torch import nn

from detr_steps import Step4


def split(x, heads):
    b, t, d = x.shape
    return x.reshape(b, t, heads, d // heads).swapaxes(1, 2)


def merge(x):
    b, h, t, d = x.shape
    return x.swapaxes(1, 2).reshape(b, t, h * d)


class SelfAttention(nn.Module):
    def __init__(self, d, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.to_qk = nn.Linear(d, 2 * d)
        self.to_v = nn.Linear(d, d)
        self.to_out = nn.Linear(d, d)

    def forward(self, x, pos):
        q, k = self.to_qk(x + pos).chunk(2, dim=-1)
        q, k, v = (split(t, self.heads) for t in (q, k, self.to_v(x)))
        p = self.dropout if self.training else 0.0
        return self.to_out(merge(F.scaled_dot_product_attention(q, k, v, dropout_p=p)))


class CrossAttention(nn.Module):
    def __init__(self, d, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.to_q = nn.Linear(d, d)
        self.to_kv = nn.Linear(d, 2 * d)
        self.to_out = nn.Linear(d, d)

    def forward(self, x, pos, mem, mem_pos, keep):
        q = self.to_q(x + pos)
        w_k, w_v = self.to_kv.weight.chunk(2)
        # [k | v] of the memory at once, then the positions' share for k alone
        k, v = self.to_kv(mem).chunk(2, dim=-1)
        k = k + F.linear(mem_pos, w_k)
        q, k, v = split(q, self.heads), split(k, self.heads), split(v, self.heads)
        p = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=keep, dropout_p=p)
        return self.to_out(merge(out))


class Block(nn.Module):
    def __init__(self, d, heads, width, dropout):
        super().__init__()
        self.self_attn = SelfAttention(d, heads, dropout)
        self.cross_attn = CrossAttention(d, heads, dropout)
        self.ff = nn.Sequential(nn.Linear(d, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, d))
        self.ln1, self.ln2, self.ln3 = (nn.LayerNorm(d) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, pos, mem, mem_pos, keep):
        x = self.ln1(x + self.dropout(self.self_attn(x, pos)))
        x = self.ln2(x + self.dropout(self.cross_attn(x, pos, mem, mem_pos, keep)))
        x = self.ln3(x + self.dropout(self.ff(x)))
        return x


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        blocks = [Block(*self.layer_args) for _ in range(dec_layers)]
        self.blocks = nn.ModuleList(blocks)
        self.ln_f = nn.LayerNorm(self.emb_dim)

    def decode(self, context):
        x = super().decode(context)
        keep = None
        if context.get("padding_mask") is not None:
            keep = ~context["padding_mask"].flatten(1)[:, None, None]
        for block in self.blocks:
            x = block(x, context["query_pos"], context["mem"], context["mem_pos"], keep)
        return self.ln_f(x)
