"""Pictures with controls: what the notebooks let the reader move.

Every `draw_...` makes a picture and its description from plain arguments; every `explore_...` puts
controls beside one. A frontend without a kernel shows the picture alone.
"""

import html
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from IPython.display import display
from IPython.utils.capture import RichOutput, capture_output
from ipywidgets import HTML, BoundedFloatText, FloatSlider, GridBox, IntSlider, Layout, ValueWidget
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from ..step7_hungarian_matching import (
    Pairs,
    Step7,
    box_cxcywh_to_xyxy,
    box_iou,
    generalized_box_iou,
)
from ..training.detectors import Detector
from .attention import recorded_attention
from .drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    draw_boxes,
    draw_cell,
    draw_costs,
    draw_grid,
    draw_heat,
    draw_photo,
    panels,
    show,
)

COORDINATES = ("cx", "cy", "w", "h")
LOSSES = {"1 - IoU": (GREEN, ":"), "1 - GIoU": (VERMILLION, "-"), "L1": (PURPLE, "--")}
OBJECTS = ("A", "B", "C")
COSTS = ((1, 2, 7), (2, 9, 4), (8, 8, 3), (5, 6, 6))  # of four queries, for three objects

Picture = tuple[Figure, str]  # with its alternative text


def explore(
    draw: Callable[..., Picture], controls: Mapping[str, ValueWidget], columns: int = 2
) -> None:
    """Shows a picture below its controls, and draws it anew while one of them is moved.

    A control with one choice is not shown.

    Args:
        draw: takes the controls' values by name and returns a figure with its alternative text.
        controls: a widget for each argument of `draw`.
        columns: of controls.
    """
    live = HTML(), HTML()  # the picture and its caption

    def redraw(_=None) -> list[RichOutput]:
        still = capture(*draw(**{name: control.value for name, control in controls.items()}))
        live[0].value, live[1].value = to_markup(still[0])
        return still

    for control in controls.values():
        control.observe(redraw, "value")
    grid = Layout(grid_template_columns=f"repeat({columns}, max-content)")
    display(GridBox([one for one in controls.values() if has_choice(one)], layout=grid))
    for widget, still in zip(live, redraw(), strict=True):
        # a frontend takes the richest part that it can show: the widget, or else the still picture
        display(widget._repr_mimebundle_() | still.data, metadata=still.metadata, raw=True)


def capture(figure: Figure, alt: str) -> list[RichOutput]:
    """What `show` displays: the picture and its caption."""
    with capture_output(stdout=False, stderr=False) as shown:
        show(figure, alt)
    return shown.outputs


def to_markup(picture: RichOutput) -> tuple[str, str]:
    """A picture that `show` displays, and its caption, as HTML."""
    png = b64encode(picture.data["image/png"]).decode()
    alt = html.escape(picture.metadata["image/png"]["alt"])
    return f'<img alt="{alt}" src="data:image/png;base64,{png}">', f"<em>{alt}</em>"


def has_choice(control: ValueWidget) -> bool:
    """Whether a control has more than one value."""
    return control.min < control.max


def slider(name: str, value: int, low: int, high: int) -> IntSlider:
    """A slider over low..high."""
    return IntSlider(value, low, high, description=name)


def name_cells(weights: Tensor, count: int = 3) -> str:
    """The cells of a map [H', W'] with the largest weights, in words, the largest first."""
    values, places = weights.flatten().topk(count)
    cells = [divmod(place, weights.shape[1]) for place in places.tolist()]
    named = zip(cells, values.tolist(), strict=True)
    return ", ".join(f"{cell} {value:.0%}" for cell, value in named)


def attend(
    detector: Detector, images: Tensor, modules: Sequence[nn.MultiheadAttention]
) -> tuple[dict[str, Tensor], Tensor]:
    """Outputs for images [B, 3, H, W], and the modules' attention to the map [L, B, Q, H', W']."""
    with torch.no_grad(), recorded_attention(*modules) as weights:
        outputs = detector.model(images)
    return outputs, torch.stack(weights).unflatten(-1, outputs["features"].shape[-2:])


def draw_weights(axes: Axes, image: Tensor, weights: Tensor, title: str) -> None:
    """Draws attention weights [H', W'] as large as the image [3, H, W] that stands beside them."""
    height, width = image.shape[-2:]
    draw_heat(
        axes, 100 * weights, title, "weight, %", extent=(-0.5, width - 0.5, height - 0.5, -0.5)
    )


def draw_encoder(image: Tensor, attention: Tensor, row: int, column: int) -> Picture:
    """Draws where one cell attends to.

    Args:
        image: normalised, [3, H, W].
        attention: of one encoder layer, heads averaged: [H'W', H', W'].
        row: of the cell.
        column: of the cell.
    """
    cells = attention.shape[-2:]
    weights = attention[row * cells[1] + column]  # [H', W']
    figure, (left, right) = panels(2, width=3.6, height=3.8)
    draw_photo(left, image, f"cell ({row}, {column})")
    draw_grid(left, image, cells)
    draw_weights(right, image, weights, "attends to")
    for axis in (left, right):
        draw_cell(axis, image, cells, row, column, VERMILLION)
    return figure, (
        f"Left: an image with cell ({row}, {column}) marked. Right: where it attends to, bright "
        f"where the weight is large, most of all at {name_cells(weights)}."
    )


def explore_encoder(
    detector: Detector, images: Tensor, index: int = 0, cell: tuple[int, int] | None = None
) -> None:
    """Lets the reader pick an image, a layer of the encoder and a cell: where does it attend to?

    Args:
        detector: a trained model.
        images: normalised, [B, 3, H, W].
        index: the image to start with.
        cell: row and column of the cell to start with, the middle one by default.
    """
    layers = detector.model.encoder
    _, attention = attend(detector, images, [layer.self_attn for layer in layers])
    height, width = attention.shape[-2:]
    row, column = cell or (height // 2, width // 2)
    controls = {
        "index": slider("image", index, 0, len(images) - 1),
        "layer": slider("layer", len(layers), 1, len(layers)),
        "row": slider("row", row, 0, height - 1),
        "column": slider("column", column, 0, width - 1),
    }

    def draw(index: int, layer: int, row: int, column: int) -> Picture:
        return draw_encoder(images[index], attention[layer - 1, index], row, column)

    explore(draw, controls)


def draw_decoder(
    image: Tensor,
    query: int,
    attention: Tensor,
    prob: Tensor,
    boxes: Tensor,
    classes: Sequence[str],
) -> Picture:
    """Draws what one query looks at and what it answers, layer by layer.

    Args:
        image: normalised, [3, H, W].
        query: its number.
        attention: the query's cross-attention in every decoder layer, heads averaged: [L, H', W'].
        prob: of the classes and "no object", [L, C+1].
        boxes: [L, 4] as (cx, cy, w, h) in 0..1.
        classes: C names.
    """
    names = (*classes, "no object")
    figure, (left, *axes) = panels(len(boxes) + 1, width=3.2, height=3.2)
    draw_photo(left, image, "the image")
    words = []
    for i, axis in enumerate(axes):
        score, label = prob[i].max(-1)
        answer = f"layer {i + 1}: {names[label]} {score:.2f}"
        draw_weights(axis, image, attention[i], answer)
        draw_boxes(axis, boxes[[i]], image.shape[-2:], SKY)
        box = ", ".join(f"{value:.2f}" for value in boxes[i].tolist())
        words.append(f"{answer}, box ({box}), looks most of all at {name_cells(attention[i])}")
    return (
        figure,
        f"An image, and where query {query} looks in it, with its box; {'; '.join(words)}.",
    )


def explore_decoder(detector: Detector, images: Tensor, index: int = 0, query: int = 0) -> None:
    """Lets the reader pick an image and a query: what does it see and say in each decoder layer?

    Args:
        detector: a trained model.
        images: normalised, [B, 3, H, W].
        index: the image to start with.
        query: the query to start with.
    """
    attentions = [layer.multihead_attn for layer in detector.model.decoder.layers]
    outputs, attention = attend(detector, images, attentions)  # [L, B, N, H', W']
    layers = [*outputs["aux_outputs"], outputs]
    prob = torch.stack([layer["class_logits"] for layer in layers]).softmax(-1)  # [L, B, N, C+1]
    boxes = torch.stack([layer["bbox_pred"] for layer in layers])  # [L, B, N, 4]
    controls = {
        "index": slider("image", index, 0, len(images) - 1),
        "query": slider("query", query, 0, boxes.shape[2] - 1),
    }

    def draw(index: int, query: int) -> Picture:
        one = (part[:, index, query] for part in (attention, prob, boxes))
        return draw_decoder(images[index], query, *one, detector.classes)

    explore(draw, controls)


def pair_losses(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Three losses of two boxes [4] (cx, cy, w, h), and each one's gradient for the first.

    Returns:
        1 - IoU, 1 - GIoU and the L1 distance [3], and their gradients [3, 4].
    """

    def losses(box: Tensor) -> Tensor:
        corners = box_cxcywh_to_xyxy(box)[None], box_cxcywh_to_xyxy(second)[None]
        overlaps = (1 - measure(*corners)[0, 0] for measure in (box_iou, generalized_box_iou))
        return torch.stack([*overlaps, (box - second).abs().sum()])

    return losses(first), torch.autograd.functional.jacobian(losses, first)


def draw_losses(first: Tensor, second: Tensor) -> Picture:
    """Draws two boxes [4] (cx, cy, w, h) in 0..1 and where each loss moves the first."""
    values, gradients = pair_losses(first, second)
    downhill = -gradients
    figure, (left, right) = panels(2, width=4.6, height=4.2)
    draw_hull(left, first, second)
    for (name, (colour, line)), (dx, dy, *_) in zip(LOSSES.items(), downhill.tolist(), strict=True):
        length = np.hypot(dx, dy)
        style = {"color": colour, "linestyle": line, "linewidth": 2}
        right.plot([], [], **style, label=name if length else f"{name}: none")
        if length:
            tip = first[0].item() + 0.2 * dx / length, first[1].item() + 0.2 * dy / length
            left.annotate("", tip, first[:2].tolist(), arrowprops={"arrowstyle": "->", **style})
    right.legend(loc="lower center", title="downhill for the centre")
    numbers = torch.cat([values[:, None], downhill], 1).tolist()
    draw_numbers(right, numbers)
    words = [
        f"{name} is {value:z.2f} and asks for ({', '.join(f'{step:z.2f}' for step in steps)})"
        for name, (value, *steps) in zip(LOSSES, numbers, strict=True)
    ]
    return figure, (
        "Two boxes with their hull. Each loss, and minus its gradient for the first box's "
        f"(cx, cy, w, h): {'; '.join(words)}."
    )


def draw_hull(axes: Axes, first: Tensor, second: Tensor) -> None:
    """Draws two boxes [4] (cx, cy, w, h) in 0..1, and the smallest box around both."""
    corners = box_cxcywh_to_xyxy(torch.stack([first, second]))
    (x1, y1), (x2, y2) = corners[:, :2].amin(0).tolist(), corners[:, 2:].amax(0).tolist()
    style = {"fill": False, "edgecolor": GREY, "linestyle": ":", "linewidth": 1.5}
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, **style))
    draw_boxes(axes, first[None], (1, 1), BLUE, ["first"])
    draw_boxes(axes, second[None], (1, 1), ORANGE, ["second"], linestyle="--")
    axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[], aspect="equal")
    axes.set_title("two boxes and their hull", fontsize=10)


def draw_numbers(axes: Axes, numbers: list[list[float]]) -> None:
    """Draws a table of each loss and its downhill direction, five numbers a row."""
    axes.set_title("each loss, and minus its gradient", fontsize=10)
    axes.axis("off")
    axes.table(
        [[f"{number:z.2f}" for number in row] for row in numbers],
        rowLabels=list(LOSSES),
        colLabels=("loss", *COORDINATES),
        cellLoc="center",
        bbox=(0.2, 0.5, 0.8, 0.45),
    )


def explore_losses() -> None:
    """Lets the reader move two boxes: how do IoU, GIoU and L1 judge them and pull at the first?"""
    start = {"first": (0.3, 0.35, 0.25, 0.4), "second": (0.75, 0.5, 0.35, 0.3)}
    controls = {
        f"{box}_{name}": FloatSlider(
            value,
            min=0.05,
            max=0.95,
            step=0.05,
            description=f"{box} {name}",
        )
        for name, *values in zip(COORDINATES, *start.values(), strict=True)
        for box, value in zip(start, values, strict=True)
    }

    def draw(**values: float) -> Picture:
        return draw_losses(
            *(torch.tensor([values[f"{box}_{name}"] for name in COORDINATES]) for box in start)
        )

    explore(draw, controls)


def assign_greedily(cost: Tensor) -> Pairs:
    """Cost [N, M] -> the pairs that are found by taking the cheapest pair that is left, each time.

    Returns:
        Query index and target index, as `Step7.assign`.
    """
    left, pairs = cost.numpy().astype(float), []
    for _ in range(min(cost.shape)):
        query, target = np.unravel_index(left.argmin(), left.shape)
        pairs.append((query, target))
        left[query] = left[:, target] = np.inf
    query, target = torch.tensor(sorted(pairs)).T
    return query, target


def draw_assignments(cost: Tensor, names: Sequence[str]) -> Picture:
    """Draws a table of costs [N, M] for M named objects twice: matched at best, and greedily."""
    ways = {"cheapest in sum": Step7.assign, "cheapest pair first": assign_greedily}
    figure, axes = panels(2, width=4.2, height=3.6)
    words = []
    for axis, (way, assign) in zip(axes, ways.items(), strict=True):
        pairs = assign(cost)
        total = cost[pairs].sum().item()
        draw_costs(axis, cost, names, pairs)
        axis.set_title(f"{way}: {total:g}")
        rows, columns = (index.tolist() for index in pairs)
        matched = ", ".join(f"q{i} with {names[j]}" for i, j in zip(rows, columns, strict=True))
        words.append(f"{way}: {matched}, {total:g} in all")
    return figure, f"A table of costs, twice, with the matched cells framed; {'; '.join(words)}."


def explore_matching() -> None:
    """Lets the reader change the costs of four queries for three objects: which are matched?"""
    controls = {
        f"q{i} {name}": BoundedFloatText(
            value, min=-20, max=20, description=f"q{i}, {name}", layout=Layout(width="11em")
        )
        for i, row in enumerate(COSTS)
        for name, value in zip(OBJECTS, row, strict=True)
    }

    def draw(**values: float) -> Picture:
        return draw_assignments(torch.tensor(list(values.values())).view(-1, 3), OBJECTS)

    explore(draw, controls, columns=len(OBJECTS))
