"""Scenes to learn from, without a download: line drawings on a textured ground.

All objects of a scene are drawn with the same pen, so that no colour tells them apart. A scene is
drawn from its seed and index alone, with whole numbers and the four operations of arithmetic, so
that it is the same on every machine.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2.functional import normalize

from .normalisation import IMAGENET_MEAN, IMAGENET_STD

CLASSES = ("square", "diamond", "triangle", "cross", "ring", "star")
SPLITS = {
    "train": 0,
    "choose": 1,
    "test": 2,
}  # "choose" is for choosing weights, "test" for reporting
SIDE = 128  # of a scene, in pixels
LINE = 4  # width of the pen, in pixels
SHORTEST, LONGEST = 0.15, 0.7  # side of an object, as a part of the image's
MAX_IOU = 0.5  # of two objects
ATTEMPTS = 30  # to find room for the objects of a scene
MIN_CONTRAST = 240  # of the pen to the ground where it is lightest: summed over red, green, blue
KEPT = 2**15  # scenes whose plan a data set keeps: 4 KiB each, 128 MiB together

# corners of the shapes in the square from -1 to 1; the ring has none
CORNERS = {
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "diamond": [(0, -1), (1, 0), (0, 1), (-1, 0)],
    "triangle": [(0, -1), (1, 1), (-1, 1)],
    "cross": [
        (-0.4, -1), (0.4, -1), (0.4, -0.4), (1, -0.4), (1, 0.4), (0.4, 0.4),
        (0.4, 1), (-0.4, 1), (-0.4, 0.4), (-1, 0.4), (-1, -0.4), (-0.4, -0.4),
    ],
    "star": [
        (0, -1), (0.236, -0.236), (1, -0.236), (0.382, 0.236), (0.618, 1),
        (0, 0.528), (-0.618, 1), (-0.382, 0.236), (-1, -0.236), (-0.236, -0.236),
    ],
}  # fmt: skip


def near_polygon(x: np.ndarray, y: np.ndarray, corners: np.ndarray, reach: float) -> np.ndarray:
    """Which points lie within `reach` of a side of the polygon with corners [K, 2]."""
    near = np.zeros(np.broadcast(x, y).shape, dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        dx, dy = x2 - x1, y2 - y1
        along = ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy)
        along = along.clip(0, 1)  # of the nearest point, from one end of the side to the other
        across_x, across_y = x - x1 - along * dx, y - y1 - along * dy
        near |= across_x * across_x + across_y * across_y <= reach * reach
    return near


def outline(name: str, w: float, h: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points lie on the outline of a shape that fills the box from (0, 0) to (w, h)."""
    half_w, half_h = w / 2, h / 2
    x, y = x - half_w, y - half_h
    inner_w, inner_h = half_w - LINE, half_h - LINE
    if name == "ring":
        outside_hole = (x * x) / (inner_w * inner_w) + (y * y) / (inner_h * inner_h) >= 1
        return ((x * x) / (half_w * half_w) + (y * y) / (half_h * half_h) <= 1) & outside_hole
    middle = half_w - LINE / 2, half_h - LINE / 2  # the middle of the line
    return near_polygon(x, y, np.array(CORNERS[name]) * middle, LINE / 2)


def texture(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How light a plain, striped, checked or shaded ground is: [H, W] in 0..1."""
    kind, period = rng.integers(4), rng.integers(3, 9)
    darkest = 0.75 + 0.2 * rng.random()
    if kind == 0:
        return np.ones(np.broadcast(x, y).shape)
    if kind == 1:
        slope = rng.integers(-2, 3)
        return np.where((x + slope * y) // period % 2 == 0, 1.0, darkest)
    if kind == 2:
        return np.where((x // period + y // period) % 2 == 0, 1.0, darkest)
    return darkest + (1 - darkest) * (x + y) / (x + y).max()


def random_side(rng: np.random.Generator) -> float:
    """A side as a part of the image's, log-uniform between `SHORTEST` and `LONGEST`."""
    while True:  # a logarithm is not the same on every machine: draw evenly, keep short ones more
        side = SHORTEST + (LONGEST - SHORTEST) * rng.random()
        if rng.random() * side < SHORTEST:
            return side


def random_box(rng: np.random.Generator, size: int) -> np.ndarray:
    """A box [4] (left, top, w, h) in pixels, anywhere in a scene."""
    w, h = random_side(rng) * size, random_side(rng) * size
    return np.array([(size - w) * rng.random(), (size - h) * rng.random(), w, h])


def iou(box: np.ndarray, other: np.ndarray) -> float:
    """IoU of two boxes [4] (left, top, w, h)."""
    start = np.maximum(box[:2], other[:2])
    end = np.minimum(box[:2] + box[2:], other[:2] + other[2:])
    both = (end - start).clip(min=0).prod()
    return both / (box[2:].prod() + other[2:].prod() - both)


class Plan(NamedTuple):
    """A scene but for its texture and noise, which are drawn fast and take much memory.

    Args:
        labels, boxes: as `Scenes.draw` returns them.
        ground, pen: their colours [3].
        drawn: the pixels that the pen covers, packed as bits.
        state: of the random numbers from there on.
    """

    labels: np.ndarray
    boxes: np.ndarray
    ground: np.ndarray
    pen: np.ndarray
    drawn: np.ndarray
    state: dict[str, Any]


class Scenes(Dataset):
    """Deterministic scenes with 1 to 6 objects.

    Args:
        count: how many; scene i is the same whatever the count.
        split: "train", "choose" or "test": disjoint by seed.
        seed: another seed gives other scenes.
        size: height and width in pixels.
        max_objects: the most objects of a scene.

    Item i is (image [3, size, size], target): normalised as DETR does, labels int64 [M] and boxes
    [M, 4] as (cx, cy, w, h) in 0..1; `size` is the image's height and width. What takes long to
    draw is kept in memory, of the first `KEPT` scenes that are asked for. Objects count as large
    from the area of a square of `large` pixels on, which is the receptive field of the small
    model's tokens.
    """

    classes = CLASSES
    large = 67

    def __init__(
        self,
        count: int,
        split: str = "train",
        seed: int = 0,
        size: int = SIDE,
        max_objects: int = 6,
    ):
        if split not in SPLITS:
            raise ValueError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
        self.count, self.split, self.seed, self.size = count, split, seed, size
        self.max_objects, self.short_side = max_objects, size
        self.plans: dict[int, Plan] = {}

    @property
    def identity(self) -> str:
        """What decides the scenes, for a checkpoint."""
        objects = f"1 to {self.max_objects} objects, {self.size} pixels"
        return f"{self.count} scenes, split {self.split}, seed {self.seed}, {objects}"

    @property
    def source(self) -> tuple:
        """Where the scenes come from: those of another source are others."""
        return self.split, self.seed

    def plain(self, most: int) -> "Scenes":
        """The first of them; they have no random changes."""
        count = min(most, self.count)
        return Scenes(count, self.split, self.seed, self.size, self.max_objects)

    def __len__(self) -> int:
        return self.count

    def draw(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scene `index`: picture uint8 [size, size, 3], labels [M] and boxes [M, 4] in pixels.

        Boxes are (left, top, w, h), as COCO has them.
        """
        return self.paint(self.plan(index))

    def plan(self, index: int) -> Plan:
        """What is decided first of scene `index`, and takes long to draw."""
        if not 0 <= index < self.count:
            raise IndexError(f"index: expected 0..{self.count - 1}, found {index}")
        rng = np.random.default_rng([self.seed, SPLITS[self.split], index])
        ground = pen = 40 + 176 * rng.random(3)
        while np.abs(pen - ground).sum() < MIN_CONTRAST:
            pen = 255 * rng.random(3)
        wanted = rng.integers(1, self.max_objects + 1)
        labels, boxes = [], []
        for _ in range(ATTEMPTS):
            box = random_box(rng, self.size)
            if len(boxes) < wanted and all(iou(box, other) <= MAX_IOU for other in boxes):
                labels.append(int(rng.integers(len(CLASSES))))
                boxes.append(box)
        drawn = np.packbits(self.outlines(labels, boxes).any(0))
        state = rng.bit_generator.state
        return Plan(np.array(labels), np.array(boxes), ground, pen, drawn, state)

    def paint(self, plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A planned scene as `draw` returns it."""
        rng = np.random.default_rng()
        rng.bit_generator.state = plan.state
        y, x = np.ogrid[: self.size, : self.size]
        drawn = np.unpackbits(plan.drawn, count=self.size**2).reshape(self.size, self.size)
        picture = texture(rng, x, y)[..., None] * plan.ground
        picture[drawn.astype(bool)] = plan.pen
        picture += 16 * (rng.random(picture.shape) - 0.5)
        return picture.clip(0, 255, out=picture).astype(np.uint8), plan.labels, plan.boxes

    def outlines(self, labels: Sequence[int], boxes: Sequence[np.ndarray]) -> np.ndarray:
        """Which pixels the outline of each object covers [M, size, size]; boxes as in `draw`."""
        masks = np.zeros((len(labels), self.size, self.size), dtype=bool)
        for mask, label, (left, top, w, h) in zip(masks, labels, boxes, strict=True):
            x = np.arange(int(left), min(int(left + w) + 1, self.size))
            y = np.arange(int(top), min(int(top + h) + 1, self.size))[:, None]
            inside = outline(CLASSES[label], w, h, x + 0.5 - left, y + 0.5 - top)
            mask[y[0, 0] : y[-1, 0] + 1, x[0] : x[-1] + 1] = inside
        return masks

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        plan = self.plans.get(index) or self.plan(index)
        if len(self.plans) < KEPT:
            self.plans[index] = plan
        picture, labels, boxes = self.paint(plan)
        image = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
        image = normalize(image, IMAGENET_MEAN, IMAGENET_STD)
        corner, sides = boxes[:, :2], boxes[:, 2:]
        boxes = np.concatenate((corner + sides / 2, sides), -1) / self.size
        labels, boxes = torch.from_numpy(labels), torch.from_numpy(boxes).float()
        size = torch.tensor([self.size, self.size])
        return image, {"labels": labels, "boxes": boxes, "size": size}
