import torch
from torch import nn
import torch.nn.functional as F
from detr_steps import PositionEmbedding2D, Step2


class MyStep3(Step2):
    def __init__(self, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.query_pos = nn.Parameter(0.1 * torch.randn(len(self.queries), self.emb_dim))
        self.pe = PositionEmbedding2D(self.emb_dim, temperature=temperature)

    def encode(self, images, padding_mask=None):
        context = dict(super().encode(images))
        features = context["features"]
        mask = padding_mask
        if mask is not None:
            mask = mask.unsqueeze(1).to(torch.float32)
            mask = F.interpolate(mask, size=tuple(features.shape[2:])).squeeze(1).bool()
            context.update(padding_mask=mask)
        context.update(pos_emb=self.pe(features, mask), query_pos=self.query_pos)
        return context
