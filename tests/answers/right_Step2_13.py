import torch.nn.functional as F
from torch import nn

from detr_steps import Step1


class MLP(nn.Module):
    """Very simple multi-layer perceptron, as in the official DETR."""

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
    """Images [B, 3, H, W] -> class_logits [B, N, C+1], bbox_pred [B, N, 4], features."""

    def __init__(self, num_classes=80, num_queries=100, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes  # later steps read it
        hidden_dim = self.emb_dim
        self.class_embed = nn.Linear(hidden_dim, num_classes + 1)
        self.bbox_embed = MLP(hidden_dim, hidden_dim, 4, 3)
        self.query_embed = nn.Embedding(num_queries, hidden_dim)

    @property
    def queries(self):
        return self.query_embed.weight

    def forward(self, images):
        src = super().forward(images)
        hs = self.query_embed.weight.unsqueeze(0).repeat(src.shape[0], 1, 1)  # [B, N, D]
        outputs_class = self.class_embed(hs)
        outputs_coord = self.bbox_embed(hs).sigmoid()
        return {"class_logits": outputs_class, "bbox_pred": outputs_coord, "features": src}
