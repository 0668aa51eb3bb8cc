"""The whole of DETR in one picture, to scale and with real numbers.

`python -m detr_steps overview FILE.png` draws it.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ..training.detectors import load_detector
from .drawing import BLUE, GREEN, ORANGE, PURPLE, VERMILLION, draw_boxes, draw_grid, draw_photo
from .scene import COLOURS, NAMES, load_scene

ALT = (
    "DETR from left to right, drawn to scale with the numbers of the trained small model. The "
    "scene of 128x128 pixels goes through the backbone and one branch of the pyramid (step 0) to "
    "one map of 16x16 cells (1). Its 256 cells are 256 tokens, columns of 64 numbers, and have 256 "
    "positions (3). The encoder (4) makes memory out of both. Sixteen object queries (2) and their "
    "positions (3) read the memory in the decoder (5, 6). Two heads (2) turn each into class "
    "probabilities and a box. "
    "Matching (7) gives each of the three objects to one query, and the loss (8) compares them."
)
WIDTH, HEIGHT = 13.0, 6.35  # inches
SCALE = 0.0165  # inches for one number


def overview() -> Figure:
    """Every array of a forward pass as a picture of its numbers, with the step that makes it."""
    numbers, (image, _) = forward_pass(), load_scene()
    figure = plt.figure(figsize=(WIDTH, HEIGHT))
    page = figure.add_axes((0, 0, 1, 1))
    page.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    page.axis("off")
    draw_scene(figure, page, image)
    for name, x, y, title, steps, colour in (
        ("tokens", 4.15, 4.75, "256 tokens: the cells of the map", "step 1", BLUE),
        ("positions", 4.15, 2.75, "256 positions of the cells", "step 3", PURPLE),
        ("memory", 4.15, 0.75, "memory: 256 encoded tokens", "step 4", GREEN),
        ("queries", 9.15, 4.75, "16 object\nqueries", "step 2", ORANGE),
        ("query_pos", 10.05, 4.75, "their\npositions", "step 3", PURPLE),
        ("hidden", 9.15, 2.1, "16 hidden\nstates", "steps 5, 6", GREEN),
        ("classes", 10.45, 2.9, "7 class\nprobabilities", "step 2", ORANGE),
        ("boxes", 10.45, 1.75, "4 numbers\nof the box", "step 2", ORANGE),
    ):
        draw_array(figure, page, numbers[name], (x, y), title, steps, colour)
    for start, end, text in (
        ((1.75, 5.3), (2.3, 5.3), ""),
        ((3.55, 5.3), (4.1, 5.3), ""),
        ((6.3, 2.7), (6.3, 2.2), "encoder, 3 layers: tokens attend to tokens"),
        ((8.45, 1.6), (9.1, 2.3), ""),
        (
            (9.75, 4.4),
            (9.45, 3.65),
            "decoder, 3 layers:\nqueries attend to queries,\nthen to the memory",
        ),
        ((9.5, 2.85), (10.38, 2.95), ""),
        ((9.5, 2.45), (10.38, 1.85), ""),
        ((10.8, 2.95), (11.35, 2.95), ""),
        ((11.15, 2.02), (11.38, 2.32), ""),
    ):
        draw_arrow(page, start, end, text)
    page.text(6.3, 4.4, "and", fontsize=11, ha="center", va="center")
    draw_answer(figure, page, image, numbers["boxes"], numbers["pairs"])
    return figure


@torch.no_grad()
def forward_pass() -> dict[str, Tensor]:
    """The arrays of the trained model on the scene of the series, a column for each vector."""
    model, (image, target) = load_detector("shipped").model, load_scene()
    context = model.encode(image)
    hidden = model.decode(context)[-1]  # [1, N, D]
    outputs = model.predict(hidden[None])
    ((query, index),) = model.match(outputs, [target])
    return {
        "tokens": context["features"][0].flatten(1),
        "positions": context["pos_emb"][0].flatten(1),
        "memory": context["mem"][0].T,
        "queries": model.queries.detach().T,
        "query_pos": model.query_pos.detach().T,
        "hidden": hidden[0].T,
        "classes": outputs["class_logits"][0].softmax(-1).T,
        "boxes": outputs["bbox_pred"][0].T,
        "pairs": torch.stack((query, index)),
    }


def draw_scene(figure: Figure, page: Axes, image: Tensor) -> None:
    """Draws the image with the cells of the map over it, and the map itself, at the left."""
    left = figure.add_axes((0.15 / WIDTH, 4.55 / HEIGHT, 1.5 / WIDTH, 1.5 / HEIGHT))
    draw_photo(left, image[0])
    page.text(0.9, 6.12, "image, 128x128 pixels", ha="center", fontsize=8.5)
    middle = figure.add_axes((2.35 / WIDTH, 4.7 / HEIGHT, 1.15 / WIDTH, 1.15 / HEIGHT))
    draw_photo(middle, image[0])
    draw_grid(middle, image[0], (16, 16))
    page.text(2.92, 5.95, "16x16 cells", ha="center", fontsize=8.5)
    badge(page, 2.03, 5.62, "step 0", BLUE)
    page.text(2.03, 4.98, "ResNet\n+ FPN", ha="center", va="center", fontsize=7.5)
    text = "One number is one dot.\nA vector is a column.\nAll arrays are to scale."
    page.text(0.2, 3.1, text, fontsize=9, color="#444444", linespacing=1.5)


def draw_array(
    figure: Figure,
    page: Axes,
    values: Tensor,
    corner: tuple[float, float],
    title: str,
    steps: str,
    colour: str,
) -> None:
    """Draws an array [rows, columns] with its lower left corner somewhere, in inches."""
    (rows, columns), (x, y) = values.shape, corner
    width, height = columns * SCALE, rows * SCALE
    axes = figure.add_axes((x / WIDTH, y / HEIGHT, width / WIDTH, height / HEIGHT))
    reach = values.abs().quantile(0.98).item()
    axes.imshow(values, cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto", interpolation="none")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=1.5)
    page.text(x, y + height + 0.06, title, fontsize=8.5, va="bottom", linespacing=1.1)
    if columns > 100:
        badge(page, x + width - 0.3, y + height + 0.14, steps, colour)
    else:
        badge(page, x + width / 2 + 0.05, y - 0.14, steps, colour)


def draw_answer(figure: Figure, page: Axes, image: Tensor, boxes: Tensor, pairs: Tensor) -> None:
    """Draws the matched boxes on the scene, and which query answers for which object."""
    axes = figure.add_axes((11.4 / WIDTH, 2.35 / HEIGHT, 1.45 / WIDTH, 1.45 / HEIGHT))
    draw_photo(axes, image[0])
    lines = []
    for query, index in pairs.T.tolist():
        draw_boxes(axes, boxes[:, [query]].T, (128, 128), COLOURS[index])
        lines.append(f"{NAMES[index]}: query {query}")
    page.text(12.12, 3.88, "one box per object", ha="center", fontsize=8.5)
    page.text(11.4, 2.2, "\n".join(lines), fontsize=8.5, va="top", linespacing=1.35)
    badge(page, 11.85, 1.3, "steps 7, 8", VERMILLION)
    page.text(11.4, 1.1, "matching, then the loss:\nclass + L1 + GIoU", fontsize=8.5, va="top")


def badge(page: Axes, x: float, y: float, text: str, colour: str) -> None:
    """Writes the step that makes a part, in its colour."""
    box = {"boxstyle": "round,pad=0.2", "facecolor": colour, "edgecolor": "none"}
    ink = "black" if colour in (ORANGE, PURPLE) else "white"  # what can be read on it
    page.text(x, y, text, ha="center", va="center", fontsize=7, color=ink, bbox=box)


def draw_arrow(page: Axes, start: tuple[float, float], end: tuple[float, float], text: str) -> None:
    """Draws an arrow between two points, with a word beside its middle."""
    style = {"arrowstyle": "-|>", "lw": 1.5, "color": "#444444"}
    page.annotate("", end, start, arrowprops=style)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    page.text(x + 0.12, y, text, fontsize=8.5, va="center", linespacing=1.2)
