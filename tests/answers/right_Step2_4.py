# after the official DETR (models/detr.py)
import torch.nn.functional as F
from torch import nn

from detr_steps import Step1


class MLP(nn.Module):
    """Very simple multi-layer perceptron (also called FFN)"""

    def __init__(self, input_dim, hidden_dim, output_dim, num_layers):
        super().__init__()
        self.num_layers = num_layers
        h = [hidden_dim] * (num_layers - 1)
        self.layers = nn.ModuleList(nn.Linear(n, k) for n, k in zip([input_dim] + h, h + [output_dim]))

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            x = F.relu(layer(x)) if i < self.num_layers - 1 else layer(x)
        return x


class MyStep2(Step1):
    def __init__(self, num_classes=80, num_queries=100, **kwargs):
        super().__init__(**kwargs)
        hidden_dim = self.emb_dim
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.class_embed = nn.Linear(hidden_dim, num_classes + 1)
        self.bbox_embed = MLP(hidden_dim, hidden_dim, 4, 3)
        self.query_embed = nn.Embedding(num_queries, hidden_dim)

    def forward(self, images):
        src = super().forward(images)
        bs = src.shape[0]
        hs = self.query_embed.weight.unsqueeze(0).repeat(bs, 1, 1)
        outputs_class = self.class_embed(hs)
        outputs_coord = self.bbox_embed(hs).sigmoid()
        out = {"class_logits": outputs_class, "bbox_pred": outputs_coord}
        out["features"] = src
        return out
