import torch.nn.functional as F
from torch import nn

from detr_steps import Step3


class Block(nn.Module):
    """Tokens [B, T, D], positions [B, T, D], padding [B, T] or None -> tokens [B, T, D]."""

    def __init__(self, width, heads, hidden, rate):
        super().__init__()
        self.heads, self.rate = heads, rate
        self.ln_ffn = nn.LayerNorm(width)
        self.ffn = nn.Sequential(
            nn.Linear(width, hidden),
            nn.ReLU(),
            nn.Dropout(rate),
            nn.Linear(hidden, width),
            nn.Dropout(rate),
        )
        self.ln_attention = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)
        self.compare = nn.Linear(width, 2 * width)  # queries and keys have the same input
        self.content = nn.Linear(width, width)  # values

    def forward(self, x, pos, padding):
        q, k = self.compare(x + pos).chunk(2, dim=-1)
        v = self.content(x)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        allowed = None if padding is None else ~padding[:, None, None, :]
        rate = self.rate if self.training else 0.0
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=rate)
        a = self.mix(a.transpose(1, 2).flatten(2))
        x = self.ln_attention(x + F.dropout(a, self.rate, self.training))
        return self.ln_ffn(x + self.ffn(x))


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.blocks = nn.ModuleList(
            Block(self.emb_dim, nhead, dim_feedforward, dropout) for _ in range(enc_layers)
        )

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        mem, mem_pos = (context[key].flatten(2).mT for key in ("features", "pos_emb"))
        padding = context.get("padding_mask")
        if padding is not None:
            padding = padding.flatten(1)
        for block in self.blocks:
            mem = block(mem, mem_pos, padding)
        return context | {"mem": mem, "mem_pos": mem_pos}
