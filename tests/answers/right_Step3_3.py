import torch
import torch.nn.functional as F
from torch import nn

from detr_steps import PositionEmbedding2D, Step2


class MyStep3(Step2):
    """Adds pos_emb [B, D, H', W'], query_pos [N, D] and padding_mask [B, H', W']."""

    def __init__(self, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.position_embedding = PositionEmbedding2D(self.emb_dim, temperature)
        self.query_pos = nn.Parameter(torch.randn(len(self.queries), self.emb_dim))

    def forward(self, images, padding_mask=None):
        out = super().forward(images)
        features = out["features"]
        if padding_mask is not None:
            size = features.shape[-2:]
            padding_mask = F.interpolate(padding_mask[:, None].float(), size=size)[:, 0].bool()
            out["padding_mask"] = padding_mask
        out["pos_emb"] = self.position_embedding(features, padding_mask)
        out["query_pos"] = self.query_pos
        return out
