"""Models by their sizes: read off a model, kept beside its weights, and built again."""

from typing import Any

from ..official import make_official
from ..step8_set_loss import Step8
from .small import PointwiseBlock, small_detr

DEPTHS = {"resnet50": [3, 4, 6, 3], "resnet101": [3, 4, 23, 3]}
BLOCKS = {depths[2]: name for name, depths in DEPTHS.items()}  # of the third stage
OFFICIAL_SIZES = {
    "num_classes": 91,
    "dim_feedforward": 2048,
    "cost_class": 1.0,
    "w_class": 1.0,
}


def sizes_of(model: Step8) -> dict[str, Any]:
    """What `build` needs for a model of the same sizes; "kind" is "small" or "full"."""
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
    if isinstance(model.backbone.layer4[0], PointwiseBlock):
        return {"kind": "small", **sizes}
    dilation = model.backbone.layer4[-1].conv2.dilation != (1, 1)
    backbone = BLOCKS[len(model.backbone.layer3)]
    return {"kind": "full", **sizes, "backbone": backbone, "dilation": dilation}


def build(kind: str, **sizes: Any) -> Step8:
    """A model with random weights: "small" as `small_detr`, "full" as `make_official` has it."""
    if kind == "small":
        return small_detr(**sizes)
    model = Step8(**OFFICIAL_SIZES | sizes)
    make_official(model)
    return model
