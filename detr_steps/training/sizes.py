"""Models by their sizes: read off a model, kept beside its weights, and built again."""

import math
from typing import Any

from torch import nn

from ..backbone import stage_channels
from ..official import make_official
from ..step8_set_loss import Step8
from .normalisation import FULL_SIDE
from .scenes import SIDE
from .small import BACKBONES, medium_detr, small_detr

DEPTHS = {"resnet50": [3, 4, 6, 3], "resnet101": [3, 4, 23, 3]}
CPU_KINDS = {backbone["widths"]: kind for kind, backbone in BACKBONES.items()}
BLOCKS = {depths[2]: name for name, depths in DEPTHS.items()}  # of the third stage
SIDES = {"small": SIDE, "medium": 256, "full": FULL_SIDE}  # the most pixels of the shorter side
STEM_STRIDE = 4
OFFICIAL_SIZES = {
    "num_classes": 91,
    "dim_feedforward": 2048,
    "cost_class": 1.0,
    "w_class": 1.0,
}


def sizes_of(model: nn.Module) -> dict[str, Any]:
    """What `build` needs for a model of the same sizes; "kind" is "small", "medium" or "full".

    Raises:
        ValueError: the model is no Step8, but one that can only detect.
    """
    if not isinstance(model, Step8):
        raise ValueError("weights: expected those of a Step8, found a model that can only detect")
    emb_dim, nhead, dim_feedforward, dropout = model.layer_args
    sizes = {
        "num_classes": model.num_classes,
        "num_queries": len(model.queries),
        "emb_dim": emb_dim,
        "nhead": nhead,
        "enc_layers": len(model.encoder),
        "dec_layers": len(model.decoder.layers),
        "dim_feedforward": dim_feedforward,
        "dropout": dropout,
        "temperature": model.position_embedding.temperature,
    }
    widths = tuple(stage_channels(model.backbone, level) for level in (2, 3, 4, 5))
    if widths in CPU_KINDS:
        return {"kind": CPU_KINDS[widths], **sizes}
    dilation = model.backbone.layer4[-1].conv2.dilation != (1, 1)
    backbone = BLOCKS[len(model.backbone.layer3)]
    return {"kind": "full", **sizes, "backbone": backbone, "dilation": dilation}


def build(kind: str, **sizes: Any) -> Step8:
    """A model with random weights: `small_detr`, `medium_detr`, or as `make_official` has it.

    Args:
        kind: "small", "medium" or "full".
        **sizes: arguments of Step8 that differ from those of its kind.
    """
    if kind in BACKBONES:
        return {"small": small_detr, "medium": medium_detr}[kind](**sizes)
    model = Step8(**OFFICIAL_SIZES | sizes)
    make_official(model)
    return model


def describe(model: Step8, side: int) -> str:
    """One line on a model and what it makes of images whose shorter side has `side` pixels."""
    sizes = sizes_of(model)
    stages = [part for name, part in model.backbone.named_children() if name.startswith("layer")]
    stride = STEM_STRIDE * math.prod(stage[0].stride for stage in stages)
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return (
        f"{sizes['kind']} model, {parameters:.1f} M parameters, {sizes['num_queries']} queries; "
        f"images of {side} pixels: {math.ceil(side / stride)} tokens along the shorter side, "
        f"temperature {sizes['temperature']:g}"
    )
