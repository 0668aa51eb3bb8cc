"""What each part of DETR is worth: `python -m detr_steps.tools.ablations`.

Trains the small model again and again on the scenes, each time with one part taken out, from
several seeds, and writes a row for every run. Runs that the file already holds are not repeated.
"""

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated
from unittest.mock import patch

import torch
import typer
from accelerate import Accelerator
from matplotlib.figure import Figure
from scipy.stats import ttest_rel
from torch import Tensor

from detr_steps import step7_hungarian_matching, step8_set_loss
from detr_steps.notebook.attention import silenced
from detr_steps.notebook.drawing import BLUE, SKY, VERMILLION, panels
from detr_steps.step7_hungarian_matching import box_iou
from detr_steps.step8_set_loss import Step8
from detr_steps.training.evaluation import METRICS
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import Settings, Trainer

RESULTS = Path(__file__).with_name("ablations.csv")


def broken_giou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """The mistake of Step 7: 2 IoU - 1, which is -1 for all boxes that do not touch."""
    return 2 * box_iou(boxes1, boxes2) - 1


def whole(model: Step8) -> AbstractContextManager:
    """Nothing is taken out."""
    return nullcontext()


def without_positions(model: Step8) -> AbstractContextManager:
    """Inside of the block the model's tokens do not know where they are."""
    return silenced(model.position_embedding)


def without_deep_supervision(model: Step8) -> AbstractContextManager:
    """Inside of the block the model's loss sees the last decoder layer alone."""
    stack = model.stack_layers
    return patch.object(
        model, "stack_layers", lambda outputs: stack({**outputs, "aux_outputs": []})
    )


@contextmanager
def with_broken_giou(model: Step8) -> Iterator[None]:
    """Inside of the block matching and loss take `broken_giou` for GIoU."""
    with (
        patch.object(step7_hungarian_matching, "generalized_box_iou", broken_giou),
        patch.object(step8_set_loss, "generalized_box_iou", broken_giou),
    ):
        yield


VARIANTS: dict[str, tuple[Callable[[Step8], AbstractContextManager], dict]] = {
    # name: (what is done while the model is trained and evaluated, arguments of the model)
    "DETR": (whole, {}),
    "without positions": (without_positions, {}),
    "without encoder": (whole, {"enc_layers": 0}),
    "without deep supervision": (without_deep_supervision, {}),
    "broken GIoU": (with_broken_giou, {}),
    "no-object weight 1": (whole, {"no_object_weight": 1.0}),
    "without pretraining": (whole, {}),
}


def train_variants(
    seed: int, steps: int, pretrain_steps: int, scenes: int, threads: int
) -> list[dict[str, str | float]]:
    """Trains all variants from one seed; a row for each.

    They share the data, their order, and the backbone's warm start (but for "without pretraining").
    AP is that on 500 scenes of the split "choose".
    """
    torch.set_num_threads(threads)
    accelerator = Accelerator(cpu=True)
    data, choose = Scenes(scenes, seed=seed), Scenes(500, "choose", seed=seed)

    def trainer(model: Step8, **changes) -> Trainer:
        settings = Settings(**{"seed": seed, "evaluate_every": steps + 1, **changes})
        return Trainer(model, data, choose, settings, accelerator=accelerator)

    def fresh(**arguments) -> Step8:
        torch.manual_seed(seed)
        return small_detr(len(Scenes.classes), **arguments)

    warm = trainer(fresh(), steps=0, pretrain_steps=pretrain_steps).run().backbone.state_dict()
    rows = []
    for variant, (change, arguments) in VARIANTS.items():
        model = fresh(**arguments)
        if variant != "without pretraining":
            model.backbone.load_state_dict(warm)
        training = trainer(model, steps=steps, pretrain_steps=0)
        with change(model):
            training.run()
        result = {name: training.history[-1][name] for name in METRICS}
        rows.append({"variant": variant, "seed": seed, "steps": steps, **result})
    return rows


def read_results(file: Path = RESULTS) -> list[dict[str, str]]:
    """The rows of all runs so far."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@dataclass(frozen=True)
class Summary:
    """The runs of one variant, and how far they are from those of DETR.

    Args:
        values: the metric of each run, by seed.
        difference: the mean of variant minus DETR.
        low, high: 99% confidence interval of the difference, by a paired t-test: the runs of one
            seed share data and starting weights. 99%, because several variants are compared.
    """

    values: list[float]
    difference: float
    low: float
    high: float

    @property
    def shows(self) -> bool:
        """Whether the difference is outside of the noise: its interval leaves out 0."""
        return not self.low <= 0 <= self.high


def summarize(rows: Sequence[Mapping[str, str]], metric: str = "map") -> dict[str, Summary]:
    """A metric of all runs, by variant, in the order of `VARIANTS`."""
    rows = sorted(rows, key=lambda row: int(row["seed"]))
    values = {
        variant: [float(row[metric]) for row in rows if row["variant"] == variant]
        for variant in VARIANTS
    }
    base = values["DETR"]
    summaries = {"DETR": Summary(base, 0.0, 0.0, 0.0)}
    for variant, those in values.items():
        if those and variant != "DETR":
            interval = ttest_rel(those, base).confidence_interval(0.99)
            summaries[variant] = Summary(those, mean(those) - mean(base), *interval)
    return summaries


def table(summaries: Mapping[str, Summary], metric: str = "AP") -> str:
    """A Markdown table of all variants."""
    lines = [
        f"| variant | {metric}, mean | standard deviation | against DETR | 99% interval | |",
        "|---|--:|--:|--:|:-:|---|",
    ]
    for name, one in summaries.items():
        start = f"| {name} | {mean(one.values):.1f} | {stdev(one.values):.1f} |"
        if name == "DETR":
            lines.append(f"{start} | | |")
        else:
            word = "shows" if one.shows else "within the noise"
            interval = f"{one.low:+.1f} to {one.high:+.1f}"
            lines.append(f"{start} {one.difference:+.1f} | {interval} | {word} |")
    return "\n".join(lines)


def draw(summaries: Mapping[str, Summary]) -> Figure:
    """Every run as a dot, the mean of each variant as a bar, DETR's range as a band."""
    figure, (axis,) = panels(1, width=8, height=3.2)
    names = list(summaries)
    base = summaries["DETR"].values
    axis.axvspan(min(base), max(base), color=SKY, alpha=0.3, label="range of DETR's runs")
    for row, one in enumerate(summaries.values()):
        axis.plot(one.values, [row] * len(one.values), "o", color=BLUE, alpha=0.7)
        axis.plot([mean(one.values)] * 2, [row - 0.3, row + 0.3], color=VERMILLION, linewidth=2.5)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlabel("AP on 500 scenes, a dot for each seed")
    axis.legend(loc="upper left")
    return figure


def run(
    out: Annotated[Path, typer.Option(help="CSV file; seeds that it holds are left out")] = RESULTS,
    seeds: Annotated[int, typer.Option(help="runs of each variant")] = 5,
    steps: Annotated[int, typer.Option(help="steps of a run with the set loss")] = 800,
    pretrain_steps: Annotated[int, typer.Option(help="of the backbone's warm start")] = 300,
    scenes: Annotated[int, typer.Option(help="training scenes of a run")] = 3000,
    jobs: Annotated[int, typer.Option(help="seeds at a time; they share the processors")] = 1,
) -> None:
    """Train every variant from every seed, and write AP and its kin of each run."""
    rows = read_results(out)
    done = {int(row["seed"]) for row in rows}
    todo = [seed for seed in range(seeds) if seed not in done]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with (
        ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool,
        out.open("a", newline="", encoding="utf-8") as file,
    ):
        names = ["variant", "seed", "steps", *METRICS]
        writer = csv.DictWriter(file, names, lineterminator="\n")
        if not done:
            writer.writeheader()
        settings = steps, pretrain_steps, scenes, threads
        runs = [pool.submit(train_variants, seed, *settings) for seed in todo]
        for future in as_completed(runs):
            for row in future.result():
                writer.writerow(
                    {k: f"{v:.2f}" if isinstance(v, float) else v for k, v in row.items()}
                )
                typer.echo(f"{row['variant']}, seed {row['seed']}: AP {row['map']:.1f}")
            file.flush()
    for metric, name in (("map", "AP"), ("map_50", "AP50")):
        typer.echo(table(summarize(read_results(out), metric), name))


if __name__ == "__main__":
    typer.run(run)
