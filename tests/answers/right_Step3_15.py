import torch
from torch import nn
from torch.nn.functional import interpolate

from detr_steps import PositionEmbedding2D, Step2


class MyStep3(Step2):
    """Adds pos_emb [B, D, H', W'], query_pos [N, D] and padding_mask [B, H', W']."""

    def __init__(self, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.where_cells_are = PositionEmbedding2D(self.emb_dim, temperature)
        self.where_queries_are = nn.Parameter(torch.randn(len(self.queries), self.emb_dim))

    def forward(self, images, padding_mask=None):
        answer = super().forward(images)
        grid = answer["features"]
        small = None
        if padding_mask is not None:
            small = interpolate(padding_mask[:, None].float(), size=grid.shape[2:], mode="nearest")
            small = small[:, 0] > 0.5
            answer["padding_mask"] = small
        answer["pos_emb"] = self.where_cells_are(grid, small)
        answer["query_pos"] = self.where_queries_are
        return answer
