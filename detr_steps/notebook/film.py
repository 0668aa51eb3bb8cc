"""The matching, filmed: which query was matched to which object while the small model was trained.

`python -m detr_steps film` records it.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.axes import Axes
from safetensors import safe_open
from torch import Tensor

from .drawing import BLUE, GREEN, VERMILLION

FILM = Path(__file__).with_name("film.safetensors")
STYLES = ((BLUE, "-"), (VERMILLION, "--"), (GREEN, ":"))  # told apart without colour, too


@dataclass(frozen=True)
class Film:
    """The matched query of some objects, from step to step.

    Args:
        steps: of the training [T].
        queries: the query that is matched to each object [T, objects].
    """

    steps: Tensor
    queries: Tensor

    @property
    def changes(self) -> Tensor:
        """The share of objects whose query is another than one row before [T - 1].

        DN-DETR (Li et al. 2022) calls it the instability of the matching.
        """
        return (self.queries[1:] != self.queries[:-1]).float().mean(1)


def read_film(file: Path = FILM) -> tuple[dict[str, Film], dict[str, str]]:
    """The films by name, "scene" and "stream", and the notes on how they were made."""
    with safe_open(file, "pt") as content:
        films = {
            name: Film(content.get_tensor(f"{name}/steps"), content.get_tensor(f"{name}/queries"))
            for name in ("scene", "stream")
        }
        return films, content.metadata()


def draw_queries(axes: Axes, film: Film, names: list[str], last: int) -> None:
    """Draws the matched query of each object as a line along the steps, each change as a dot.

    Args:
        axes: where to draw.
        film: see `Film`; of as many objects as there are `STYLES`.
        names: of the objects.
        last: the last step to draw.
    """
    for queries, name, (colour, style) in zip(film.queries.T, names, STYLES, strict=True):
        axes.step(film.steps, queries, style, where="post", label=name, color=colour)
        changed = torch.cat((torch.tensor([False]), queries[1:] != queries[:-1]))
        axes.plot(film.steps[changed], queries[changed], "o", markersize=4, color=colour)
    axes.set(xlabel="step", ylabel="matched query", xlim=(0, last))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=9)


def draw_changes(axes: Axes, film: Film) -> None:
    """Draws the share of objects whose matched query changes."""
    axes.plot(film.steps[1:], 100 * film.changes, color=BLUE)
    axes.set(xlabel="step", ylabel="objects with a new query, %", ylim=(0, None))
