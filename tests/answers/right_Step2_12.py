from collections import OrderedDict

import torch
from torch import nn

from detr_steps import Step1


class MyStep2(Step1):
    """Images [B, 3, H, W] -> class_logits [B, N, C+1], bbox_pred [B, N, 4], features."""

    def __init__(self, num_classes=80, num_queries=100, **kwargs):
        super().__init__(**kwargs)
        units = self.emb_dim
        self.num_classes = num_classes
        place = nn.Sequential(
            OrderedDict(
                dense_1=nn.Linear(units, units),
                act_1=nn.ReLU(),
                dense_2=nn.Linear(units, units),
                act_2=nn.ReLU(),
                dense_out=nn.Linear(units, 4),
                squash=nn.Sigmoid(),
            )
        )
        kind = nn.Linear(units, num_classes + 1)
        self.towers = nn.ModuleDict({"bbox_pred": place, "class_logits": kind})
        self.queries = nn.Parameter(torch.empty(num_queries, units).normal_())

    def forward(self, images):
        outputs = {"features": super().forward(images)}
        for name, tower in self.towers.items():
            # nothing depends on the image yet: compute once, hand out to all images
            outputs[name] = tower(self.queries).expand(len(images), -1, -1)
        return outputs
