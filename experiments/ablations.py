"""What each part of DETR is worth: `python -m detr_steps ablations`.

Trains the small model again and again on the scenes, each time with one part taken out, from
several seeds, and writes a row for every run. Runs that the file already holds are not repeated.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torchvision.ops import batched_nms

from detr_steps import Step8, box_cxcywh_to_xyxy, box_iou
from detr_steps.inputs import mismatch
from detr_steps.notebook.attention import silenced
from detr_steps.notebook.results import COLUMNS, MEASURES, read_ablations, report
from detr_steps.training.evaluation import collect, count_duplicates, scores
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import DenseDetector, Settings, Trainer
from detr_steps.writing import check_file, write_text

CHOOSE_SCENES = 500  # of the split "choose", to measure on
CONFIDENT = 0.5  # least score of a detection that counts as a duplicate
SAME = 0.5  # IoU above which NMS takes two boxes of a class for one object


class WithoutPositions(Step8):
    """Step8 whose tokens do not know where they are."""

    def encode(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """As in Step8, while the position embedding is all zeros."""
        with silenced(self.position_embedding):
            return super().encode(images, padding_mask)


class PositionsInValues(Step8):
    """Step8 whose positions are added to the features as well, so that values carry them too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.fpn.register_forward_hook(self.add_positions)

    def add_positions(self, fpn, args, levels: list[Tensor]) -> list[Tensor]:
        """What the pyramid returns, with the positions, even where they are silenced later."""
        return [level + self.position_embedding.forward(level) for level in levels]


class PositionsAtInput(WithoutPositions, PositionsInValues):
    """Step8 whose positions are added to the features, and to no query or key after that."""


class WithoutSelfAttention(Step8):
    """Step8 whose queries do not see each other: they read the image alone."""

    def decode(self, context: dict[str, Tensor]) -> Tensor:
        """As in Step8, while the queries' self-attention adds zeros."""
        with silenced(*(layer.self_attn for layer in self.decoder.layers)):
            return super().decode(context)


class WithoutDeepSupervision(Step8):
    """Step8 whose loss sees the last decoder layer alone."""

    def predict(self, hidden: Tensor) -> dict[str, Tensor | list[dict[str, Tensor]]]:
        """As in Step8, without auxiliary outputs."""
        return {**super().predict(hidden), "aux_outputs": []}


def broken_giou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """The mistake of Step 7: 2 IoU - 1, which is -1 for all boxes that do not touch."""
    return 2 * box_iou(boxes1, boxes2) - 1


class BrokenGIoU(Step8):
    """Step8 whose matching and loss take `broken_giou` for GIoU."""

    def pair_giou(self, boxes1: Tensor, boxes2: Tensor) -> Tensor:
        """In place of the GIoU of all pairs: [..., N, M]."""
        return broken_giou(box_cxcywh_to_xyxy(boxes1), box_cxcywh_to_xyxy(boxes2))

    def box_losses(self, predicted: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """L1 as in Step8; in place of 1 - GIoU the same of `broken_giou`: [K] and [K]."""
        l1, _ = super().box_losses(predicted, wanted)
        pairs = self.pair_giou(predicted[:, None], wanted[:, None])  # [K, 1, 1]
        return l1, 1 - pairs[:, 0, 0]


VARIANTS: dict[str, dict] = {  # name: arguments of `small_detr`
    "DETR": {},
    "without encoder": {"enc_layers": 0},
    "without positions": {"step": WithoutPositions},
    "positions at the input alone": {"step": PositionsAtInput},
    "positions at the input as well": {"step": PositionsInValues},
    "without the queries' self-attention": {"step": WithoutSelfAttention},
    "one decoder layer": {"dec_layers": 1},
    "without deep supervision": {"step": WithoutDeepSupervision},
    "broken GIoU": {"step": BrokenGIoU},
    "without L1": {"cost_bbox": 0.0, "w_bbox": 0.0},
    "no-object weight 1": {"no_object_weight": 1.0},
    "without warm start": {},
}

# these differ from DETR in the decoder alone, which the warm start leaves out: they share it
SHARED_WARM_START = (
    "without the queries' self-attention",
    "one decoder layer",
    "without deep supervision",
)


@dataclass(frozen=True)
class Study:
    """What all runs of the ablations have in common.

    Args:
        steps, pretrain_steps: of a run; see `Settings`.
        scenes: to train on.
    """

    steps: int
    pretrain_steps: int
    scenes: int


def run_seed(seed: int, variants: Sequence[str], study: Study, threads: int, out: Path) -> None:
    """Trains variants from one seed, measures each of them, and writes a row for each.

    They share the data and their order. A variant is trained without its part from the first step
    on, in the warm start as well.
    """
    torch.set_num_threads(threads)
    accelerator = Accelerator(cpu=True)
    data, choose = Scenes(study.scenes, seed=seed), Scenes(CHOOSE_SCENES, "choose", seed=seed)

    def fresh(variant: str) -> Step8:
        torch.manual_seed(seed)
        return small_detr(len(Scenes.classes), **VARIANTS[variant])

    def train(model: Step8, steps: int, pretrain_steps: int, **changes: float) -> None:
        settings = Settings(seed=seed, steps=steps, pretrain_steps=pretrain_steps, **changes)
        Trainer(model, data, None, settings, accelerator=accelerator).run()

    @cache
    def warm_start(variant: str) -> dict[str, Tensor]:
        model = fresh(variant)
        train(model, 0, study.pretrain_steps)
        return DenseDetector(model).state_dict()

    for variant in variants:
        model = fresh(variant)
        if variant == "without warm start":  # no trained weights that a lower rate protects
            train(model, study.steps, 0, warm_lr=Settings.lr)
        else:
            source = "DETR" if variant in SHARED_WARM_START else variant
            DenseDetector(model).load_state_dict(warm_start(source))
            train(model, study.steps, 0)
        row = {"variant": variant, "seed": seed, "steps": study.steps}
        write_row(row | measure(model, choose, accelerator), out)


def measure(model: Step8, choose: Scenes, accelerator: Accelerator) -> dict[str, float]:
    """AP and its kin on scenes, also after NMS, and confident duplicates an image."""
    found, wanted = collect(model, choose, accelerator)
    kept = [batched_nms(one["boxes"], one["scores"], one["labels"], SAME) for one in found]
    thinned = [
        {name: values[keep] for name, values in one.items()}
        for one, keep in zip(found, kept, strict=True)
    ]
    confident = [
        {name: values[one["scores"] > CONFIDENT] for name, values in one.items()} for one in found
    ]
    duplicates = count_duplicates(confident) / len(found)
    result = scores(found, wanted, choose.large) | {"duplicates": duplicates}
    after = scores(thinned, wanted, choose.large)
    result |= {"map_nms": after["map"], "map_50_nms": after["map_50"]}
    return {name: result[name] for name in MEASURES}


def run_ablations(
    out: Path, seeds: int, study: Study, jobs: int = 1, only: Sequence[str] | None = None
) -> None:
    """Trains variants from every seed, writes a row for each run, and prints the tables.

    Args:
        out: CSV file; runs that it holds are left out.
        seeds: runs of each variant.
        study: see `Study`.
        jobs: seeds at a time; they share the processors.
        only: names of variants, all by default; DETR itself is always trained.

    Raises:
        ValueError: a variant is unknown, or the file holds rows of another study.
    """
    if unknown := set(only or ()) - set(VARIANTS):
        raise mismatch(
            ValueError, "only", f"some of {', '.join(VARIANTS)}", ", ".join(sorted(unknown))
        )
    check_file(out)
    wanted = {"DETR", *(only or VARIANTS)}
    rows = read_ablations(out)
    if any(tuple(row) != COLUMNS or row["steps"] != str(study.steps) for row in rows):
        raise ValueError(
            f"{out}: expected rows of this study with {study.steps} steps; choose another file"
        )
    done = {(int(row["seed"]), row["variant"]) for row in rows}
    if not rows:
        write_text(out, ",".join(COLUMNS) + "\n")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        runs = []
        for seed in range(seeds):
            if todo := [one for one in VARIANTS if one in wanted and (seed, one) not in done]:
                runs.append(pool.submit(run_seed, seed, todo, study, threads, out))
        for run in as_completed(runs):
            run.result()
    print(report(read_ablations(out)))


def write_row(row: Mapping[str, str | float], file: Path) -> None:
    """Adds a row to the results, and says so."""
    with file.open("a", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, COLUMNS, lineterminator="\n")
        writer.writerow({k: f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items()})
    print(f"{row['variant']}, seed {row['seed']}: AP {row['map']:.1f}", flush=True)
