import torch
from torch import nn

from detr_steps import PositionEmbedding2D, Step2

# I come from Keras: build the layers, then call them; one image of the batch after the other


class MyStep3(Step2):
    def __init__(self, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature
        self.build()

    def build(self):
        n, d = len(self.queries), self.emb_dim
        self.add_query_weight("learned_positions", (n, d))
        self.position_layer = PositionEmbedding2D(d, self.temperature)

    def add_query_weight(self, name, shape):
        weight = torch.empty(shape).uniform_(-0.05, 0.05)
        setattr(self, name, nn.Parameter(weight))

    def resize_one(self, mask, size):
        image = mask.float()[None, None]  # [1, 1, H, W]
        return nn.functional.interpolate(image, size=size, mode="nearest")[0, 0].bool()

    def forward(self, images, padding_mask=None):
        outputs = super().forward(images)
        feature_map = outputs["features"]
        size = feature_map.shape[-2:]
        embedded, masks = [], []
        for index in range(len(images)):
            cells = feature_map[index : index + 1]
            if padding_mask is None:
                embedded.append(self.position_layer(cells))
                continue
            mask = self.resize_one(padding_mask[index], size)
            masks.append(mask)
            embedded.append(self.position_layer(cells, mask[None]))
        outputs["pos_emb"] = torch.cat(embedded)
        outputs["query_pos"] = self.learned_positions
        if masks:
            outputs["padding_mask"] = torch.stack(masks)
        return outputs
