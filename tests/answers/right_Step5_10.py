import torch
from torch import nn

from detr_steps import Step4


class Placed(nn.Module):
    """A sublayer of attention with residual and norm. `source` None: attend to yourself."""

    def __init__(self, D, heads, dropout):
        super().__init__()
        self.attention = nn.MultiheadAttention(D, heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(D)

    def forward(self, x, x_pos, source=None, source_pos=None, padding=None):
        if source is None:
            source, source_pos = x, x_pos
        result, _ = self.attention(
            query=x + x_pos, key=source + source_pos, value=source, key_padding_mask=padding
        )
        return self.norm(x + self.dropout(result))


class MLP(nn.Module):
    def __init__(self, D, width, dropout):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(D, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, D), nn.Dropout(dropout)
        )
        self.norm = nn.LayerNorm(D)

    def forward(self, x):
        return self.norm(x + self.net(x))


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        D, heads, width, dropout = self.layer_args
        self.decoder = nn.ModuleDict()
        for number in range(1, dec_layers + 1):
            self.decoder[f"layer{number}"] = nn.ModuleDict(
                {
                    "self": Placed(D, heads, dropout),
                    "cross": Placed(D, heads, dropout),
                    "mlp": MLP(D, width, dropout),
                }
            )
        self.decoder["end"] = nn.LayerNorm(D)

    def decode(self, context):
        x = super().decode(context)
        where = context["query_pos"].expand_as(x)
        padding = context["padding_mask"].flatten(1) if "padding_mask" in context else None
        for name, part in self.decoder.items():
            if name == "end":
                break
            x = part["self"](x, where)
            x = part["cross"](x, where, context["mem"], context["mem_pos"], padding)
            x = part["mlp"](x)
        return self.decoder["end"](x)
