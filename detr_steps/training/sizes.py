"""Models by their sizes: read off a model, kept beside its weights, and built again."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..arguments import COUNT, RANGES
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
TABLED = ("dropout", "temperature", "dilation")  # whose ranges are those of the constructors
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


def checked(sizes: object, shapes: Mapping[str, Sequence[int]], file: Path) -> dict[str, Any]:
    """Sizes that came from a file, after a check against the tensors there; nothing large is built.

    Args:
        sizes: see `build`.
        shapes: of the file's tensors, under our names or under the official ones.
        file: for errors.

    Raises:
        ValueError: a size is not one, or another than that of the tensors.
    """
    if not isinstance(sizes, dict):
        raise ValueError(f"{file}: sizes: expected names with values, found {sizes!r:.60}")
    counted = counted_sizes(shapes)
    for name, found in ({"kind": None} | counted | sizes).items():
        expected = known_size(name, found, counted)
        if expected:
            raise ValueError(f"{file}: {name}: expected {expected}, found {found!r:.60}")
    return counted | sizes


def counted_sizes(shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The sizes that the shapes of a model's tensors show; 0 where a tensor is missing."""

    def length(pattern: str, axis: int = 0) -> int:
        found = (shape for name, shape in shapes.items() if re.search(pattern, name))
        return next((shape[axis] for shape in found if len(shape) > axis), 0)

    def layers(part: str) -> int:
        matches = (re.search(rf"\b{part}\.(?:layers\.)?(\d+)\.", name) for name in shapes)
        return len({match[1] for match in matches if match})

    return {
        "num_classes": length(r"^class_(head|embed)\.bias$") - 1,
        "num_queries": length(r"^(query_pos|query_embed\.weight)$"),
        "emb_dim": length(r"^(query_pos|query_embed\.weight)$", 1),
        "enc_layers": layers("encoder"),
        "dec_layers": layers("decoder"),
        "dim_feedforward": length(r"encoder\.(layers\.)?0\.linear1\.bias$"),
    }


def known_size(name: str, value: object, counted: Mapping[str, int]) -> str:
    """What was expected of a size instead of its value, or nothing where that is fine."""
    whole = COUNT.holds(value)
    if name in counted:
        fine = whole and value == counted[name]
        return "" if fine else f"{max(counted[name], 1)}, as the tensors have it"
    expected, fine = {
        "kind": (f"one of {', '.join(SIDES)}", isinstance(value, str) and value in SIDES),
        "nhead": (
            f"a divisor of emb_dim = {counted['emb_dim']}",
            whole and counted["emb_dim"] % value == 0,
        ),
        "backbone": (f"one of {', '.join(DEPTHS)}", isinstance(value, str) and value in DEPTHS),
        **{one: (RANGES[one].text, RANGES[one].holds(value)) for one in TABLED},
    }.get(name, ("no such size", False))
    return "" if fine else expected


def outline(**sizes: Any) -> Step8:
    """As `build`, without memory for its tensors, which have shapes alone."""
    with torch.device("meta"):
        return build(**sizes)


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
