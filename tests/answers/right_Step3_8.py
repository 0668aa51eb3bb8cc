import logging
from typing import Any, Dict, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detr_steps import PositionEmbedding2D, Step2

logger = logging.getLogger(__name__)


def build_position_encoding(cfg: Dict[str, Any]) -> nn.Module:
    return PositionEmbedding2D(emb_dim=cfg["HIDDEN_DIM"], temperature=cfg["TEMPERATURE"])


def build_query_embed(cfg: Dict[str, Any]) -> nn.Embedding:
    return nn.Embedding(cfg["NUM_OBJECT_QUERIES"], cfg["HIDDEN_DIM"])


class MyStep3(Step2):
    """A meta architecture in the Detectron2 style."""

    def __init__(self, temperature: float = 10000.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        cfg = {
            "HIDDEN_DIM": self.emb_dim,
            "NUM_OBJECT_QUERIES": len(self.queries),
            "TEMPERATURE": temperature,
        }
        self.query_embed = build_query_embed(cfg)
        self.pe_layer = build_position_encoding(cfg)
        logger.debug("built %s", cfg)

    @property
    def device(self) -> torch.device:
        return self.query_embed.weight.device

    @staticmethod
    def mask_out_padding(mask: Tensor, like: Tensor) -> Tensor:
        assert mask.ndim == 3, mask.shape
        resized = F.interpolate(mask.float().unsqueeze(1), size=like.shape[-2:], mode="nearest")
        return resized.squeeze(1).to(torch.bool)

    def forward(self, images: Tensor, padding_mask: Optional[Tensor] = None) -> Dict[str, Tensor]:
        outputs = super().forward(images)
        feature_map = outputs["features"]
        masks = None if padding_mask is None else self.mask_out_padding(padding_mask, feature_map)
        outputs["pos_emb"] = self.pe_layer(feature_map, masks)
        outputs["query_pos"] = self.query_embed(torch.arange(len(self.queries), device=self.device))
        if masks is not None:
            outputs["padding_mask"] = masks
        return outputs
