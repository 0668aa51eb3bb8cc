import torch.nn.functional as F
from torch import nn

from detr_steps import PositionEmbedding2D, Step2


class MyStep3(Step2):
    """Adds pos_emb [B, D, H', W'], query_pos [N, D] and padding_mask [B, H', W']."""

    def __init__(self, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.query_embed = nn.Embedding(len(self.queries), self.emb_dim)
        self.pe_layer = PositionEmbedding2D(self.emb_dim, temperature)

    def forward(self, images, padding_mask=None):
        outputs = super().forward(images)
        feature_map = outputs["features"]
        if padding_mask is not None:
            m = padding_mask[:, None].float()
            m = F.interpolate(m, size=feature_map.shape[-2:], mode="nearest")
            padding_mask = m[:, 0].bool()
            outputs["padding_mask"] = padding_mask
        outputs["pos_emb"] = self.pe_layer(feature_map, padding_mask)
        outputs["query_pos"] = self.query_embed.weight
        return outputs
