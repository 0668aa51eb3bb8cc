"""Pictures for the notebooks: every one is shown with a description in words.

Colours are those of Okabe and Ito (2008), which colour-blind people can tell apart.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from ..step7_hungarian_matching import box_cxcywh_to_xyxy
from ..training.normalisation import to_picture

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#999999"
DPI = 110  # of every picture


def show(figure: Figure, alt: str, caption: bool = True) -> None:
    """Displays a figure as PNG with `alt` as its alternative text, and as the caption below it.

    The caption is for JupyterLab, which does not pass alternative texts on to the browser.
    """
    png = BytesIO()
    figure.savefig(png, format="png", dpi=DPI, facecolor="white", bbox_inches="tight")
    plt.close(figure)
    data = {"image/png": png.getvalue(), "text/plain": f"[picture: {alt}]"}
    display(data, metadata={"image/png": {"alt": alt}}, raw=True)
    if caption:
        display(Markdown(f"*{alt}*"))


def panels(count: int, width: float = 3.0, height: float = 3.2, **options) -> tuple[Figure, list]:
    """A figure with `count` panels in one row, each `width` by `height` inches."""
    figure, axes = plt.subplots(
        1, count, figsize=(width * count, height), squeeze=False, layout="constrained", **options
    )
    return figure, list(axes[0])


def draw_photo(axes: Axes, image: Tensor, title: str = "") -> None:
    """Draws a normalised image [3, H, W] without axes."""
    axes.imshow(to_picture(image))
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def draw_heat(axes: Axes, values: Tensor, title: str = "", label: str = "", **options) -> None:
    """Draws a map or table [H', W'] as colours, dark for low and bright for high, with its scale.

    Args:
        axes: where.
        values: the numbers.
        title: above it.
        label: what the numbers are, beside the scale.
        **options: of `imshow`, such as `vmin` and `vmax`.
    """
    shown = axes.imshow(values.detach().float(), **{"cmap": "magma", **options})
    axes.figure.colorbar(shown, ax=axes, label=label, fraction=0.046, pad=0.03)
    axes.set_title(title, fontsize=10)
    axes.set(xticks=[], yticks=[])


def draw_cell(
    axes: Axes, image: Tensor, cells: Sequence[int], row: int, column: int, colour: str = SKY
) -> None:
    """Marks one cell of a map of `cells` (H', W') that lies over an image [3, H, W]."""
    height, width = (side / count for side, count in zip(image.shape[-2:], cells, strict=True))
    corner = (column * width - 0.5, row * height - 0.5)
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=2))


def draw_grid(axes: Axes, image: Tensor, cells: Sequence[int]) -> None:
    """Draws the borders of all cells of a map of `cells` (H', W') over an image [3, H, W]."""
    (height, width), (rows, columns) = image.shape[-2:], cells
    horizontal = [height * i / rows - 0.5 for i in range(rows + 1)]
    axes.hlines(horizontal, -0.5, width - 0.5, "w", lw=0.5)
    axes.vlines(
        [width * i / columns - 0.5 for i in range(columns + 1)], -0.5, height - 0.5, "w", lw=0.5
    )


def draw_boxes(
    axes: Axes,
    boxes: Tensor,
    size: Sequence[int],
    colour: str = VERMILLION,
    labels: Sequence[str] = (),
    **style,
) -> None:
    """Draws boxes [M, 4] as (cx, cy, w, h) in 0..1 on an image of `size` (H, W)."""
    height, width = size
    corners = box_cxcywh_to_xyxy(boxes.detach()) * torch.tensor([width, height, width, height])
    for i, (x1, y1, x2, y2) in enumerate(corners.tolist()):
        style = {"linewidth": 2, "fill": False, **style}
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, edgecolor=colour, **style))
        if i < len(labels):
            box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
            axes.text(x1, y1, labels[i], color="white", fontsize=8, va="bottom", bbox=box)


def draw_detections(
    axes: Axes,
    image: Tensor,
    found: Mapping[str, Tensor],
    classes: Sequence[str],
    threshold: float = 0.7,
) -> None:
    """Draws an image [3, H, W] with its detections: corners in pixels, class and score."""
    draw_photo(axes, image)
    for score, label, (x1, y1, x2, y2) in zip(
        found["scores"].tolist(), found["labels"].tolist(), found["boxes"].tolist(), strict=True
    ):
        if score >= threshold:
            style = {"fill": False, "edgecolor": VERMILLION, "linewidth": 1.5}
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **style))
            box = {"facecolor": VERMILLION, "edgecolor": "none", "pad": 1}
            name = f"{classes[label]} {score:.2f}"
            axes.text(x1, y1, name, color="white", fontsize=6.5, va="bottom", bbox=box)


def draw_matching(
    axes: Axes, objects: Tensor, names: Sequence[str], guesses: Tensor, pairs: tuple[Tensor, Tensor]
) -> None:
    """Draws objects [M, 4], guesses [N, 4] (boxes in 0..1), and a line for each matched pair."""
    draw_boxes(axes, objects, (1, 1), BLUE, labels=names)
    draw_boxes(axes, guesses, (1, 1), ORANGE, linestyle="--", linewidth=1.5)
    for i, (x, y, w, h) in enumerate(guesses.tolist()):
        axes.text(x + w / 2, y + h / 2, f"q{i}", fontsize=9, ha="right", va="bottom")
    for query, target in zip(*pairs, strict=True):
        (x1, y1), (x2, y2) = guesses[query, :2].tolist(), objects[target, :2].tolist()
        axes.plot([x1, x2], [y1, y2], "o-", color=VERMILLION, linewidth=3)
    axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[], title="boxes and matching")


def draw_costs(
    axes: Axes, cost: Tensor, names: Sequence[str], pairs: tuple[Tensor, Tensor]
) -> None:
    """Draws a table of costs [N, M] with the cells of the matched pairs framed."""
    axes.imshow(cost.numpy(), cmap="cividis", aspect="auto")
    middle = (cost.max() + cost.min()) / 2
    for i, row in enumerate(cost):
        for j, value in enumerate(row):
            colour = "white" if value <= middle else "black"
            axes.text(j, i, f"{value:.1f}", ha="center", va="center", color=colour)
    for query, target in zip(*pairs, strict=True):
        corner = (target - 0.48, query - 0.46)
        axes.add_patch(Rectangle(corner, 0.96, 0.92, fill=False, edgecolor=VERMILLION, linewidth=3))
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(cost)), [f"q{i}" for i in range(len(cost))])
    axes.set_title("cost of each pair")


def draw_chain(axes: Axes, names: Sequence[str], lit: int) -> None:
    """Draws a chain of named boxes: `lit` dark, those before it filled, the rest dashed."""
    for i, name in enumerate(names):
        face, text, line = ("white", "#555555", "--") if i > lit else ("#CFE3F1", "black", "-")
        if i == lit:
            face, text = BLUE, "white"
        axes.add_patch(
            FancyBboxPatch(
                (i, 0),
                0.78,
                0.8,
                boxstyle="round,pad=0.02,rounding_size=0.08",
                facecolor=face,
                edgecolor=BLUE,
                linestyle=line,
            )
        )
        weight = "bold" if i == lit else "normal"
        style = {"ha": "center", "va": "center", "color": text, "fontweight": weight}
        axes.text(i + 0.39, 0.58, f"Step {i}", fontsize=10, **style)
        axes.text(i + 0.39, 0.28, name, fontsize=8.5, **style)
        if i:
            axes.annotate("", (i - 0.03, 0.4), (i - 0.17, 0.4), arrowprops={"arrowstyle": "->"})
    axes.set(xlim=(-0.08, len(names) - 0.12), ylim=(-0.08, 0.88))
    axes.axis("off")


def draw_outlines(
    axes: Axes, outlines: Tensor, colours: Sequence[str], cells: Sequence[int] | None = None
) -> None:
    """Draws the borders of objects' outlines, each in its colour, over an image or a map of it.

    Args:
        axes: where the image or the map is drawn.
        outlines: which pixels belong to the outline of each object, bool [M, H, W].
        colours: one for each object.
        cells: rows and columns of the map (H', W'), None over the image itself.
    """
    height, width = outlines.shape[-2:]
    rows, columns = cells or (height, width)
    y = (torch.arange(height) + 0.5) * rows / height - 0.5
    x = (torch.arange(width) + 0.5) * columns / width - 0.5
    for outline, colour in zip(outlines, colours, strict=True):
        axes.contour(x, y, outline.float(), levels=[0.5], colors=[colour], linewidths=1.2)
