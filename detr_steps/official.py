"""The official DETR's weights in Step8.

Two parts exist only in this series, and loading neutralises them: the FPN's 3x3 convolution becomes
the identity, and the content queries become zeros.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torchvision.ops.misc import FrozenBatchNorm2d

from .inputs import mismatch
from .step8_set_loss import Step8

OFFICIAL_NAMES = (  # ours -> official
    (r"^backbone\.", "backbone.0.body."),
    (r"^fpn\.lateral\.p5\.", "input_proj."),
    (r"^query_pos$", "query_embed.weight"),
    (r"^encoder\.", "transformer.encoder.layers."),
    (r"^decoder\.", "transformer.decoder."),
    (r"^class_head\.", "class_embed."),
    (r"^bbox_head\.0\.", "bbox_embed.layers.0."),
    (r"^bbox_head\.2\.", "bbox_embed.layers.1."),
    (r"^bbox_head\.4\.", "bbox_embed.layers.2."),
)


class LoadedKeys(NamedTuple):
    """The names that did not take part, as `torch.nn.Module.load_state_dict` returns them."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def official_name(name: str) -> str | None:
    """The official name of one of Step8's tensors, or None for the three that DETR lacks."""
    for pattern, replacement in OFFICIAL_NAMES:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return None


def freeze_batch_norm(module: nn.Module) -> None:
    """Replaces, in place, every batch norm in `module` by a frozen one with the same numbers."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d | nn.SyncBatchNorm):
            frozen = FrozenBatchNorm2d(child.num_features, eps=child.eps).to(child.weight)
            frozen.load_state_dict(child.state_dict())
            setattr(module, name, frozen)
        else:
            freeze_batch_norm(child)


def load_official(model: Step8, state_dict: Mapping) -> LoadedKeys:
    """Loads the official DETR's weights into `model`, in place: it computes what DETR computes.

    Heads, dilation and temperature have no weights, so the model must be built with the right ones.

    Batch norm becomes frozen, as DETR trains it. The three tensors that DETR does not have are set
    to the identity and to zero, and are frozen too, so that the model stays DETR as it trains on.

    Args:
        model: a Step8 of the official sizes: `Step8(num_classes=91, dim_feedforward=2048,
            cost_class=1.0, w_class=1.0)`, with `backbone="resnet101"` and `dilation=True` for the
            variants.
        state_dict: names to tensors, bare or as {"model": ...} in the released files.

    Returns:
        `missing_keys`, the three names of `model` that DETR lacks; `unexpected_keys`, empty.

    Raises:
        TypeError: `model` is no Step8, or `state_dict` does not map names to tensors.
        ValueError: a tensor is missing, unexpected, of the wrong shape, or not of floats. All such
            are named, and nothing is loaded.
    """
    renamed = match_names(model, state_dict)
    official = read_official(state_dict)
    added = make_official(model)
    model.load_state_dict({name: official[other] for name, other in renamed.items()}, strict=False)
    return LoadedKeys(added, [])


def match_names(model: Step8, state_dict: Mapping) -> dict[str, str]:
    """The official name of each of a model's tensors that DETR has; see `load_official`.

    Raises:
        TypeError, ValueError: as `load_official`.
    """
    if not isinstance(model, Step8):
        raise mismatch(TypeError, "model", "a Step8", type(model).__name__)
    official = read_official(state_dict)
    own = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    renamed = {name: other for name in own if (other := official_name(name)) is not None}
    check_fit(model, renamed, official)
    return renamed


def make_official(model: Step8) -> list[str]:
    """Neutralises, in place, what only this series has, and freezes it and the batch norm.

    Returns:
        The names of the three parameters that DETR does not have.
    """
    freeze_batch_norm(model.backbone)
    output = model.fpn.output["p5"]
    nn.init.dirac_(output.weight)
    nn.init.zeros_(output.bias)
    nn.init.zeros_(model.queries)
    for parameter in (output.weight, output.bias, model.queries):
        parameter.requires_grad_(False)
    return ["queries", "fpn.output.p5.weight", "fpn.output.p5.bias"]


def read_official(state_dict: Mapping) -> Mapping[str, Tensor]:
    """Names to tensors, without the wrapping of the released files."""
    if isinstance(state_dict, Mapping) and isinstance(state_dict.get("model"), Mapping):
        state_dict = state_dict["model"]
    tensors = isinstance(state_dict, Mapping) and all(
        isinstance(value, Tensor) for value in state_dict.values()
    )
    if not tensors:
        raise TypeError('state_dict: expected names mapped to tensors, bare or as {"model": ...}')
    return state_dict


def check_fit(model: Step8, renamed: Mapping[str, str], official: Mapping[str, Tensor]) -> None:
    """Every tensor that `renamed` (ours -> official) names is there, in our shape; no other is."""
    problems = [f"missing {name}" for name in renamed.values() if name not in official]
    problems += [f"unexpected {name}" for name in official if name not in renamed.values()]
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    for own, name in renamed.items():
        expected = shapes[own]
        found = official.get(name)
        if found is not None and list(found.shape) != expected:
            problems.append(f"{name}: expected {expected}, found {list(found.shape)}")
        elif found is not None and not found.is_floating_point():
            problems.append(f"{name}: expected floats, found {found.dtype}")
    if problems:
        lines = "\n  ".join(problems)
        raise ValueError(f"state_dict: {len(problems)} tensors do not fit the model:\n  {lines}")
