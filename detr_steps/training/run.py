"""A training run as the command starts it: its data, its model, its progress."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from accelerate import Accelerator
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    track,
)
from torch.utils.data import Dataset

from ..step8_set_loss import Step8
from .coco import CocoScenes, compare_classes, detr_transforms, gentle_transforms
from .detectors import load_detector
from .findings import Symptom, find_out, symptoms
from .scenes import Scenes
from .sizes import SIDES, sizes_of
from .survey import draw_data, survey
from .trainer import BEST, Settings, Trainer

PAGE = "report.html"
SMOOTHING = 0.98  # the part of the loss's moving average that stays at each step
LOG_EVERY = 50  # steps
PATIENCE = 5  # seconds


def training_data(
    images: Path | None,
    annotations: Path | None,
    choose_images: Path | None,
    choose_annotations: Path | None,
    kind: str,
    side: int | None,
    scenes: int,
    choose_scenes: int,
    seed: int,
) -> tuple[Dataset, Dataset]:
    """Data to train on, and data to choose the best weights on.

    Args:
        images: folder of the images of a data set in COCO's format, or None for scenes.
        annotations: its JSON file.
        choose_images: images to choose on; by default some of the same ones.
        choose_annotations: their JSON file.
        kind: of the model, which decides the augmentation.
        side: shorter side of the images in pixels, or None for the most of this kind.
        scenes: number of training scenes.
        choose_scenes: scenes to choose on, or images of the training data.
        seed: of the scenes.

    Raises:
        ValueError: a part of a data set is given without the other.
    """
    check_parts(images, annotations, choose_images, choose_annotations)
    if images is None:
        return Scenes(scenes, seed=seed), Scenes(choose_scenes, "choose", seed=seed)
    transforms = detr_transforms if kind == "full" else gentle_transforms
    data = CocoScenes(images, annotations, side or SIDES[kind], transforms)
    choose_images, choose_annotations = choose_images or images, choose_annotations or annotations
    if (choose_images, choose_annotations) == (images, annotations):
        return data, data.plain(choose_scenes)
    side = data.short_side
    return data, CocoScenes(choose_images, choose_annotations, side, classes=data.classes)


def check_parts(
    images: Path | None,
    annotations: Path | None,
    choose_images: Path | None,
    choose_annotations: Path | None,
) -> None:
    """Refuses a part of a data set that is given without the other."""
    pairs = {"images": images, "annotations": annotations}
    if choose_images is not None or images is None:
        pairs |= {"choose_images": choose_images, "choose_annotations": choose_annotations}
    missing = [name for name, path in pairs.items() if path is None]
    if 0 < len(missing) < len(pairs):
        given = ", ".join(name for name in pairs if name not in missing)
        raise ValueError(f"{missing[0]}: expected beside {given}, found nothing")


def survey_data(
    data: CocoScenes, choose: CocoScenes, side: int | None, queries: int | None
) -> tuple[int, int]:
    """Looks at the data to train and to choose on, prints what is there, and chooses by it.

    Args:
        data, choose: see `training_data`; their side is the most that is chosen.
        side, queries: as wanted, or None.

    Returns:
        The images' shorter side, and the number of queries.

    Raises:
        ValueError: something cannot be used; lists all of it.
    """
    console, surveys = Console(), []
    for one in [data] if data.source == choose.source else [data, choose]:
        progress = partial(track, description=f"looking at {escape(str(one.annotations))}")
        surveys.append(survey(one, progress))
    side = side or surveys[0].side_for(data.short_side)
    for one, found in zip((data, choose), surveys, strict=False):
        console.print(replace(found, side=side).table(str(one.annotations)))
    for line in compare_classes(data.classes, tuple(choose.names.values())):
        console.print(f"data to choose on: {escape(line)}")
    most = max(surveys[0].counts)
    if queries is not None and queries < most:
        expected = f"at least {most}, as many as the fullest image has objects"
        raise ValueError(f"queries: expected {expected}, found {queries}")
    return side, queries or surveys[0].queries


def run_training(
    model: Step8,
    data: Dataset,
    choose: Dataset,
    settings: Settings,
    folder: Path,
    accelerator: Accelerator,
    start: str | None = None,
    workers: int = 0,
) -> Trainer:
    """Trains a DETR with progress bars, curves for TensorBoard, and a picture of own data.

    Args:
        model: see `first_model`.
        data: to train on.
        choose: to choose the best weights on.
        settings: see `Settings`.
        folder: of the run; one that was interrupted goes on.
        accelerator: see `Trainer`.
        start: name of the weights that the model has, for the checkpoint.
        workers: see `Trainer`.

    Returns:
        The trainer after its run.
    """
    origin = {"start": start, **sizes_of(model)}
    trainer = Trainer(
        model, data, choose, settings, folder, accelerator, workers=workers, origin=origin
    )
    trainer.check()
    if accelerator.is_main_process and isinstance(data, CocoScenes):
        draw_data(data, folder / "data.png")
    with progress_bars(disable=not accelerator.is_main_process) as progress:
        accelerator.init_trackers("tensorboard")
        trainer.report = ProgressReport(trainer, progress)
        with saved_on_signals(trainer):
            trainer.run()
    accelerator.end_training()
    return trainer


def report_run(trainer: Trainer, folder: Path) -> list[Symptom]:
    """Writes a page about a run with its best weights beside them, and returns what is wrong.

    The AP on training data is measured on as many images as there are to choose on.
    """
    accelerator = trainer.accelerator
    accelerator.wait_for_everyone()  # until the best weights are written
    detector = load_detector(folder / BEST)
    model, choose = detector.model.to(accelerator.device), trainer.choose
    test, known = find_out(model, choose, accelerator, choose.classes), None
    if trainer.dataset.source != choose.source:
        part = trainer.dataset.plain(len(choose))
        known = find_out(model, part, accelerator, part.classes)
    losses = trainer.losses
    steps = trainer.settings.steps if trainer.decided_by.get("start") is None else None
    found = symptoms(test, known, [loss for _, loss in losses], steps)
    if accelerator.is_main_process:
        from .page import write_page  # matplotlib takes long: only where it is used

        page, title = folder / PAGE, f"Training in {folder}"
        write_page(page, title, test, found, choose, choose.classes, trainer.history, losses)
    return found


@contextmanager
def saved_on_signals(trainer: Trainer) -> Iterator[None]:
    """Inside of the block, Ctrl-C or a request to end saves the run before it ends.

    What comes within `PATIENCE` after it is the same request: launchers pass it on once more.
    """
    asked: list[float] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, _) -> None:
        if trainer.stop and time.monotonic() - asked[0] > PATIENCE:
            restore()
            signal.raise_signal(number)
        elif not trainer.stop:
            asked.append(time.monotonic())
            trainer.stop = number

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


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
