from torch import nn

from detr_steps import Step4


class Layer(nn.Module):
    def __init__(self, D, h, width, p):
        super().__init__()
        self.sa = nn.MultiheadAttention(D, h, p, batch_first=True)
        self.ca = nn.MultiheadAttention(D, h, p, batch_first=True)
        self.ff = nn.Sequential(nn.Linear(D, width), nn.ReLU(), nn.Dropout(p), nn.Linear(width, D))
        self.n1, self.n2, self.n3 = nn.LayerNorm(D), nn.LayerNorm(D), nn.LayerNorm(D)
        self.drop = nn.Dropout(p)

    def forward(self, h, pq, m, pm, pad):
        h = self.n1(h + self.drop(self.sa(h + pq, h + pq, h)[0]))
        h = self.n2(h + self.drop(self.ca(h + pq, m + pm, m, key_padding_mask=pad)[0]))
        return self.n3(h + self.drop(self.ff(h)))


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        self.dec = nn.ModuleList(Layer(*self.layer_args) for _ in range(dec_layers))
        self.dec_norm = nn.LayerNorm(self.emb_dim)

    def decode(self, context):
        h, pad = super().decode(context), context.get("padding_mask")
        pad = pad if pad is None else pad.flatten(1)
        for layer in self.dec:
            h = layer(h, context["query_pos"], context["mem"], context["mem_pos"], pad)
        return self.dec_norm(h)
