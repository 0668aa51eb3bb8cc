"""Step 3: where a token is, as a 2D sine embedding of the map and a learned position of each query.

Source: Carion et al. 2020, section 3.2 and appendix A.4; Vaswani et al. 2017, section 3.5.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .arguments import check_arguments
from .inputs import check_padding_mask, mismatch
from .step2_queries_and_heads import Step2


class PositionEmbedding2D(nn.Module):
    """Sine and cosine of y (first half of the channels) and x (second half), both in 0..2 pi.

    Args:
        emb_dim: D, a whole number, at least 1, and a multiple of 4.
        temperature: the wavelengths go from 2 pi to nearly 2 pi * temperature: a finite number
            above 0.

    Raises:
        ValueError: an argument is not as above.
    """

    def __init__(self, emb_dim: int = 256, temperature: float = 10000.0):
        check_arguments(emb_dim=emb_dim, temperature=temperature)
        if emb_dim % 4:
            expected = "a multiple of 4 (sine and cosine of y and x)"
            raise mismatch(ValueError, "emb_dim", expected, emb_dim)
        super().__init__()
        self.emb_dim, self.temperature = emb_dim, temperature

    def forward(self, features: Tensor, padding_mask: Tensor | None = None) -> Tensor:
        """Map [B, C, H', W'], mask [B, H', W'] (True on padding) -> embedding [B, D, H', W']."""
        batch, _, height, width = features.shape
        dtype = torch.promote_types(features.dtype, torch.float32)
        if padding_mask is None:
            padding_mask = features.new_zeros(batch, height, width, dtype=torch.bool)
        inside = (~padding_mask).to(dtype)
        y, x = inside.cumsum(1), inside.cumsum(2)  # [B, H', W'], counted from 1
        y = 2 * math.pi * y / (y[:, -1:, :] + 1e-6)
        x = 2 * math.pi * x / (x[:, :, -1:] + 1e-6)
        k = torch.arange(self.emb_dim // 4, dtype=dtype, device=features.device)
        period = self.temperature ** (4 * k / self.emb_dim)  # [D/4]
        angles = torch.stack((y, x), -1)[..., None] / period  # [B, H', W', 2, D/4]
        waves = torch.stack((angles.sin(), angles.cos()), -1)  # [B, H', W', 2, D/4, 2]
        return waves.flatten(3).permute(0, 3, 1, 2).to(features.dtype)  # [B, D, H', W']


class Step3(Step2):
    """Adds the positions of map cells and queries to the context, for attention to use.

    `query_pos` is what the paper calls object queries; there, the content queries are zeros.

    Args:
        temperature: of the sine embedding: a finite number above 0.
        **kwargs: arguments of the steps before.
    """

    def __init__(self, *, temperature: float = 10000.0, **kwargs):
        super().__init__(**kwargs)
        self.position_embedding = PositionEmbedding2D(self.emb_dim, temperature)
        self.query_pos = nn.Parameter(torch.randn_like(self.queries))

    def encode(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Adds `pos_emb` [B, D, H', W'], `query_pos` [N, D], and the mask where one is given."""
        context = super().encode(images, padding_mask)
        if padding_mask is not None:
            check_padding_mask(padding_mask, images)
            size = context["features"].shape[-2:]
            resized = F.interpolate(padding_mask[None].float(), size=size, mode="nearest")[0]
            padding_mask = resized.bool()  # [B, H', W']
            context["padding_mask"] = padding_mask
        context["pos_emb"] = self.position_embedding(context["features"], padding_mask)
        context["query_pos"] = self.query_pos
        return context
