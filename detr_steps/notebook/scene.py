"""The scene of the series: three outlines that every notebook looks at, two of one class."""

import torch
from torch import Tensor

from ..training.scenes import Scenes
from .drawing import BLUE, GREEN, ORANGE

INDEX = 459  # of the test scenes, which no model of the package is trained on
NAMES = ("ring", "triangle A", "triangle B")  # A is the left one
COLOURS = (BLUE, ORANGE, GREEN)  # of each of them, in all pictures


def load_scene() -> tuple[Tensor, dict[str, Tensor]]:
    """The scene as an image [1, 3, 128, 128], normalised as DETR does, and its target.

    The target has labels [3] and boxes [3, 4] as (cx, cy, w, h) in 0..1, in the order of `NAMES`.
    """
    image, target = Scenes(INDEX + 1, "test")[INDEX]
    return image[None], {name: target[name] for name in ("labels", "boxes")}


def scene_outlines() -> Tensor:
    """Which pixels belong to the outline of each object, bool [3, 128, 128]."""
    scenes = Scenes(INDEX + 1, "test")
    _, labels, boxes = scenes.draw(INDEX)
    return torch.from_numpy(scenes.outlines(labels, boxes))
