import torch.nn.functional as F
from torch import nn

from detr_steps import Step4


class DecoderLayer(nn.Module):
    def __init__(self, d_model, nhead, dim_feedforward, dropout):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        self.cross_attn = nn.MultiheadAttention(d_model, nhead, dropout=dropout, batch_first=True)
        self.ffn = nn.Sequential(
            nn.Linear(d_model, dim_feedforward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim_feedforward, d_model)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(d_model) for _ in range(3))
        self.p = dropout

    def drop(self, x):
        return F.dropout(x, self.p, training=self.training)

    def forward(self, h, query_pos, mem, mem_pos, padding):
        q = h + query_pos
        h = self.norms[0](h + self.drop(self.self_attn(q, q, h, need_weights=False)[0]))
        read = self.cross_attn(
            h + query_pos, mem + mem_pos, mem, key_padding_mask=padding, need_weights=False
        )[0]
        h = self.norms[1](h + self.drop(read))
        return self.norms[2](h + self.drop(self.ffn(h)))


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        self.dec = nn.ModuleList(DecoderLayer(*self.layer_args) for _ in range(dec_layers))
        self.dec_norm = nn.LayerNorm(self.emb_dim)

    def decode(self, context):
        h = super().decode(context)
        padding = context["padding_mask"].flatten(1) if "padding_mask" in context else None
        for layer in self.dec:
            h = layer(h, context["query_pos"], context["mem"], context["mem_pos"], padding)
        return self.dec_norm(h)
