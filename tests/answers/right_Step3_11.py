import torch
import torch.nn.functional as F
from torch import nn

from detr_steps import PositionEmbedding2D, Step2


class QueryPositions(nn.Module):
    def __init__(self, count, width):
        super().__init__()
        # the weight of a Linear from width to count is [count, width]
        self.table = nn.Linear(width, count, bias=False)

    def forward(self):
        return self.table.weight


class MaskResizer(nn.Module):
    def forward(self, mask, features):
        if mask is None:
            return None
        mask = mask.to(features.dtype).view(mask.shape[0], 1, *mask.shape[1:])
        mask = F.interpolate(mask, features.shape[-2:], mode="nearest")
        return mask.flatten(0, 1).type(torch.bool)


class MyStep3(Step2):
    """A module for each of the three things that are added."""

    def __init__(self, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.additions = nn.ModuleDict(
            {
                "mask": MaskResizer(),
                "queries": QueryPositions(len(self.queries), self.emb_dim),
                "cells": PositionEmbedding2D(self.emb_dim, temperature),
            }
        )

    def forward(self, images, padding_mask=None):
        out = super().forward(images)
        features = out["features"]
        mask = self.additions["mask"](padding_mask, features)
        extra = {
            "pos_emb": self.additions["cells"](features, mask),
            "query_pos": self.additions["queries"](),
            "padding_mask": mask,
        }
        out.update({name: value for name, value in extra.items() if value is not None})
        return out
