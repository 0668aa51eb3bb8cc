"""Trained models by name or file: what `detect` and `evaluate` load."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from ..inference import detections
from ..official import load_official
from ..step8_set_loss import Step8
from .checkpoints import load_weights, save_weights
from .normalisation import prepare
from .small import small_detr

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
OFFICIAL_SIZES = {"num_classes": 91, "dim_feedforward": 2048, "cost_class": 1.0, "w_class": 1.0}


@dataclass(frozen=True)
class Detector:
    """A trained Step8 with what is needed to use it.

    Args:
        model: in evaluation mode.
        classes: the name of each label.
        short_side: the length in pixels that an image's shorter side is resized to.
        longest: the most pixels of its longer side.
    """

    model: Step8
    classes: tuple[str, ...]
    short_side: int
    longest: int

    def prepare(self, picture: Image.Image) -> Tensor:
        """A picture -> image [1, 3, H, W], resized and normalised as in training."""
        return prepare(picture, self.short_side, self.longest)

    @torch.no_grad()
    def find(self, picture: Image.Image, threshold: float) -> dict[str, Tensor]:
        """Scores [K], labels [K] and corners [K, 4] in the picture's pixels, best first."""
        outputs = self.model(self.prepare(picture))
        return detections(outputs, [(picture.height, picture.width)], threshold)[0]


def save_detector(
    model: Step8, path: Path, classes: tuple[str, ...], short_side: int, notes: Mapping[str, str]
) -> None:
    """Writes the weights of a small model with all that `load_detector` needs to use it."""
    metadata = {
        "model": "small",
        "classes": json.dumps(classes),
        "short_side": str(short_side),
        "num_queries": str(len(model.queries)),
    }
    save_weights(model, path, metadata | dict(notes))


def load_detector(weights: str | Path = "shipped", url: str = OFFICIAL_URL) -> Detector:
    """Loads a detector.

    Args:
        weights: "shipped", "official", "official-dc5", "official-r101", "official-r101-dc5", or a
            file: one that training wrote, or an official one.
        url: where the official files are fetched from.

    Raises:
        FileNotFoundError: there is no such file or name.
        ConnectionError: an official file could not be fetched; says where to put it by hand.
        ValueError: the file is broken, or of another model.
    """
    if str(weights) in OFFICIAL:
        return official_detector(str(weights), fetch_official(str(weights), url))
    path = SHIPPED if str(weights) == "shipped" else Path(weights)
    if not path.is_file():
        names = ", ".join(["shipped", *OFFICIAL])
        raise FileNotFoundError(f"weights: expected one of {names}, or a file, found {weights}")
    for name, (file, _) in OFFICIAL.items():
        if path.name == file:
            return official_detector(name, path)
    return small_detector(path)


def small_detector(path: Path) -> Detector:
    """A small model from a file that `save_detector` wrote."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a complete safetensors file: {error}") from error
    if metadata.get("model") != "small":
        raise ValueError(f"{path}: expected weights that this program trained, found others")
    classes = tuple(json.loads(metadata["classes"]))
    queries = int(metadata.get("num_queries", 16))
    model = small_detr(len(classes), num_queries=queries)
    load_weights(model, path)
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: expected finite weights, found NaN or infinity in {name}")
    side = int(metadata["short_side"])
    return Detector(model.eval(), classes, side, 2 * side)


def start_from(model: Step8, classes: tuple[str, ...], weights: str | Path) -> list[str]:
    """Puts trained weights into a small model, where they fit.

    With other classes its class head stays as it is, with more or fewer queries these stay.

    Returns:
        The names of the parameters that stay as they are.

    Raises:
        FileNotFoundError, ValueError: as `load_detector`, or the weights are of a larger model.
    """
    if str(weights) in OFFICIAL:
        raise ValueError(f"weights: expected those of a small model to start from, found {weights}")
    detector = load_detector(weights)
    state, own = detector.model.state_dict(), model.state_dict()
    kept = {
        name
        for name in own
        if name in ("queries", "query_pos") and own[name].shape != state[name].shape
    }
    if detector.classes != tuple(classes):
        kept |= {name for name in own if "class_head" in name}
    try:
        model.load_state_dict({k: v for k, v in state.items() if k not in kept}, strict=False)
    except RuntimeError as error:
        raise ValueError(f"{weights}: expected weights of a small model: {error}") from error
    return sorted(kept)


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
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if not digest.startswith(hash_prefix(file)):
        raise ValueError(
            f"{path}: expected the official file, whose SHA-256 starts with {hash_prefix(file)}, "
            f"found {digest[:8]}; delete it and fetch it again"
        )
    model = Step8(**OFFICIAL_SIZES, **arguments)
    load_official(model, torch.load(path, map_location="cpu", weights_only=True))
    classes = tuple(FasterRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"])
    return Detector(model.eval(), classes, 800, 1333)
