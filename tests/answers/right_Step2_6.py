import math

import torch
from torch import nn
from torch.nn import Parameter

from detr_steps import Step1


def weight(rows, columns):
    bound = 1 / math.sqrt(columns)
    return Parameter(torch.empty(rows, columns).uniform_(-bound, bound))


class MyStep2(Step1):
    """Parameters and einsum, no layer."""

    def __init__(self, num_classes=80, num_queries=100, **kwargs):
        super().__init__(**kwargs)
        d = self.emb_dim
        self.num_classes = num_classes
        self.box_w = nn.ParameterList([weight(d, d), weight(d, d), weight(4, d)])
        self.box_b = nn.ParameterList([Parameter(torch.zeros(k)) for k in (d, d, 4)])
        self.class_w = weight(num_classes + 1, d)
        self.class_b = Parameter(torch.zeros(num_classes + 1))
        self.object_queries = Parameter(torch.randn(1, num_queries, d))

    def forward(self, images):
        features = super().forward(images)
        b = features.size(0)
        z = self.object_queries.repeat(b, 1, 1)
        class_logits = torch.einsum("bnd,cd->bnc", z, self.class_w) + self.class_b
        h = z
        for w, bias in zip(self.box_w[:2], self.box_b[:2]):
            h = torch.einsum("bnd,ed->bne", h, w) + bias
            h = torch.where(h > 0, h, torch.zeros_like(h))
        t = torch.einsum("bnd,kd->bnk", h, self.box_w[2]) + self.box_b[2]
        bbox_pred = 1 / (1 + torch.exp(-t))
        return dict(class_logits=class_logits, bbox_pred=bbox_pred, features=features)
