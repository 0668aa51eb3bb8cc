"""The whole of DETR in one picture: `python -m detr_steps overview FILE.png` draws it."""

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from .drawing import BLUE, GREEN, ORANGE, PURPLE, VERMILLION, draw_boxes, draw_grid, draw_photo
from .photo import PHOTO_OBJECTS, load_photo

ALT = (
    "DETR from left to right: the photo goes through backbone and pyramid (step 0) to one map (1); "
    "its cells and their positions (3) go through the encoder (4) into memory; queries (2) with "
    "their positions (3) read the memory in the decoder (5), every layer (6); two heads "
    "(2) give a class and a box for each query; matching (7) pairs them with the objects, and the "
    "loss (8) follows."
)


def draw_part(axes: Axes, x: float, y: float, text: str, steps: str, colour: str) -> None:
    """Draws a box around (x, y) with its name, and the steps that build it as a badge."""
    style = {"boxstyle": "round,pad=0.02,rounding_size=0.12", "facecolor": "white"}
    axes.add_patch(
        FancyBboxPatch((x - 0.72, y - 0.42), 1.44, 0.84, edgecolor=colour, lw=2, **style)
    )
    axes.text(x, y - 0.08, text, ha="center", va="center", fontsize=10)
    badge = {"boxstyle": "round,pad=0.25", "facecolor": colour, "edgecolor": "none"}
    axes.text(x, y + 0.42, steps, ha="center", va="center", fontsize=8, color="white", bbox=badge)


def draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draws an arrow between two points."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "lw": 1.5, "color": "#444444"})


def overview() -> Figure:
    """The parts of Step8 as boxes, each with the step that adds it."""
    figure = plt.figure(figsize=(13, 3.9))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 13), ylim=(0, 3.9))
    axes.axis("off")
    draw_part(axes, 2.75, 2.6, "ResNet\n+ FPN", "step 0", BLUE)
    draw_part(axes, 4.65, 2.6, "one map\n$[B, D, H', W']$", "step 1", BLUE)
    draw_part(axes, 6.55, 2.6, "encoder", "step 4", GREEN)
    draw_part(axes, 8.45, 2.6, "decoder", "steps 5, 6", GREEN)
    draw_part(axes, 10.35, 2.6, "class head\nbox head", "step 2", ORANGE)
    draw_part(axes, 4.65, 0.9, "positions of\nthe cells", "step 3", PURPLE)
    draw_part(axes, 8.45, 0.9, "N queries and\ntheir positions", "steps 2, 3", PURPLE)
    draw_part(axes, 10.35, 0.9, "matching\nand loss", "steps 7, 8", VERMILLION)
    for x in (1.6, 3.5, 5.4, 7.3, 9.2):
        draw_arrow(axes, (x, 2.6), (x + 0.38, 2.6))
    draw_arrow(axes, (5.4, 1.05), (6.3, 2.15))
    draw_arrow(axes, (5.4, 0.8), (7.75, 2.15))
    draw_arrow(axes, (8.45, 1.52), (8.45, 2.15))
    draw_arrow(axes, (10.35, 2.15), (10.35, 1.52))
    draw_arrow(axes, (11.5, 1.2), (11.12, 1.05))
    axes.text(7.5, 3.08, "memory", ha="center", va="bottom", fontsize=8)
    axes.text(12.2, 0.62, "the objects of the image", ha="center", fontsize=9)
    axes.text(0.81, 0.82, "image", ha="center", fontsize=9)

    photo = load_photo()[0]
    left = figure.add_axes((0.005, 0.28, 0.115, 0.56))
    draw_photo(left, photo)
    draw_grid(left, photo, (24, 20))
    right = figure.add_axes((0.872, 0.25, 0.125, 0.62))
    draw_photo(right, photo)
    boxes = torch.tensor(list(PHOTO_OBJECTS.values()))
    draw_boxes(right, boxes, photo.shape[-2:], labels=list(PHOTO_OBJECTS))
    return figure
