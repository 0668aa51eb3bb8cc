"""DETR as Hugging Face's `transformers` keeps it: a folder with `config.json` and the weights.

Reading needs no `transformers`: names as its versions 4 and 5 write them are known, with a
backbone of `timm` or of its own.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..extras import needed
from ..official import official_name
from ..reading import check_class_names, check_side, one_line, plain_file, read_json
from ..step8_set_loss import Step8
from ..writing import check_folder
from .checkpoints import read_pickle
from .normalisation import FULL_SIDE, longest_for
from .sizes import BLOCKS, DEPTHS, checked, sizes_of

# transformers -> official; a name is rewritten by every pattern that it matches
NAMES = (
    (r"^class_labels_classifier\.", "class_embed."),
    (r"^bbox_predictor\.", "bbox_embed."),
    (r"^model\.query_position_embeddings\.", "query_embed."),
    (r"^model\.input_projection\.", "input_proj."),
    (r"^model\.(encoder|decoder)\.", r"transformer.\1."),
    (r"decoder\.layernorm\.", "decoder.norm."),
    (r"\.o_proj\.", ".out_proj."),
    (r"\.encoder_attn\.", ".multihead_attn."),
    (r"(layers\.\d+)(\.mlp)?\.fc(\d)\.", r"\1.linear\3."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.encoder_attn_layer_norm\.", ".norm2."),
    (r"(encoder\.layers\.\d+)\.final_layer_norm\.", r"\1.norm2."),
    (r"(decoder\.layers\.\d+)\.final_layer_norm\.", r"\1.norm3."),
    (r"^model\.backbone\.(conv_encoder\.)?model\.", "backbone.0.body."),
    (r"body\.embedder\.embedder\.convolution\.", "body.conv1."),
    (r"body\.embedder\.embedder\.normalization\.", "body.bn1."),
    (r"\.shortcut\.convolution\.", ".downsample.0."),
    (r"\.shortcut\.normalization\.", ".downsample.1."),
)
STAGE = re.compile(r"body\.encoder\.stages\.(\d)\.layers\.(\d+)\.")
BLOCK = re.compile(r"\.layer\.(\d)\.(convolution|normalization)\.")
PROJECTION = re.compile(r"\.([qkv])_proj\.")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SIZES = {  # ours -> transformers
    "emb_dim": "d_model",
    "num_queries": "num_queries",
    "nhead": "encoder_attention_heads",
    "enc_layers": "encoder_layers",
    "dec_layers": "decoder_layers",
    "dim_feedforward": "encoder_ffn_dim",
}


class Place(NamedTuple):
    """Where a tensor of `transformers` stands in the official DETR.

    Args:
        name: of the official tensor.
        part: which third of it, query, key or value; None for all of it.
    """

    name: str
    part: int | None


def official_place(name: str) -> Place:
    """The place of a tensor of `DetrForObjectDetection`."""
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    name = STAGE.sub(lambda m: f"body.layer{int(m[1]) + 1}.{m[2]}.", name)
    name = BLOCK.sub(lambda m: f".{'conv' if m[2][0] == 'c' else 'bn'}{int(m[1]) + 1}.", name)
    if projection := PROJECTION.search(name):
        return Place(PROJECTION.sub(".in_proj_", name), "qkv".index(projection[1]))
    return Place(name, None)


def official_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames tensors or gradients of `DetrForObjectDetection`; joins query, key and value."""
    parts: dict[str, dict[int | None, Tensor]] = {}
    for name, tensor in tensors.items():
        place = official_place(name)
        parts.setdefault(place.name, {})[place.part] = tensor
    return {
        name: found[None] if None in found else torch.cat([found[i] for i in sorted(found)])
        for name, found in parts.items()
    }


class FolderContent(NamedTuple):
    """What a folder of `DetrForObjectDetection` holds.

    Args:
        state_dict: the weights under their official names.
        sizes: of the model, for `build`.
        classes: the name of each label.
        short_side: pixels that an image's shorter side is resized to.
    """

    state_dict: dict[str, Tensor]
    sizes: dict[str, Any]
    classes: tuple[str, ...]
    short_side: int


def read_folder(folder: Path) -> FolderContent:
    """Reads a folder that `transformers` has written.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: it is no DETR.
    """
    files = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not files or not (folder / "config.json").is_file():
        expected = f"config.json and {' or '.join(WEIGHTS)}"
        raise FileNotFoundError(f"{folder}: expected {expected}")
    try:
        config = read_json(folder / "config.json")
        if config["model_type"] != "detr":
            raise ValueError(f"expected a model of the type detr, found {config['model_type']}")
        state = read_weights(files[0])
        sizes = {
            "backbone": backbone_name(state),
            "dilation": bool(config.get("dilation", False)),
            **{ours: config[theirs] for ours, theirs in SIZES.items()},
        }
        shapes = {name: tensor.shape for name, tensor in state.items()}
        checked({"kind": "full", **sizes}, shapes, folder)
        sizes["num_classes"] = len(state["class_embed.bias"]) - 1
        labels = config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})  # what is not written
        names = [labels.get(str(i), "N/A") for i in range(sizes["num_classes"])]
        check_class_names(names, f"{folder}: classes")
        side = read_side(folder / "preprocessor_config.json")
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error, 300)}"
        raise ValueError(f"{folder}: expected a DETR of transformers: {reason}") from error
    return FolderContent(state, sizes, tuple(names), side)


def read_side(file: Path) -> int:
    """The shorter side that an image processor resizes to, or DETR's own."""
    if not file.is_file():
        return FULL_SIDE
    size = read_json(file).get("size", {})
    side = size.get("shortest_edge", FULL_SIDE) if isinstance(size, dict) else size
    check_side(side, f"{file}: short_side")
    return side


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors of a file under their official names."""
    plain_file(file)
    tensors = load_file(file) if file.suffix == ".safetensors" else read_pickle(file)
    official = official_names(tensors)
    return {k: v for k, v in official.items() if not k.endswith("num_batches_tracked")}


def backbone_name(state_dict: Mapping[str, Tensor]) -> str:
    """Which torchvision ResNet has so many blocks in its third stage."""
    blocks = len({name.split(".")[4] for name in state_dict if ".body.layer3." in name})
    if blocks not in BLOCKS:
        raise ValueError(
            f"backbone: expected a ResNet-50 or -101, found {blocks} blocks in stage 3"
        )
    return BLOCKS[blocks]


def write_folder(model: Step8, classes: tuple[str, ...], short_side: int, folder: Path) -> None:
    """Writes a Step8 so that `transformers.DetrForObjectDetection.from_pretrained` loads it.

    Args:
        model: one that official weights were loaded into, however it was trained on.
        classes: the name of each label.
        short_side: pixels that an image's shorter side is resized to.
        folder: made where it is missing.

    Raises:
        ValueError: `transformers` has no place for a part of the model, or is not installed.
        OSError: the folder cannot be written; what was there stays.
    """
    transformers = needed("transformers", "huggingface")
    check_folder(folder)
    check_has_only_official_parts(model)
    state = {official_name(name): tensor for name, tensor in model.state_dict().items()}
    target = transformers.DetrForObjectDetection(folder_config(sizes_of(model), classes))
    renamed = {}
    for name, tensor in target.state_dict().items():
        place = official_place(name)
        whole = state.get(place.name, tensor)  # theirs: how many batches a norm has seen
        renamed[name] = whole if place.part is None else whole.chunk(3)[place.part]
    target.load_state_dict(renamed)
    size = {"shortest_edge": short_side, "longest_edge": longest_for(short_side)}
    save_parts([target, transformers.DetrImageProcessor(size=size)], folder)


def save_parts(parts: Sequence[Any], folder: Path) -> None:
    """Saves parts of `transformers` into a folder, once all of them are written."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=folder) as work:
            for part in parts:
                part.save_pretrained(work)
            for file in Path(work).iterdir():
                file.replace(folder / file.name)
    except SafetensorError as error:
        raise OSError(f"{folder}: could not be written: {error}") from error


def folder_config(sizes: Mapping[str, Any], classes: tuple[str, ...]):
    """The `transformers.DetrConfig` of a model with such `sizes_of` and classes."""
    from transformers import DetrConfig

    return DetrConfig(
        use_timm_backbone=False,
        backbone_config=backbone_config(DEPTHS[sizes["backbone"]]),
        **{theirs: sizes[ours] for ours, theirs in SIZES.items()},
        decoder_attention_heads=sizes["nhead"],
        decoder_ffn_dim=sizes["dim_feedforward"],
        id2label=dict(enumerate(classes)),
        label2id={name: i for i, name in enumerate(classes)},
    )


def backbone_config(depths: list[int], layer_type: str = "bottleneck"):
    """The `transformers.ResNetConfig` of a torchvision ResNet; `layer_type` may also be "basic"."""
    from transformers import ResNetConfig

    widths = {"bottleneck": [256, 512, 1024, 2048], "basic": [64, 128, 256, 512]}
    return ResNetConfig(
        embedding_size=64,
        hidden_sizes=widths[layer_type],
        depths=depths,
        layer_type=layer_type,
        out_features=["stage4"],
    )


def check_has_only_official_parts(model: Step8) -> None:
    """Refuses a model that does what the DETR of `transformers` cannot."""
    sizes, output = sizes_of(model), model.fpn.output["p5"]
    identity = nn.init.dirac_(torch.empty_like(output.weight))
    plain = torch.equal(output.weight, identity) and not output.bias.any()
    if sizes["kind"] != "full" or not plain or model.queries.any():
        raise ValueError(
            "model: expected one that official weights were loaded into, whose 3x3 convolution of "
            "the pyramid is the identity and whose content queries are zeros"
        )
    if sizes["dilation"]:
        raise ValueError("model: expected no dilation, which the backbone of transformers lacks")
