from torch import nn

from detr_steps import Step3


class EncoderLayerWithPositions(nn.TransformerEncoderLayer):
    """PyTorch's layer has everything but the positions, so only forward is new."""

    def forward(self, x, pos, padding=None):
        q = k = x + pos
        attended = self.self_attn(q, k, x, key_padding_mask=padding, need_weights=False)[0]
        x = self.norm1(x + self.dropout1(attended))
        return self.norm2(x + self._ff_block(x))


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        make = lambda: EncoderLayerWithPositions(
            self.emb_dim, nhead, dim_feedforward, dropout, batch_first=True
        )
        self.encoder = nn.ModuleList(make() for _ in range(enc_layers))
        self.layer_args = self.emb_dim, nhead, dim_feedforward, dropout

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        unroll = lambda x: None if x is None else x.flatten(-2)
        mem = unroll(context["features"]).transpose(-1, -2)
        mem_pos = unroll(context["pos_emb"]).transpose(-1, -2)
        padding = unroll(context.get("padding_mask"))
        for layer in self.encoder:
            mem = layer(mem, mem_pos, padding)
        return dict(context, mem_pos=mem_pos, mem=mem)
