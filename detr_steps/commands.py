"""The command line: `python -m detr_steps --help`."""

import re
import time
import tomllib
from dataclasses import fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import torch
import typer
from accelerate import Accelerator
from PIL import Image, ImageDraw, UnidentifiedImageError
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
from rich.table import Table
from torch.utils.data import Dataset

from .inference import detections
from .training.coco import CocoScenes
from .training.detectors import Detector, load_detector, start_from
from .training.evaluation import evaluate
from .training.scenes import Scenes
from .training.small import small_detr
from .training.trainer import BEST, Settings, Trainer

COLUMNS = {
    "map": "AP",
    "map_50": "AP50",
    "map_75": "AP75",
    "map_small": "small",
    "map_medium": "medium",
    "map_large": "large",
}
DEFAULTS = {field.name: field.default for field in fields(Settings)}

app = typer.Typer(
    help="Train Step8, DETR, evaluate it, and detect with it. Without options it learns from "
    "scenes that it draws itself, on whatever device there is. And teach with the notebooks: make "
    "a course out of them, and grade what comes back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Precision(StrEnum):
    """Of the numbers in training."""

    no = "no"
    bf16 = "bf16"
    fp16 = "fp16"


def read_config(context: typer.Context, file: Path | None) -> Path | None:
    """Takes options from a TOML file; those of the command line win."""
    if file is not None:
        try:
            settings = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise typer.BadParameter(f"{file}: {error}") from error
        known = {parameter.name for parameter in context.command.params}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise typer.BadParameter(f"{file}: no such option: {', '.join(unknown)}")
        context.default_map = {**(context.default_map or {}), **settings}
    return file


Config = Annotated[
    Path | None,
    typer.Option(
        callback=read_config, is_eager=True, help="TOML file with options of this command"
    ),
]
Images = Annotated[
    Path | None, typer.Option(help="folder of images of a data set in COCO's format; else scenes")
]
Annotations = Annotated[Path | None, typer.Option(help="its JSON file")]
Weights = Annotated[
    str,
    typer.Option(
        help="shipped, official, official-dc5, official-r101, official-r101-dc5, or a file"
    ),
]


def parse_size(text: str) -> int:
    """Bytes of a size that is written as 4G or 500M."""
    match = re.fullmatch(r"(\d+)([MG])", text)
    if match is None:
        raise typer.BadParameter(f'expected a size as "4G" or "500M", found "{text}"')
    return int(match[1]) * {"M": 2**20, "G": 2**30}[match[2]]


def fail(error: Exception) -> typer.Exit:
    """Prints an error that the user can mend, without a traceback."""
    Console(stderr=True).print(
        "[red]error:[/red]", escape(str(error)), highlight=False, soft_wrap=True
    )
    return typer.Exit(1)


def result_table(rows: list[dict[str, float]], title: str) -> Table:
    """Evaluations as a table, in percent; "-" where there is no object of that size."""
    table = Table(title=title)
    if "step" in rows[0]:
        table.add_column("step", justify="right")
    for name in COLUMNS.values():
        table.add_column(name, justify="right")
    for row in rows:
        numbers = [f"{row[key]:.1f}" if row[key] >= 0 else "-" for key in COLUMNS]
        table.add_row(*([str(row["step"])] if "step" in row else []), *numbers)
    return table


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="folder of the run; an interrupted run goes on")] = Path(
        "runs/scenes"
    ),
    images: Images = None,
    annotations: Annotations = None,
    choose_images: Annotated[
        Path | None, typer.Option(help="images to choose the best weights on")
    ] = None,
    choose_annotations: Annotated[Path | None, typer.Option(help="their JSON file")] = None,
    start: Annotated[
        str | None,
        typer.Option(help="weights to start from: shipped, or a file; leaves out the warm start"),
    ] = None,
    side: Annotated[int, typer.Option(help="shorter side of COCO images, in pixels")] = 96,
    scenes: Annotated[int, typer.Option(help="number of training scenes")] = 8000,
    choose_scenes: Annotated[int, typer.Option(help="scenes to choose the weights on")] = 300,
    steps: Annotated[int, typer.Option(help="steps with the set loss")] = DEFAULTS["steps"],
    pretrain_steps: Annotated[
        int, typer.Option(help="steps of the backbone's dense warm start")
    ] = DEFAULTS["pretrain_steps"],
    batch_size: Annotated[int, typer.Option(help="over all processes")] = DEFAULTS["batch_size"],
    lr: Annotated[float, typer.Option(help="learning rate")] = DEFAULTS["lr"],
    backbone_lr: Annotated[float, typer.Option(help="of the backbone")] = DEFAULTS["backbone_lr"],
    weight_decay: Annotated[float, typer.Option()] = DEFAULTS["weight_decay"],
    clip: Annotated[float, typer.Option(help="longest gradient")] = DEFAULTS["clip"],
    seed: Annotated[int, typer.Option()] = DEFAULTS["seed"],
    evaluate_every: Annotated[int, typer.Option(help="steps")] = DEFAULTS["evaluate_every"],
    save_every: Annotated[int, typer.Option(help="steps")] = DEFAULTS["save_every"],
    precision: Annotated[Precision, typer.Option(help="mixed precision on a GPU")] = Precision.no,
    cpu: Annotated[bool, typer.Option(help="leave a GPU alone")] = False,
    config: Config = None,
) -> None:
    """Train a small DETR; stop it any time, the same command goes on.

    `accelerate launch -m detr_steps train` does it on several GPUs or machines.
    """
    values = locals() | ({"pretrain_steps": 0} if start else {})
    settings = Settings(**{name: values[name] for name in DEFAULTS if name in values})
    try:
        accelerator = Accelerator(
            cpu=cpu, mixed_precision=precision.value, log_with="tensorboard", project_dir=out
        )
        if images is None:
            data: Dataset = Scenes(scenes, seed=seed)
            choose = Scenes(choose_scenes, "choose", seed=seed)
        else:
            sides = tuple(round(side * part) for part in (0.6, 0.7, 0.8, 0.9, 1.0))
            data = CocoScenes(images, annotations or "", train=True, sides=sides)
            choose = CocoScenes(
                choose_images or images, choose_annotations or annotations, sides=(side,)
            )
        torch.manual_seed(seed)
        model = small_detr(len(data.classes))
        if start:
            start_from(model, data.classes, start)
        begin = time.perf_counter()
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]:.2f}  AP {task.fields[ap]}"),
            disable=not accelerator.is_main_process,
        ) as progress:
            bars: dict[str, int] = {}
            smooth: dict[str, float] = {}

            def report(stage: str, step: int, steps: int, loss: float) -> None:
                smooth[stage] = loss + 0.98 * (smooth.get(stage, loss) - loss)
                ap = f"{trainer.history[-1]['map']:.1f}" if trainer.history else "-"
                if stage not in bars:
                    bars[stage] = progress.add_task(stage, total=steps, loss=loss, ap=ap)
                progress.update(bars[stage], completed=step, loss=smooth[stage], ap=ap)
                if step % 50 == 0:
                    values = {"loss": smooth[stage], **trainer.watch()}
                    accelerator.log({f"{stage}/{k}": v for k, v in values.items()}, step=step)

            accelerator.init_trackers("tensorboard")
            trainer = Trainer(model, data, choose, settings, out, accelerator, report)
            trainer.run()
        accelerator.end_training()
    except (ValueError, OSError) as error:
        raise fail(error) from error
    if accelerator.is_main_process:
        minutes = (time.perf_counter() - begin) / 60
        console = Console()
        console.print(result_table(trainer.history, "on the data to choose on"))
        console.print(f"{minutes:.1f} minutes; best weights: {out / BEST}")


@app.command("evaluate")
def evaluate_command(
    weights: Weights = "shipped",
    images: Images = None,
    annotations: Annotations = None,
    scenes: Annotated[int, typer.Option(help="number of held-out scenes")] = 500,
    split: Annotated[str, typer.Option(help="of the scenes: train, choose or test")] = "test",
    seed: Annotated[int, typer.Option(help="of the scenes")] = 0,
    cpu: Annotated[bool, typer.Option(help="leave a GPU alone")] = False,
    config: Config = None,
) -> None:
    """COCO's average precision of trained weights, on held-out scenes or a COCO data set."""
    try:
        accelerator = Accelerator(cpu=cpu)
        detector = load_detector(weights)
        if images is None:
            data: Dataset = Scenes(scenes, split, seed=seed)
        else:
            data = CocoScenes(images, annotations or "", sides=(detector.short_side,))
        if len(data.classes) > len(detector.classes):
            raise ValueError(
                f"weights: expected at least {len(data.classes)} classes, "
                f"found {len(detector.classes)}"
            )
        result = evaluate(detector.model.to(accelerator.device), data, accelerator)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    if accelerator.is_main_process:
        Console().print(result_table([result], f"{weights} on {len(data)} images"))


@app.command()
def detect(
    pictures: Annotated[list[Path], typer.Argument(help="image files")],
    weights: Weights = "shipped",
    threshold: Annotated[float, typer.Option(help="least score that is drawn")] = 0.7,
    out: Annotated[Path, typer.Option(help="folder for the drawn pictures")] = Path("detections"),
) -> None:
    """Find objects in pictures: prints them, and draws them into copies."""
    try:
        detector = load_detector(weights)
        detector = replace(detector, model=detector.model.for_inference())
        out.mkdir(parents=True, exist_ok=True)
        for path in pictures:
            try:
                picture = Image.open(path).convert("RGB")
            except (OSError, UnidentifiedImageError) as error:
                raise ValueError(f"{path}: cannot be read as an image: {error}") from error
            found = find(detector, picture, threshold)
            draw(picture, found, detector.classes)
            picture.save(out / f"{path.stem}.png")
            table = Table(title=f"{path}: {len(found['scores'])} objects")
            for name in ("class", "score", "x1", "y1", "x2", "y2"):
                table.add_column(name, justify="left" if name == "class" else "right")
            for score, label, box in zip(*found.values(), strict=True):
                corners = [f"{number:.0f}" for number in box.tolist()]
                table.add_row(detector.classes[int(label)], f"{score:.2f}", *corners)
            Console().print(table)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    typer.echo(f"drawn in {out}/")


@torch.no_grad()
def find(detector: Detector, picture: Image.Image, threshold: float) -> dict[str, torch.Tensor]:
    """Scores [K], labels [K] and corners [K, 4] in the picture's pixels, best first."""
    outputs = detector.model(detector.prepare(picture))
    return detections(outputs, [(picture.height, picture.width)], threshold)[0]


def draw(picture: Image.Image, found: dict[str, torch.Tensor], classes: tuple[str, ...]) -> None:
    """Draws detections into a picture."""
    pen = ImageDraw.Draw(picture)
    width = max(1, round(min(picture.size) / 200))
    for score, label, box in zip(*found.values(), strict=True):
        corners = box.tolist()
        pen.rectangle(corners, outline="#D55E00", width=width)
        name = f"{classes[int(label)]} {score:.2f}"
        left, top = corners[0], max(corners[1] - 11, 0)
        pen.rectangle(pen.textbbox((left, top), name), fill="#D55E00")
        pen.text((left, top), name, fill="white")


@app.command()
def course(
    notebooks: Annotated[
        list[Path] | None, typer.Argument(help="default: all in notebooks/", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for the course")] = Path("build/course"),
) -> None:
    """Make a course: notebooks for students, notebooks with the solutions, and pages of both."""
    from .course.copies import write_course  # needs the extra "notebooks"

    paths = notebooks or sorted(Path("notebooks").glob("Step*.ipynb"))
    try:
        if not paths:
            raise ValueError("no notebooks found: run this in the project's folder, or name some")
        problems = write_course(paths, out)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    typer.echo(f"{len(paths)} notebooks in {out}/: student/, solved/, and pages of both in html/")
    if problems:
        raise fail(ValueError("not passed in solved/:\n  " + "\n  ".join(problems)))


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(help="notebooks, also in sub-folders")],
    time_limit: Annotated[float, typer.Option(help="seconds for one notebook")] = 600,
    memory_limit: Annotated[
        int, typer.Option(parser=parse_size, metavar="SIZE", help='for one notebook, as "500M"')
    ] = "4G",
    out: Annotated[Path, typer.Option(help="file for the table")] = Path("grades.csv"),
) -> None:
    """Grade a folder of notebooks, each in a process of its own. This is no sandbox."""
    from .course import grading  # needs the extra "notebooks"

    try:
        paths = grading.find_notebooks(folder)
        if not paths:
            raise ValueError(f"{folder}: no notebooks found")
        reports = [
            grading.grade_notebook(path, time_limit, memory_limit)
            for path in track(paths, "grading", console=Console(stderr=True))
        ]
        names = [path.relative_to(folder).as_posix() for path in paths]
        rows = grading.table_rows(names, reports)
        grading.write_table(rows, out)
    except (ValueError, OSError) as error:
        raise fail(error) from error
    Console().print(grading.draw_table(rows))
    typer.echo(f"written to {out}")
