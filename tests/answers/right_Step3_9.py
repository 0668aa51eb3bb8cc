import torch
from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from detr_steps import PositionEmbedding2D, Step2


class MyStep3(Step2):
    def __init__(self, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.pe = PositionEmbedding2D(self.emb_dim, temperature)
        self.params = nn.ParameterDict({"query_pos": torch.rand(len(self.queries), self.emb_dim)})

    def forward(self, images, padding_mask=None):
        out = super().forward(images)
        added = {"query_pos": self.params["query_pos"]}
        h, w = out["features"].shape[-2:]
        if padding_mask is None:
            added["pos_emb"] = self.pe(out["features"])
        else:
            mask = resize(padding_mask.float(), [h, w], interpolation=InterpolationMode.NEAREST) != 0
            added["padding_mask"] = mask
            added["pos_emb"] = self.pe(out["features"], mask)
        return out | added
