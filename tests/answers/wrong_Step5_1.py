# slip: positions are in the values of the cross-attention, too
from torch import nn

from detr_steps import Step4


class Block(nn.Module):
    def __init__(self, d, heads, width, p):
        super().__init__()
        self.among = nn.MultiheadAttention(d, heads, dropout=p, batch_first=True)
        self.ln_a = nn.LayerNorm(d)
        self.image = nn.MultiheadAttention(d, heads, dropout=p, batch_first=True)
        self.ln_b = nn.LayerNorm(d)
        self.mlp = nn.Sequential(
            nn.Linear(d, width), nn.ReLU(), nn.Dropout(p), nn.Linear(width, d)
        )
        self.ln_c = nn.LayerNorm(d)
        self.drop = nn.Dropout(p)

    def forward(self, h, pq, mem, pm, pad):
        qk = h + pq
        h = self.ln_a(h + self.drop(self.among(qk, qk, h, need_weights=False)[0]))
        read = self.image(h + pq, mem + pm, mem + pm, key_padding_mask=pad, need_weights=False)[0]
        h = self.ln_b(h + self.drop(read))
        return self.ln_c(h + self.drop(self.mlp(h)))


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        self.blocks = nn.ModuleList(Block(*self.layer_args) for _ in range(dec_layers))
        self.last_norm = nn.LayerNorm(self.emb_dim)

    def decode(self, context):
        h = super().decode(context)
        pad = context.get("padding_mask")
        if pad is not None:
            pad = pad.flatten(1)
        for block in self.blocks:
            h = block(h, context["query_pos"], context["mem"], context["mem_pos"], pad)
        return self.last_norm(h)
