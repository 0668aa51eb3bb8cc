# in the manner of facebookresearch/detr: backbone + position encoding, query_embed
import math

import torch
import torch.nn.functional as F
from torch import nn

from detr_steps import Step2


class PositionEmbeddingSine(nn.Module):
    def __init__(self, num_pos_feats=64, temperature=10000, normalize=False, scale=None):
        super().__init__()
        self.num_pos_feats = num_pos_feats
        self.temperature = temperature
        self.normalize = normalize
        if scale is not None and normalize is False:
            raise ValueError("normalize should be True if scale is passed")
        if scale is None:
            scale = 2 * math.pi
        self.scale = scale

    def forward(self, x, mask):
        not_mask = ~mask
        y_embed = not_mask.cumsum(1, dtype=torch.float32)
        x_embed = not_mask.cumsum(2, dtype=torch.float32)
        if self.normalize:
            eps = 1e-6
            y_embed = y_embed / (y_embed[:, -1:, :] + eps) * self.scale
            x_embed = x_embed / (x_embed[:, :, -1:] + eps) * self.scale
        dim_t = torch.arange(self.num_pos_feats, dtype=torch.float32, device=x.device)
        dim_t = self.temperature ** (2 * (dim_t // 2) / self.num_pos_feats)
        pos_x = x_embed[:, :, :, None] / dim_t
        pos_y = y_embed[:, :, :, None] / dim_t
        pos_x = torch.stack((pos_x[:, :, :, 0::2].sin(), pos_x[:, :, :, 1::2].cos()), dim=4).flatten(3)
        pos_y = torch.stack((pos_y[:, :, :, 0::2].sin(), pos_y[:, :, :, 1::2].cos()), dim=4).flatten(3)
        return torch.cat((pos_y, pos_x), dim=3).permute(0, 3, 1, 2)


class MyStep3(Step2):
    def __init__(self, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        hidden_dim = self.emb_dim
        if hidden_dim % 4:
            raise ValueError("emb_dim must be a multiple of 4")
        num_queries = len(self.queries)
        self.query_embed = nn.Embedding(num_queries, hidden_dim)
        self.position_embedding = PositionEmbeddingSine(hidden_dim // 2, temperature, normalize=True)

    def forward(self, images, padding_mask=None):
        out = super().forward(images)
        src = out["features"]
        if padding_mask is None:
            mask = torch.zeros(src.shape[0], *src.shape[-2:], dtype=torch.bool, device=src.device)
        else:
            mask = F.interpolate(padding_mask[None].float(), size=src.shape[-2:]).to(torch.bool)[0]
            out["padding_mask"] = mask
        pos = self.position_embedding(src, mask).to(src.dtype)
        out.update({"pos_emb": pos, "query_pos": self.query_embed.weight})
        return out
