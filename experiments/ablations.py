"""What each part of DETR is worth: `python -m detr_steps ablations`.

Trains the small model again and again on the scenes, each time with one part taken out, from
several seeds, and writes a row for every run. Runs that the file already holds are not repeated.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from detr_steps import Step8, box_cxcywh_to_xyxy, box_iou
from detr_steps.notebook.attention import silenced
from detr_steps.notebook.results import ablation_table, read_ablations, summarize
from detr_steps.training.evaluation import METRICS
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import Settings, Trainer


class WithoutPositions(Step8):
    """Step8 whose tokens do not know where they are."""

    def encode(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """As in Step8, while the position embedding is all zeros."""
        with silenced(self.position_embedding):
            return super().encode(images, padding_mask)


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
    "without positions": {"step": WithoutPositions},
    "without encoder": {"enc_layers": 0},
    "without deep supervision": {"step": WithoutDeepSupervision},
    "broken GIoU": {"step": BrokenGIoU},
    "no-object weight 1": {"no_object_weight": 1.0},
    "without pretraining": {},
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
    for variant, arguments in VARIANTS.items():
        model = fresh(**arguments)
        if variant != "without pretraining":
            model.backbone.load_state_dict(warm)
        training = trainer(model, steps=steps, pretrain_steps=0)
        training.run()
        result = {name: training.history[-1][name] for name in METRICS}
        rows.append({"variant": variant, "seed": seed, "steps": steps, **result})
    return rows


def run_ablations(
    out: Path, seeds: int, steps: int, pretrain_steps: int, scenes: int, jobs: int = 1
) -> None:
    """Trains every variant from every seed, and writes AP and its kin of each run.

    Args:
        out: CSV file; seeds that it holds are left out.
        seeds: runs of each variant.
        steps, pretrain_steps, scenes: of a run; see `train_variants`.
        jobs: seeds at a time; they share the processors.
    """
    done = {int(row["seed"]) for row in read_ablations(out)}
    todo = [seed for seed in range(seeds) if seed not in done]
    settings = steps, pretrain_steps, scenes, max(1, (os.cpu_count() or 1) // jobs)
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        runs = [pool.submit(train_variants, seed, *settings) for seed in todo]
        for future in as_completed(runs):
            write_rows(future.result(), out)
    for metric, name in (("map", "AP"), ("map_50", "AP50")):
        print(ablation_table(summarize(read_ablations(out), metric), name))


def write_rows(rows: Sequence[Mapping[str, str | float]], file: Path) -> None:
    """Adds rows to the results, and says so; a new file begins with the columns' names."""
    begin = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, ["variant", "seed", "steps", *METRICS], lineterminator="\n")
        if begin:
            writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.2f}" if isinstance(v, float) else v for k, v in row.items()})
            print(f"{row['variant']}, seed {row['seed']}: AP {row['map']:.1f}")
