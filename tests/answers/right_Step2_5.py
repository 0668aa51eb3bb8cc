import torch
from torch import nn

from detr_steps import Step1


class ClassHead(nn.Module):
    """The C classes and "no object" come from two layers."""

    def __init__(self, dim, classes):
        super().__init__()
        self.empty = nn.Linear(dim, 1)
        self.classes = nn.Linear(dim, classes)

    def forward(self, z):
        return torch.cat([self.classes(z), self.empty(z)], dim=-1)


class BoxHead(nn.Module):
    """Centre and size come from two layers on the same hidden vector."""

    def __init__(self, dim):
        super().__init__()
        self.size = nn.Linear(dim, 2)
        self.centre = nn.Linear(dim, 2)
        self.second = nn.Linear(dim, dim)
        self.first = nn.Linear(dim, dim)

    def forward(self, z):
        z = torch.relu(self.first(z))
        z = torch.relu(self.second(z))
        centre = torch.sigmoid(self.centre(z))
        size = torch.sigmoid(self.size(z))
        return torch.cat([centre, size], dim=-1)


class MyStep2(Step1):
    def __init__(self, num_classes=80, num_queries=100, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.box_head = BoxHead(self.emb_dim)
        self.class_head = ClassHead(self.emb_dim, num_classes)
        self.queries = nn.ParameterList([nn.Parameter(torch.randn(self.emb_dim)) for _ in range(num_queries)])

    def forward(self, images):
        features = super().forward(images)
        logits, boxes = [], []
        for query in self.queries:  # one after the other
            logits.append(self.class_head(query))
            boxes.append(self.box_head(query))
        logits, boxes = torch.stack(logits), torch.stack(boxes)  # [N, C+1], [N, 4]
        batch = features.shape[0]
        return {
            "features": features,
            "bbox_pred": torch.stack([boxes] * batch),
            "class_logits": torch.stack([logits] * batch),
        }
