"""A page about a run or an evaluation: HTML with its pictures inside, for any browser."""

import base64
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import torch
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ..writing import write_text
from .evaluation import METRICS, percent
from .findings import SURE, Findings, Symptom, sure_of
from .tiles import BLUE, ORANGE, Frames, draw_grid, draw_tile

TILE, SHOWN = 320, 4  # pixels, images of each kind


def write_page(
    path: Path,
    title: str,
    findings: Findings,
    known: Sequence[Symptom],
    data: Dataset,
    classes: Sequence[str],
    history: Sequence[dict[str, float]] = (),
    losses: Sequence[tuple[int, float]] = (),
) -> None:
    """Writes the page.

    Args:
        path: of the HTML file, whose folder is made where it is missing.
        title: of the page.
        findings: what the model does on `data`.
        known: see `symptoms`.
        data: the images.
        classes: the names of its labels.
        history: the scores of a run, with "step".
        losses: (step, loss) of a run.
    """
    figures = draw_figures(findings, data, classes, history, losses)
    environment = Environment(loader=PackageLoader("detr_steps.training", "."), autoescape=True)
    page = environment.get_template("page.html.j2").render(
        title=title,
        images=len(data),
        scores={METRICS[k]: percent(findings.scores[k]) for k in METRICS},
        symptoms=known,
        classes=[
            (name, number, percent(findings.class_scores.get(name, -1)))
            for name, number in findings.class_counts.items()
        ],
        figures=[(heading, text, encoded(picture)) for heading, text, picture in figures],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def draw_figures(
    findings: Findings,
    data: Dataset,
    classes: Sequence[str],
    history: Sequence[dict[str, float]],
    losses: Sequence[tuple[int, float]],
) -> Iterator[tuple[str, str, Figure | Image.Image]]:
    """Each picture of the page with its heading and a text for who does not see it."""
    if history or losses:
        text = "The loss, and the AP on the data to choose on, by step."
        yield "The training", text, draw_curves(history, losses)
    ranked = sorted(range(len(data)), key=lambda i: (findings.mistakes(i), -count(findings, i)))
    for heading, chosen in (("best", ranked[:SHOWN]), ("worst", ranked[::-1][:SHOWN])):
        mistakes = ", ".join(str(findings.mistakes(i)) for i in chosen)
        text = (
            f"Found with a score above {SURE} in orange, what is there in blue. "
            f"Mistakes: {mistakes}."
        )
        yield f"The {heading} images", text, draw_images(chosen, findings, data, classes)
    text = f"In how many of the {len(data)} images each query is sure of an object."
    yield "The queries", text, draw_queries(findings.fired)


def count(findings: Findings, index: int) -> int:
    """The objects of an image."""
    return len(findings.wanted[index]["labels"])


def encoded(picture: Figure | Image.Image) -> str:
    """A picture as PNG in base64."""
    buffer = BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(buffer, dpi=100, facecolor="white")
    else:
        picture.save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def draw_curves(history: Sequence[dict], losses: Sequence[tuple[int, float]]) -> Figure:
    """The loss and the AP by step, side by side."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*zip(*losses, strict=True) if losses else ((), ()), color=BLUE)
    left.set(xlabel="step", ylabel="loss")
    steps = [row["step"] for row in history]
    for name, colour in (("map_50", BLUE), ("map", ORANGE)):
        right.plot(steps, [row[name] for row in history], "o-", color=colour, label=METRICS[name])
    right.set(xlabel="step", ylabel="percent", ylim=(0, 100))
    right.legend()
    return figure


def draw_queries(fired: Tensor) -> Figure:
    """A bar for each query."""
    figure = Figure(figsize=(9, 2.2), layout="constrained")
    axis = figure.subplots()
    axis.bar(range(len(fired)), fired.tolist(), color=BLUE)
    axis.set(xlabel="query", ylabel="images")
    return figure


def draw_images(
    chosen: Sequence[int], findings: Findings, data: Dataset, classes: Sequence[str]
) -> Image.Image:
    """Images in a row, with what is there and what was found."""
    tiles = []
    for i in chosen:
        image, target = data[i]
        height, width = target["size"].tolist()
        pixels = torch.tensor([width, height, width, height])
        wanted, (found,) = findings.wanted[i], sure_of([findings.found[i]])
        names = [classes[label] for label in found["labels"].tolist()]
        frames = [
            Frames(wanted["boxes"] / pixels, BLUE),
            Frames(found["boxes"] / pixels, ORANGE, names),
        ]
        tiles.append(draw_tile(image, frames, TILE, width=3))
    return draw_grid(tiles, SHOWN)
