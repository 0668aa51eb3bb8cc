"""Trained models by name or file: what `detect` and `evaluate` load."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from ..inference import detections, for_inference
from ..inference.exported import read_notes, read_onnx
from ..official import load_official, match_names
from ..reading import check_class_names, parse_json, plain_file
from ..step8_set_loss import Step8
from .checkpoints import check_weights, load_weights, read_header, read_pickle, save_weights
from .coco import NO_CLASSES
from .huggingface import read_folder
from .normalisation import FULL_SIDE, longest_for, prepare
from .scenes import Scenes
from .sizes import SIDES, build, checked, outline, sizes_of

SHIPPED = Path(__file__).parent / "shipped" / "scenes.safetensors"
OFFICIAL_URL = "https://dl.fbaipublicfiles.com/detr/"
OFFICIAL = {  # name: (file, with the first digits of its hash, and Step8's arguments)
    "official": ("detr-r50-e632da11.pth", {}),
    "official-dc5": ("detr-r50-dc5-f0fb7ef5.pth", {"dilation": True}),
    "official-r101": ("detr-r101-2c7b67e5.pth", {"backbone": "resnet101"}),
    "official-r101-dc5": (
        "detr-r101-dc5-a2e86def.pth",
        {"backbone": "resnet101", "dilation": True},
    ),
}


@dataclass(frozen=True)
class Detector:
    """A trained Step8 with what is needed to use it.

    Args:
        model: in evaluation mode; from a file of ONNX one that is called alike, and only detects.
        classes: the name of each label.
        short_side: the length in pixels that an image's shorter side is resized to.
    """

    model: nn.Module
    classes: tuple[str, ...]
    short_side: int

    def ready(self) -> "Detector":
        """The same, whose model only detects, faster."""
        if isinstance(self.model, Step8):
            return replace(self, model=for_inference(self.model))
        return self

    def prepare(self, picture: Image.Image) -> Tensor:
        """A picture -> image [1, 3, H, W], resized and normalised as in training."""
        return prepare(picture, self.short_side, longest_for(self.short_side))

    @torch.no_grad()
    def find(self, picture: Image.Image, threshold: float) -> dict[str, Tensor]:
        """Scores [K], labels [K] and corners [K, 4] in the picture's pixels, best first."""
        outputs = self.model(self.prepare(picture))
        return detections(outputs, [(picture.height, picture.width)], threshold)[0]


def describe_classes(classes: Sequence[str]) -> str:
    """Names the classes that weights know, after a warning where those are drawn shapes alone."""
    names = f"classes known: {', '.join(name for name in classes if name not in NO_CLASSES)}"
    if not set(classes) <= set(Scenes.classes):
        return names
    return (
        "These weights know only drawn shapes, and see them in photographs, too. For a photograph "
        "add --weights official: COCO's 80 classes, 160 MB, fetched once.\n" + names
    )


def save_detector(
    model: Step8, path: Path, classes: tuple[str, ...], short_side: int, notes: Mapping[str, str]
) -> None:
    """Writes the weights of a model with all that `load_detector` needs to use it."""
    sizes = sizes_of(model)
    metadata = {
        "model": sizes["kind"],
        "sizes": json.dumps(sizes),
        "classes": json.dumps(classes),
        "short_side": str(short_side),
    }
    save_weights(model, path, metadata | dict(notes))


def load_detector(weights: str | Path = "shipped", url: str = OFFICIAL_URL) -> Detector:
    """Loads a detector.

    Args:
        weights: "shipped", "official", "official-dc5", "official-r101", "official-r101-dc5", a
            file that training wrote, an official one, one of ONNX that `export` wrote, or a folder
            that `transformers` wrote.
        url: where the official files are fetched from.

    Raises:
        FileNotFoundError: there is no such file or name.
        ConnectionError: an official file could not be fetched; says where to put it by hand.
        ValueError: the file is broken, or of another model.
    """
    if str(weights) in OFFICIAL:
        return official_detector(str(weights), fetch_official(str(weights), url))
    path = SHIPPED if str(weights) == "shipped" else Path(weights)
    if path.is_dir():
        return folder_detector(path)
    if not path.is_file():
        names = ", ".join(["shipped", *OFFICIAL])
        raise FileNotFoundError(
            f"weights: expected one of {names}, a file or a folder, found {weights}"
        )
    for name, (file, _) in OFFICIAL.items():
        if path.name == file:
            return official_detector(name, path)
    if path.suffix == ".onnx":
        return Detector(*read_onnx(path))
    return trained_detector(path)


def folder_detector(folder: Path) -> Detector:
    """Step8 with the weights of a folder that `transformers` wrote."""
    content = read_folder(folder)
    try:
        match_names(outline(kind="full", **content.sizes), content.state_dict)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    model = build("full", **content.sizes)
    load_official(model, content.state_dict)
    return Detector(model.eval(), content.classes, content.short_side)


def trained_detector(path: Path) -> Detector:
    """A model from a file that `save_detector` wrote."""
    shapes, metadata = read_header(path)
    if metadata.get("model") not in SIDES:
        raise ValueError(f"{path}: expected weights that this program trained, found others")
    classes, short_side = read_notes(metadata, path)
    sizes = {"kind": "small", "num_classes": len(classes)}  # where the file does not say
    if "sizes" in metadata:
        sizes = parse_json(metadata["sizes"], f"{path}: sizes")
    sizes = checked(sizes, shapes, path)
    check_class_names(classes, f"{path}: classes", sizes["num_classes"])
    check_weights(outline(**sizes), shapes, path)
    model = build(**sizes)
    load_weights(model, path)
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: expected finite weights, found NaN or infinity in {name}")
    return Detector(model.eval(), classes, short_side)


def first_model(
    start: Detector | None, classes: tuple[str, ...], queries: int, kind: str = "small"
) -> tuple[Step8, list[str]]:
    """The model that training begins with: a new one, or one with the weights of another.

    Args:
        start: whose weights are taken, in all that fits.
        classes: of the data. What the class head of `start` knows of them is taken by name.
        queries: the least number of them. If `start` has fewer, some are added.
        kind: of a new one. The backbone of a "full" one comes from ImageNet.

    Returns:
        The model, and the names of the parameters of `start` that it does not have, in whole or in
        part.
    """
    if start is None:
        return new_model(kind, len(classes), queries), []
    state, known = start.model.state_dict(), len(start.model.queries)
    sizes = sizes_of(start.model)
    model = build(**sizes | {"num_classes": len(classes), "num_queries": max(queries, known)})
    new = []
    if start.classes != tuple(classes):
        before = [*start.classes, None]  # the last row of the head is that of "no object"
        rows = {i: before.index(name) for i, name in enumerate([*classes, None]) if name in before}
        head = [name for name in state if name.startswith("class_head.")]
        for name in head:
            model.get_parameter(name).data[list(rows)] = state.pop(name)[list(rows.values())]
        new += head if len(rows) <= len(classes) else []
    if queries > known:
        new += ["queries", "query_pos"]
        for name in ("queries", "query_pos"):
            model.get_parameter(name).data[:known] = state[name]
    model.load_state_dict({k: v for k, v in state.items() if k not in new}, strict=False)
    if sizes["kind"] == "full":  # as DETR trains it; batch norm is frozen already
        model.backbone[:5].requires_grad_(False)
    return model, [name for name in new if model.get_parameter(name).requires_grad]


def new_model(kind: str, classes: int, queries: int) -> Step8:
    """A model that has learnt nothing, but for a "full" one's backbone, which DETR starts with.

    Raises:
        ConnectionError: torchvision could not fetch its weights.
    """
    sizes = {"num_classes": classes, "num_queries": queries}
    if kind != "full":
        return build(kind, **sizes)
    try:
        return build(kind, **sizes, pretrained=True, trainable_layers=3)
    except OSError as error:
        raise ConnectionError(
            f"model: torchvision could not fetch the weights of its ResNet-50: {error}"
        ) from error


def fetch_official(name: str, url: str = OFFICIAL_URL) -> Path:
    """Fetches an official checkpoint into torch.hub's cache, unless it is there; its path."""
    file, _ = OFFICIAL[name]
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url + file, str(path), hash_prefix(file))
        except RuntimeError as error:
            raise ValueError(f"{url}{file}: expected the official file: {error}") from error
        except OSError as error:
            raise ConnectionError(
                f"weights: could not fetch {url}{file}: {error}. Fetch it by hand and put it at "
                f"{path}, or give the file's path"
            ) from error
    return path


def hash_prefix(file: str) -> str:
    """The first digits of an official file's SHA-256, which its name ends in."""
    return Path(file).stem.rpartition("-")[2]


def official_detector(name: str, path: Path) -> Detector:
    """Step8 with the weights of an official file, whose hash is checked."""
    file, arguments = OFFICIAL[name]
    with plain_file(path).open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if not digest.startswith(hash_prefix(file)):
        raise ValueError(
            f"{path}: expected the official file, whose SHA-256 starts with {hash_prefix(file)}, "
            f"found {digest[:8]}; delete it and fetch it again"
        )
    model = build("full", **arguments)
    load_official(model, read_pickle(path))
    classes = tuple(FasterRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"])
    return Detector(model.eval(), classes, FULL_SIDE)
