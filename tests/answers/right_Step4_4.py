from torch import nn

from detr_steps import Step3
from detr_steps.step4_encoder import TransformerEncoderLayer


class MyStep4(Step3):
    """Adds mem and mem_pos, both [B, H'W', D]."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.layers = nn.ModuleList(
            TransformerEncoderLayer(self.emb_dim, nhead, dim_feedforward, dropout=dropout)
            for _ in range(enc_layers)
        )

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        mem, pos = (context[k].flatten(2).transpose(1, 2) for k in ("features", "pos_emb"))
        padding = context["padding_mask"].flatten(1) if "padding_mask" in context else None
        for layer in self.layers:
            mem = layer(mem, pos, padding)
        return {**context, "mem": mem, "mem_pos": pos}
