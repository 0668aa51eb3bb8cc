from torch import nn

from detr_steps import Step4


class DecoderLayerWithPositions(nn.TransformerDecoderLayer):
    """The modules are those of PyTorch's layer, only the positions are new."""

    def forward(self, tgt, query_pos, memory, mem_pos, padding=None):
        q = tgt + query_pos
        attended, _ = self.self_attn(q, q, tgt, need_weights=False)
        tgt = self.norm1(tgt + self.dropout1(attended))

        attended, _ = self.multihead_attn(
            tgt + query_pos, memory + mem_pos, memory, key_padding_mask=padding, need_weights=False
        )
        tgt = self.norm2(tgt + self.dropout2(attended))

        return self.norm3(tgt + self._ff_block(tgt))


class MyStep5(Step4):
    """The heads read what the decoder has made of the queries, [B, N, D]."""

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(**kwargs)
        self.decoder = nn.ModuleList(
            [DecoderLayerWithPositions(*self.layer_args, batch_first=True) for _ in range(dec_layers)]
        )
        self.decoder_norm = nn.LayerNorm(self.layer_args[0])

    def decode(self, context):
        states = super().decode(context)
        query_pos, mem, mem_pos = (context[key] for key in ("query_pos", "mem", "mem_pos"))
        padding = context.get("padding_mask")
        if padding is not None:
            padding = padding.flatten(1)
        for layer in self.decoder:
            states = layer(states, query_pos, mem, mem_pos, padding)
        return self.decoder_norm(states)
