"""Scenes to learn from, without a download: coloured, textured shapes on a textured background.

A scene is drawn from its seed and index alone, with whole numbers and the four operations of
arithmetic, so that it is the same on every machine.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2.functional import normalize

from .normalisation import IMAGENET_MEAN, IMAGENET_STD

CLASSES = ("circle", "square", "triangle", "cross", "ring", "star")
SPLITS = {
    "train": 0,
    "choose": 1,
    "test": 2,
}  # "choose" is for choosing weights, "test" for reporting
MIN_VISIBLE = 0.9  # the part of every object that must stay in sight
ATTEMPTS = 30  # to find room for the objects of a scene
MIN_CONTRAST = 200  # to the ground, summed over red, green and blue; half of it to other objects

# five-pointed star around (0, 0) with radius 1: outer and inner corners, clockwise from the top
STAR = np.array(
    [
        (0.0, -1.0), (0.2245, -0.3090), (0.9511, -0.3090), (0.3633, 0.1180), (0.5878, 0.8090),
        (0.0, 0.3820), (-0.5878, 0.8090), (-0.3633, 0.1180), (-0.9511, -0.3090), (-0.2245, -0.3090),
    ]
)  # fmt: skip


def inside_polygon(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Which points lie inside of a polygon with corners [K, 2], by the even-odd rule."""
    inside = np.zeros(np.broadcast(x, y).shape, dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 != y2:
            crosses = ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
            inside ^= crosses
    return inside


def inside_shape(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points lie inside of a shape that fills the square from -1 to 1."""
    if name == "circle":
        return x * x + y * y <= 1
    if name == "ring":
        return (x * x + y * y <= 1) & (x * x + y * y >= 0.36)
    if name == "cross":
        return (np.abs(x) <= 0.36) & (np.abs(y) <= 1) | (np.abs(y) <= 0.36) & (np.abs(x) <= 1)
    if name == "triangle":
        return (y <= 1) & (y + 1 >= 2 * np.abs(x))
    if name == "star":
        lowest, highest = STAR[:, 1].min(), STAR[:, 1].max()
        middle, half = (highest + lowest) / 2, (highest - lowest) / 2
        return inside_polygon(x * STAR[:, 0].max(), y * half + middle, STAR)
    return np.maximum(np.abs(x), np.abs(y)) <= 1


def texture(
    rng: np.random.Generator, colour: np.ndarray, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """A plain, striped, checked or shaded surface in one colour: [H, W, 3] in 0..255."""
    kind, period = rng.integers(4), rng.integers(3, 9)
    contrast = 0.7 + 0.25 * rng.random()
    if kind == 0:
        light = np.ones(np.broadcast(x, y).shape)
    elif kind == 1:
        slope = rng.integers(-2, 3)
        light = np.where((x + slope * y) // period % 2 == 0, 1.0, contrast)
    elif kind == 2:
        light = np.where((x // period + y // period) % 2 == 0, 1.0, contrast)
    else:
        light = contrast + (1 - contrast) * (x + y - (x + y).min()) / max(np.ptp(x + y), 1)
    return light[..., None] * colour


def contrast(colour: np.ndarray, other: np.ndarray) -> float:
    """How far two colours [3] are apart, summed over red, green and blue."""
    return np.abs(colour - other).sum()


class Shape(NamedTuple):
    """One object of a scene.

    Args:
        label: the index of its class.
        box: (cx, cy, w, h) in 0..1.
        colour: [3] in 0..255.
        mask: which pixels it takes [size, size].
    """

    label: int
    box: tuple[float, float, float, float]
    colour: np.ndarray
    mask: np.ndarray


def random_shape(
    rng: np.random.Generator, ground: np.ndarray, x: np.ndarray, y: np.ndarray
) -> Shape:
    """A shape anywhere in a scene, in a colour that stands out from the ground's."""
    size = len(x)
    label = int(rng.integers(len(CLASSES)))
    w = (0.18 + 0.32 * rng.random()) * size
    h = min(max(w * (0.75 + 0.5 * rng.random()), 0.18 * size), 0.5 * size)
    cx = w / 2 + (size - w) * rng.random()
    cy = h / 2 + (size - h) * rng.random()
    colour = ground
    while contrast(colour, ground) < MIN_CONTRAST:
        colour = 255 * rng.random(3)
    mask = inside_shape(CLASSES[label], (x + 0.5 - cx) / (w / 2), (y + 0.5 - cy) / (h / 2))
    return Shape(label, (cx / size, cy / size, w / size, h / size), colour, mask)


def hides_too_much(covered: np.ndarray, shapes: Sequence[Shape]) -> bool:
    """Whether one of the earlier shapes would be out of sight for more than its allowed part.

    Args:
        covered: for each pixel the index of the shape that is seen there [size, size].
        shapes: the earlier shapes.
    """
    return any(
        (covered == i).sum() < MIN_VISIBLE * shape.mask.sum() for i, shape in enumerate(shapes)
    )


class Scenes(Dataset):
    """Deterministic scenes with 1 to 5 objects.

    Args:
        count: how many; scene i is the same whatever the count.
        split: "train", "choose" or "test": disjoint by seed.
        seed: another seed gives other scenes.
        size: height and width in pixels.
        max_objects: the most objects of a scene.

    Item i is (image [3, size, size], target): normalised as DETR does, labels int64 [M] and boxes
    [M, 4] as (cx, cy, w, h) in 0..1 of the whole shape, also where another one hides a part; `size`
    is the image's height and width.
    """

    classes = CLASSES

    def __init__(
        self,
        count: int,
        split: str = "train",
        seed: int = 0,
        size: int = 96,
        max_objects: int = 5,
    ):
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
        self.count, self.split, self.seed, self.size = count, split, seed, size
        self.max_objects, self.short_side = max_objects, size
        self.drawn: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return self.count

    def draw(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scene `index`: picture uint8 [size, size, 3], labels [M], boxes [M, 4] in 0..1."""
        if not 0 <= index < self.count:
            raise IndexError(f"index: expected 0..{self.count - 1}, found {index}")
        rng = np.random.default_rng([self.seed, SPLITS[self.split], index])
        y, x = np.mgrid[: self.size, : self.size]
        ground = 40 + 176 * rng.random(3)
        picture = texture(rng, ground, x, y)
        shapes: list[Shape] = []
        owner = np.full((self.size, self.size), -1)  # of each pixel: the index of its shape
        wanted = rng.integers(1, self.max_objects + 1)
        for _ in range(ATTEMPTS):
            if len(shapes) == wanted:
                break
            shape = random_shape(rng, ground, x, y)
            if any(contrast(shape.colour, other.colour) < MIN_CONTRAST / 2 for other in shapes):
                continue
            covered = np.where(shape.mask, len(shapes), owner)
            if hides_too_much(covered, shapes):
                continue
            owner = covered
            surface = texture(rng, shape.colour, x, y)
            picture = np.where(shape.mask[..., None], surface, picture)
            shapes.append(shape)
        picture = picture + 16 * (rng.random(picture.shape) - 0.5)
        labels = np.array([shape.label for shape in shapes])
        boxes = np.array([shape.box for shape in shapes])
        return picture.clip(0, 255).astype(np.uint8), labels, boxes

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        if index not in self.drawn:
            self.drawn[index] = self.draw(index)
        picture, labels, boxes = self.drawn[index]
        image = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
        image = normalize(image, IMAGENET_MEAN, IMAGENET_STD)
        labels, boxes = torch.from_numpy(labels), torch.from_numpy(boxes).float()
        size = torch.tensor([self.size, self.size])
        return image, {"labels": labels, "boxes": boxes, "size": size}
