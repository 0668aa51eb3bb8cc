import math
from typing import Optional

import torch
from torch import Tensor, nn


class MyPositionEmbedding(nn.Module):
    """Sine positional encoding, in the manner of mmdetection / Detectron2 projects.

    Args:
        emb_dim (int): channels of the result, those of y and of x together.
        temperature (float): the temperature of the wavelengths.
    """

    def __init__(self, emb_dim: int = 256, temperature: float = 10000.0) -> None:
        super().__init__()
        if emb_dim % 4:
            raise ValueError(f"emb_dim should be divisible by 4, but got {emb_dim}")
        self.num_feats = emb_dim // 2
        self.temperature = temperature
        self.normalize = True
        self.scale = 2 * math.pi
        self.eps = 1e-6
        self.offset = 0.0

    def _dims(self, device: torch.device) -> Tensor:
        even = torch.arange(0, self.num_feats, 2, dtype=torch.float32, device=device)
        return torch.exp(even * (-math.log(self.temperature) / self.num_feats))

    def forward(self, features: Tensor, padding_mask: Optional[Tensor] = None) -> Tensor:
        B, _, H, W = features.size()
        if padding_mask is None:
            mask = torch.zeros(B, H, W, dtype=torch.int, device=features.device)
        else:
            mask = padding_mask.to(torch.int)
        not_mask = 1 - mask
        y_embed = not_mask.cumsum(1, dtype=torch.float32)
        x_embed = not_mask.cumsum(2, dtype=torch.float32)
        if self.normalize:
            y_embed = (y_embed + self.offset) / (y_embed[:, -1:, :] + self.eps) * self.scale
            x_embed = (x_embed + self.offset) / (x_embed[:, :, -1:] + self.eps) * self.scale
        inv_dim_t = self._dims(features.device)
        pos_x = x_embed.unsqueeze(-1).mul(inv_dim_t)
        pos_y = y_embed.unsqueeze(-1).mul(inv_dim_t)
        pos_x = torch.stack((pos_x.sin(), pos_x.cos()), dim=4).view(B, H, W, -1)
        pos_y = torch.stack((pos_y.sin(), pos_y.cos()), dim=4).view(B, H, W, -1)
        return torch.cat((pos_y, pos_x), dim=3).permute(0, 3, 1, 2).contiguous()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_feats={self.num_feats}, temperature={self.temperature})"
