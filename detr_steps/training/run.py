"""A training run as the command starts it: its data, its model, its progress."""

from pathlib import Path

import torch
from accelerate import Accelerator
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import Dataset

from .coco import CocoScenes
from .detectors import start_from
from .scenes import Scenes
from .small import small_detr
from .trainer import Settings, Trainer

SMOOTHING = 0.98  # the part of the loss's moving average that stays at each step
LOG_EVERY = 50  # steps


def training_data(
    images: Path | None,
    annotations: Path | None,
    choose_images: Path | None,
    choose_annotations: Path | None,
    side: int,
    scenes: int,
    choose_scenes: int,
    seed: int,
) -> tuple[Dataset, Dataset]:
    """Data to train on, and data to choose the best weights on.

    Args:
        images: folder of the images of a data set in COCO's format, or None for scenes.
        annotations: its JSON file.
        choose_images: images to choose on; by default the same ones.
        choose_annotations: their JSON file.
        side: shorter side in pixels; training draws it from five lengths down to 0.6 of that.
        scenes: number of training scenes.
        choose_scenes: scenes to choose on.
        seed: of the scenes.
    """
    if images is None:
        return Scenes(scenes, seed=seed), Scenes(choose_scenes, "choose", seed=seed)
    sides = tuple(round(side * part) for part in (0.6, 0.7, 0.8, 0.9, 1.0))
    data = CocoScenes(images, annotations or "", train=True, sides=sides)
    choose = CocoScenes(choose_images or images, choose_annotations or annotations, sides=(side,))
    return data, choose


def run_training(
    data: Dataset,
    choose: Dataset,
    settings: Settings,
    folder: Path,
    accelerator: Accelerator,
    start: str | None = None,
) -> Trainer:
    """Trains a small DETR with progress bars, and with curves for TensorBoard.

    Args:
        data: to train on.
        choose: to choose the best weights on.
        settings: see `Settings`.
        folder: of the run; one that was interrupted goes on.
        accelerator: see `Trainer`.
        start: weights to start from, see `start_from`.

    Returns:
        The trainer after its run.
    """
    torch.manual_seed(settings.seed)
    model = small_detr(len(data.classes))
    if start:
        start_from(model, data.classes, start)
    with progress_bars(disable=not accelerator.is_main_process) as progress:
        accelerator.init_trackers("tensorboard")
        trainer = Trainer(model, data, choose, settings, folder, accelerator)
        trainer.report = ProgressReport(trainer, progress)
        trainer.run()
    accelerator.end_training()
    return trainer


def progress_bars(disable: bool) -> Progress:
    """Bars that show the step, the time that is left, the loss and the AP."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.2f}  AP {task.fields[ap]}"),
        disable=disable,
    )


class ProgressReport:
    """Shows every step of a trainer in a bar of its stage, and logs some for TensorBoard.

    Args:
        trainer: the trainer, which calls this as its `report`.
        progress: see `progress_bars`.
    """

    def __init__(self, trainer: Trainer, progress: Progress):
        self.trainer, self.progress = trainer, progress
        self.bars: dict[str, int] = {}
        self.smooth: dict[str, float] = {}

    def __call__(self, stage: str, step: int, steps: int, loss: float) -> None:
        """Takes in the loss of one step."""
        smooth = loss + SMOOTHING * (self.smooth.get(stage, loss) - loss)
        self.smooth[stage] = smooth
        history = self.trainer.history
        ap = f"{history[-1]['map']:.1f}" if history else "-"
        if stage not in self.bars:
            self.bars[stage] = self.progress.add_task(stage, total=steps, loss=loss, ap=ap)
        self.progress.update(self.bars[stage], completed=step, loss=smooth, ap=ap)
        if step % LOG_EVERY == 0:
            values = {"loss": smooth, **self.trainer.watch()}
            named = {f"{stage}/{name}": value for name, value in values.items()}
            self.trainer.accelerator.log(named, step=step)
