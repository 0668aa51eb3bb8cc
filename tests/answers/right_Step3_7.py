import torch
from torch import nn

from detr_steps import PositionEmbedding2D, Step2


class MyStep3(Step2):
    """The whole forward pass, hook after hook."""

    def __init__(self, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.embedding = PositionEmbedding2D(self.emb_dim, temperature)
        self.register_parameter("query_pos", nn.Parameter(torch.zeros(len(self.queries), self.emb_dim)))
        nn.init.xavier_uniform_(self.query_pos)

    def encode(self, images, padding_mask=None):
        context = dict(super().encode(images))
        features = context["features"]
        small = None
        if padding_mask is not None:
            resize = nn.Upsample(size=tuple(features.shape[-2:]), mode="nearest")
            small = resize(padding_mask.unsqueeze(1).to(torch.float32)).squeeze(1) > 0.5
            context["padding_mask"] = small
        return {**context, "pos_emb": self.embedding(features, small), "query_pos": self.query_pos}

    def forward(self, images, padding_mask=None):
        context = self.encode(images, padding_mask)
        hidden = self.decode(context)
        return {**self.predict(hidden), **context}
