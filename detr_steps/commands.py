"""The command line: `python -m detr_steps --help`."""

import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from enum import StrEnum
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from PIL import Image, ImageDraw
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torch.utils.data import Dataset

from .course.protection import Wish, choose_protection
from .inference import export as write_onnx
from .reading import MOST_SIDE, read_toml
from .step8_set_loss import Step8
from .training.coco import CocoScenes, compare_classes
from .training.detectors import Detector, describe_classes, first_model, load_detector
from .training.evaluation import METRICS, percent
from .training.findings import Symptom, find_out, symptoms
from .training.huggingface import write_folder
from .training.lock import one_run
from .training.next_commands import next_commands
from .training.pictures import check_shape, opened, read_picture
from .training.run import PAGE, report_run, run_training, survey_data, training_data
from .training.scenes import Scenes
from .training.sizes import SIDES, describe, sizes_of
from .training.survey import FEWEST_QUERIES, draw_data
from .training.trainer import BEST, PRESETS, Settings, Trainer
from .writing import check_file, check_folder, whole_file

app = typer.Typer(
    help="Train Step8, DETR, evaluate it, and detect with it. Without options it learns from "
    "scenes that it draws itself, on whatever device there is. Run the notebooks, make a course "
    "out of them, and grade what comes back. And measure: ablations, the film of the matching, "
    "mutants that the checker rejects, benchmarks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Precision(StrEnum):
    """Of the numbers in training."""

    no = "no"
    bf16 = "bf16"
    fp16 = "fp16"


class ModelName(StrEnum):
    """Of the models that training can begin with."""

    small = "small"
    medium = "medium"
    r50 = "r50"


def read_config(context: typer.Context, file: Path | None) -> Path | None:
    """Takes options from a TOML file; those of the command line win."""
    if file is not None:
        with plain_errors():
            settings = read_toml(file)
        known = {parameter.name for parameter in context.command.params}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise typer.BadParameter(f"{file}: no such option: {', '.join(unknown)}")
        context.default_map = {**(context.default_map or {}), **settings}
    return file


def parse_size(text: str) -> int:
    """Bytes of a size that is written as 4G or 500M."""
    match = re.fullmatch(r"(\d+)([MG])", text)
    if match is None:
        raise typer.BadParameter(f'expected a size as "4G" or "500M", found "{text}"')
    return int(match[1]) * {"M": 2**20, "G": 2**30}[match[2]]


# the options of `train`, and those that several commands share
Config = Annotated[
    Path | None,
    typer.Option(
        callback=read_config, is_eager=True, help="TOML file with options of this command"
    ),
]
Cpu = Annotated[bool, typer.Option(help="leave a GPU alone")]
Images = Annotated[
    Path | None, typer.Option(help="folder of images of a data set in COCO's format; else scenes")
]
Annotations = Annotated[Path | None, typer.Option(help="its JSON file")]
ChooseImages = Annotated[Path | None, typer.Option(help="images to choose the best weights on")]
ChooseAnnotations = Annotated[Path | None, typer.Option(help="their JSON file")]
Model = Annotated[
    ModelName | None,
    typer.Option(
        help="small and medium are for a CPU; r50 is DETR itself with a backbone from ImageNet",
        show_default="medium for your own data, small for scenes",
    ),
]
Side = Annotated[
    int | None,
    typer.Option(
        min=32,
        max=MOST_SIDE,
        help="shorter side of COCO images, in pixels",
        show_default="that of the weights to start from, or by the data",
    ),
]
Queries = Annotated[
    int | None,
    typer.Option(
        min=1, help="number of queries", show_default="twice the most objects, at least 16"
    ),
]
TrainScenes = Annotated[int, typer.Option(min=1, help="number of training scenes")]
ChooseScenes = Annotated[
    int,
    typer.Option(min=1, help="scenes, or images of the training data, to choose the weights on"),
]
RunFolder = Annotated[Path, typer.Option(help="folder of the run; an interrupted run goes on")]
Start = Annotated[
    str | None,
    typer.Option(
        help="weights to start from: shipped, official, official-r101, official-dc5, a file, or a "
        "folder of transformers; leaves out the warm start"
    ),
]


def setting(name: str, help: str = "", **bounds: int):
    """An option whose default depends on the model."""
    values = {kind: f"{getattr(settings, name):g}" for kind, settings in PRESETS.items()}
    default = ", ".join(f"{kind} {value}" for kind, value in values.items())
    if len(set(values.values())) == 1:
        default = values["small"]
    return typer.Option(help=help, show_default=default, **bounds)


Steps = Annotated[int | None, setting("steps", "steps with the set loss", min=1)]
PretrainSteps = Annotated[int | None, setting("pretrain_steps", "steps of the dense warm start")]
BatchSize = Annotated[int | None, setting("batch_size", "over all processes")]
Accumulate = Annotated[
    int | None,
    setting(
        "accumulate",
        "splits a batch into so many parts, to save memory; each has its own batch norm",
    ),
]
Workers = Annotated[int, typer.Option(min=0, help="processes that read images, beside this one")]
LearningRate = Annotated[float | None, setting("lr", "learning rate")]
WarmRate = Annotated[
    float | None, setting("warm_lr", "learning rate of the parts that are trained already")
]
WeightDecay = Annotated[float | None, setting("weight_decay")]
Clip = Annotated[float | None, setting("clip", "longest gradient")]
EvaluateEvery = Annotated[int | None, setting("evaluate_every", "steps")]
SaveEvery = Annotated[int | None, setting("save_every", "steps")]
StudySteps = Annotated[int, typer.Option(min=1, help="steps with the set loss")]
StudyPretrainSteps = Annotated[int, typer.Option(min=0, help="steps of the dense warm start")]
Seed = Annotated[int, typer.Option()]
MixedPrecision = Annotated[Precision, typer.Option(help="mixed precision on a GPU")]
Weights = Annotated[
    str,
    typer.Option(
        help="shipped, official, official-dc5, official-r101, official-r101-dc5, or a file, also "
        "of ONNX"
    ),
]
WeightsFile = Annotated[
    str | None, typer.Argument(help="the weights; the same as --weights", show_default=False)
]
Notebooks = Annotated[
    list[Path] | None, typer.Argument(help="default: all in notebooks/", show_default=False)
]
PictureFile = Annotated[Path, typer.Argument(help="PNG file to write")]


@contextmanager
def plain_errors() -> Iterator[None]:
    """An error that the user can mend is printed, without a traceback, and ends the command."""
    try:
        yield
    except (ValueError, OSError) as error:
        Console(stderr=True).print(
            "[red]error:[/red]", escape(str(error)), highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from error
    except KeyboardInterrupt as stopped:
        typer.echo(str(stopped) or "stopped")
        raise typer.Exit(128 + getattr(stopped, "number", signal.SIGINT)) from stopped


@contextmanager
def checkout_needed(folder: str) -> Iterator[None]:
    """Inside of the block a folder is imported that is not installed with the package."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != folder:
            raise
        raise ValueError(f"{folder}/ not found: run this in a checkout of the project") from error


def find_lessons(notebooks: list[Path] | None, beyond: bool = False) -> list[Path]:
    """The notebooks that are named, or the nine of the project whose folder this is run in.

    With `beyond`, those that go on from them as well.
    """
    paths = notebooks or sorted(Path("notebooks").glob("Step*.ipynb"))
    if beyond and not notebooks:
        paths += sorted(Path("notebooks/beyond").glob("*.ipynb"))
    if not paths:
        raise ValueError("no notebooks found: run this in the project's folder, or name some")
    return paths


def result_table(rows: list[dict[str, float]], title: str) -> Table:
    """Evaluations as a table, in percent; "-" where there is no object of that size."""
    table = Table(title=Text(title))
    if "step" in rows[0]:
        table.add_column("step", justify="right")
    for name in METRICS.values():
        table.add_column(name, justify="right")
    for row in rows:
        numbers = [percent(row[key]) for key in METRICS]
        table.add_row(*([str(row["step"])] if "step" in row else []), *numbers)
    return table


def chosen_kind(options: Mapping[str, Any], start: Detector | None) -> str:
    """The kind of model of `train`, as `sizes_of` has it: given, or by start and data."""
    if start is None:
        usual = ModelName.small if options["images"] is None else ModelName.medium
        chosen = options["model"] or usual
        return "full" if chosen is ModelName.r50 else chosen.value
    if options["model"] is not None:
        raise ValueError(
            f"model: expected none beside start, whose model it is, found {options['model'].value}"
        )
    return sizes_of(start.model)["kind"]


def chosen_settings(options: Mapping[str, Any], kind: str) -> Settings:
    """The settings of `train`: as given, and else by the kind of model."""
    given = {field.name: options.get(field.name) for field in fields(Settings)}
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = replace(PRESETS[kind], **chosen)
    return settings if options["start"] is None else replace(settings, pretrain_steps=0)


@app.command(
    epilog="For several GPUs or machines put `accelerate launch -m` in the place of `python -m`."
)
@plain_errors()
def train(
    out: RunFolder = Path("runs/scenes"),
    images: Images = None,
    annotations: Annotations = None,
    choose_images: ChooseImages = None,
    choose_annotations: ChooseAnnotations = None,
    start: Start = None,
    model: Model = None,
    side: Side = None,
    queries: Queries = None,
    scenes: TrainScenes = 16000,
    choose_scenes: ChooseScenes = 300,
    steps: Steps = None,
    pretrain_steps: PretrainSteps = None,
    batch_size: BatchSize = None,
    accumulate: Accumulate = None,
    lr: LearningRate = None,
    warm_lr: WarmRate = None,
    weight_decay: WeightDecay = None,
    clip: Clip = None,
    seed: Seed = 0,
    evaluate_every: EvaluateEvery = None,
    save_every: SaveEvery = None,
    workers: Workers = 0,
    precision: MixedPrecision = Precision.no,
    cpu: Cpu = False,
    config: Config = None,
) -> None:
    """Train a DETR; stop it any time, the same command goes on."""
    options, begin = locals(), time.perf_counter()
    accelerator = chosen_accelerator(cpu, precision, out)
    with one_run(out, accelerator):
        source = load_detector(start) if start else None
        kind, side = chosen_kind(options, source), side or getattr(source, "short_side", None)
        settings, (data, choose) = chosen_settings(options, kind), chosen_data(options, kind, side)
        queries = chosen_queries(queries, side, data, choose, accelerator)
        network = chosen_model(source, kind, data, queries, seed)
        trainer = run_training(network, data, choose, settings, out, accelerator, start, workers)
        print_run(trainer, out, begin)


def chosen_accelerator(cpu: bool, precision: Precision, out: Path) -> Accelerator:
    """Where `train` computes; it logs into the run's folder."""
    mixed = precision.value
    return Accelerator(cpu=cpu, mixed_precision=mixed, log_with="tensorboard", project_dir=out)


def print_symptoms(found: list[Symptom], page: Path) -> None:
    """Prints what is known about the numbers of a model, and where more of them are."""
    console = Console(quiet=not PartialState().is_main_process)
    for one in found:
        lines = f"{one.seen}\n  from: {one.cause}\n  remedy: {one.remedy}"
        console.print(escape(lines), highlight=False, soft_wrap=True)
    console.print(f"page: {page}", highlight=False, soft_wrap=True)


def chosen_data(options: Mapping[str, Any], kind: str, side: int | None) -> tuple[Dataset, Dataset]:
    """The data of `train`, for a kind of model, with images of a side if one is wanted."""
    given = {**options, "kind": kind, "side": side}
    return training_data(**{name: given[name] for name in signature(training_data).parameters})


def chosen_model(
    start: Detector | None, kind: str, data: Dataset, queries: int, seed: int
) -> Step8:
    """The model of `train`; prints its sizes, and which parts of it are newly initialised."""
    torch.manual_seed(seed)
    model, new = first_model(start, data.classes, queries, kind)
    if PartialState().is_main_process:
        typer.echo(describe(model, data.short_side))
        if new:
            typer.echo(f"newly initialised, wholly or partly: {', '.join(new)}")
    return model


def chosen_queries(
    queries: int | None,
    side: int | None,
    data: Dataset,
    choose: Dataset,
    accelerator: Accelerator,
) -> int:
    """The number of queries: as wanted, or as data of one's own asks for, which is looked at.

    Where no side is wanted, such data is given the one that it asks for, too.
    """
    if not isinstance(data, CocoScenes):
        return queries or FEWEST_QUERIES
    if accelerator.is_main_process:
        side, queries = survey_data(data, choose, side, queries)
    side, queries = broadcast_object_list([side, queries])
    data.set_side(side)
    choose.set_side(side)
    return queries


@app.command()
@plain_errors()
def data(
    images: Annotated[Path, typer.Argument(help="folder of images")],
    annotations: Annotated[Path, typer.Argument(help="JSON file in COCO's format")],
    side: Side = None,
    out: Annotated[Path, typer.Option(help="PNG file to write")] = Path("runs/data.png"),
) -> None:
    """Look at a data set of your own: what is in it, what would be left out, what is wrong."""
    check_file(out)
    scenes = CocoScenes(images, annotations, side or SIDES["medium"])
    side, queries = survey_data(scenes, scenes, side, None)
    scenes.set_side(side)
    draw_data(scenes, out)
    typer.echo(f"chosen: {queries} queries, images of {side} pixels; drawn in {out}")


def print_run(trainer: Trainer, out: Path, begin: float) -> None:
    """Prints what came of a run that began at a reading of the clock, and writes a page of it."""
    print_history(trainer, out, begin)
    print_symptoms(report_run(trainer, out), out / PAGE)
    print_next(trainer, out)


def print_history(trainer: Trainer, out: Path, begin: float) -> None:
    """Prints the evaluations of a run that began at a reading of the clock."""
    minutes = (time.perf_counter() - begin) / 60
    console = Console(quiet=not trainer.accelerator.is_main_process)
    console.print(result_table(trainer.history, "on the data to choose on"))
    console.print(f"{minutes:.1f} minutes; best weights: {out / BEST}")


def print_next(trainer: Trainer, out: Path) -> None:
    """Prints the commands that come after a run."""
    if trainer.accelerator.is_main_process:
        for purpose, command in next_commands(out, trainer.choose).items():
            typer.echo(f"{purpose}:\n  {command}")


@app.command("evaluate")
@plain_errors()
def evaluate_command(
    context: typer.Context,
    file: WeightsFile = None,
    weights: Weights = "shipped",
    images: Images = None,
    annotations: Annotations = None,
    scenes: Annotated[int, typer.Option(min=1, help="number of held-out scenes")] = 500,
    split: Annotated[str, typer.Option(help="of the scenes: train, choose or test")] = "test",
    seed: Annotated[int, typer.Option(help="of the scenes")] = 0,
    page: Annotated[Path, typer.Option(help="HTML file to write")] = Path("runs/evaluation.html"),
    cpu: Cpu = False,
    config: Config = None,
) -> None:
    """COCO's average precision of trained weights, on held-out scenes or a COCO data set."""
    if (images is None) != (annotations is None):
        raise ValueError("images, annotations: expected both or none, found one of them")
    if file is not None and context.get_parameter_source("weights").name == "COMMANDLINE":
        raise ValueError(f"weights: expected FILE or --weights, found both, {file} and {weights}")
    check_file(page)
    weights = file or weights
    accelerator = Accelerator(cpu=cpu)
    detector = load_detector(weights)
    if images is None:
        data: Dataset = Scenes(scenes, split, seed=seed)
        if detector.classes != Scenes.classes:
            raise ValueError(f"{weights}: expected weights that know the classes of the scenes")
    else:
        side = detector.short_side
        data = CocoScenes(images, annotations, side, classes=detector.classes)
        for line in compare_classes(detector.classes, tuple(data.names.values())):
            PartialState().print(line)
    from .training.page import write_page  # matplotlib takes long: only where it is used

    model = detector.model.to(accelerator.device)
    findings = find_out(model, data, accelerator, data.classes)
    if accelerator.is_main_process:
        title, known = f"{weights} on {len(data)} images", symptoms(findings)
        Console().print(result_table([findings.scores], title))
        write_page(page, title, findings, known, data, data.classes)
        print_symptoms(known, page)


@app.command()
@plain_errors()
def detect(
    pictures: Annotated[list[Path], typer.Argument(help="image files")],
    weights: Weights = "shipped",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="least score that is drawn")] = 0.7,
    out: Annotated[Path, typer.Option(help="folder for the drawn pictures")] = Path("detections"),
) -> None:
    """Find objects in pictures: prints them, and draws them into copies."""
    check_folder(out)
    detector = load_detector(weights).ready()
    typer.echo(describe_classes(detector.classes))
    copies = copy_paths(pictures, out)
    for path in pictures:
        with opened(path) as file:  # before anything is written
            check_shape(path, file.size, detector.short_side)
    for path, copy in zip(pictures, copies, strict=True):
        picture = read_picture(path)
        found = detector.find(picture, threshold)
        if not found["boxes"].isfinite().all():
            raise ValueError(f"{weights}: expected weights that find finite boxes, found others")
        draw_found(picture, found, detector.classes)
        out.mkdir(parents=True, exist_ok=True)
        with whole_file(copy) as new:
            picture.save(new)
        Console().print(found_table(found, detector.classes, str(path)))
        typer.echo(f"drawn in {copy}")


def copy_paths(pictures: list[Path], out: Path) -> list[Path]:
    """Where the drawn copy of each picture goes: one file for each, and no picture itself.

    Raises:
        ValueError: a copy would take the place of a picture.
    """
    copies: dict[str, Path] = {}  # names that differ in their case alone are one on some systems
    for path in pictures:
        name, number = f"{path.stem}.found.png", 1
        while name.casefold() in copies:
            number += 1
            name = f"{path.stem}.found-{number}.png"
        copies[name.casefold()] = out / name
    drawn = {copy.resolve() for copy in copies.values()}
    for path in pictures:
        if path.resolve() in drawn:
            raise ValueError(f"out: expected a folder where no picture lies, found {path}")
    return list(copies.values())


def found_table(found: dict[str, Tensor], classes: tuple[str, ...], name: str) -> Table:
    """The detections in a picture as a table, corners in its pixels."""
    table = Table(title=Text(f"{name}: {len(found['scores'])} objects"))
    for column in ("class", "score", "x1", "y1", "x2", "y2"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for score, label, box in zip(*found.values(), strict=True):
        corners = [f"{number:.0f}" for number in box.tolist()]
        table.add_row(Text(classes[int(label)]), f"{score:.2f}", *corners)
    return table


def draw_found(picture: Image.Image, found: dict[str, Tensor], classes: tuple[str, ...]) -> None:
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


class Library(StrEnum):
    """What an exported model is for."""

    onnx = "onnx"
    huggingface = "huggingface"


@app.command()
@plain_errors()
def export(
    out: Annotated[Path, typer.Argument(help="a file as model.onnx, or a folder")],
    weights: Weights = "official",
    to: Annotated[
        Library | None, typer.Option(show_default="onnx for a name that ends in .onnx")
    ] = None,
) -> None:
    """Write a model for other programs: as a file of ONNX, which `detect` runs as well, or, if it
    was trained from official weights, as a folder for Hugging Face's `transformers`."""
    detector = load_detector(weights)
    sizes_of(detector.model)  # refuses what can only detect
    if to is Library.onnx or (to is None and out.suffix == ".onnx"):
        write_onnx(detector.model, out, detector.classes, detector.short_side)
    else:
        write_folder(detector.model, detector.classes, detector.short_side, out)
    typer.echo(f"written: {out}")


@app.command("run")
@plain_errors()
def run_command(
    notebooks: Notebooks = None,
    out: Annotated[Path, typer.Option(help="folder for the pages")] = Path("build"),
    save: Annotated[
        bool, typer.Option("--save", help="store the outputs in the notebooks")
    ] = False,
) -> None:
    """Execute the notebooks top to bottom, and write them as pages of HTML."""
    from .notebook.runner import BEYOND, run_notebooks  # needs the extra "notebooks"

    check_folder(out)
    executed = run_notebooks(find_lessons(notebooks, beyond=True), save)
    folders = [
        path.parent.parent if path.parent.name == BEYOND else path.parent for path in executed
    ]
    for folder in dict.fromkeys(folders):
        write_site(folder, out, executed=executed)


@app.command()
@plain_errors()
def site(
    out: Annotated[Path, typer.Option(help="folder for the site")] = Path("build/site"),
    repository: Annotated[
        str, typer.Option(help="the project's address on GitHub, for buttons to Colab and Binder")
    ] = "",
    branch: Annotated[str, typer.Option(help="of the repository")] = "main",
) -> None:
    """Write a site of the notebooks as they are stored, which needs no network."""
    (folder,) = {path.parent for path in find_lessons(None)}
    write_site(folder, out, repository=repository, branch=branch, slides=True)


@app.command()
@plain_errors()
def slides(
    out: Annotated[Path, typer.Option(help="folder for the decks")] = Path("build/slides"),
) -> None:
    """Write a deck of slides for each step, from the cells that are tagged for it."""
    from .pages.slides import build_slides  # needs the extra "notebooks"

    (folder,) = {path.parent for path in find_lessons(None)}
    build_slides(folder, out)
    typer.echo(f"the slides are in {out}/: open {out / 'index.html'}")


def write_site(folder: Path, out: Path, **options: Any) -> None:
    """Writes the pages of a folder of notebooks, and says where they are."""
    from .pages.site import build_site  # needs the extra "notebooks"

    problems = build_site(folder, out, **options)
    if problems:
        typer.echo(f"problems of the pages:\n{problems}", err=True)
    typer.echo(f"the pages are in {out}/: open {out / 'index.html'}")


@app.command("overview")
@plain_errors()
def overview_command(file: PictureFile) -> None:
    """Draw the whole of DETR in one picture."""
    from .notebook.overview import overview  # needs the extra "notebooks"

    with whole_file(file) as new:
        overview().savefig(new, dpi=100, facecolor="white")


@app.command("gallery")
@plain_errors()
def gallery_command(file: PictureFile) -> None:
    """Draw what the shipped model finds in unseen scenes."""
    from .notebook.gallery import gallery  # needs the extra "notebooks"

    with whole_file(file) as new:
        picture = gallery(load_detector("shipped"), Scenes(500, "test"))
        picture.savefig(new, dpi=100, facecolor="white")


@app.command()
@plain_errors()
def course(
    notebooks: Notebooks = None,
    out: Annotated[Path, typer.Option(help="folder for the course")] = Path("build/course"),
    student: Annotated[
        bool, typer.Option("--student", help="the students' copies alone, nothing is executed")
    ] = False,
) -> None:
    """Make a course: notebooks for students, notebooks with the solutions, and pages of both."""
    from .course.copies import KINDS, write_course  # needs the extra "notebooks"

    paths = find_lessons(notebooks)
    kinds = KINDS[:1] if student else KINDS
    problems = write_course(paths, out, kinds)
    written = "student/, and its pages" if student else "student/, solved/, and pages of both"
    typer.echo(f"{len(paths)} notebooks in {out}/: {written} in html/")
    if problems:
        raise ValueError("not passed in solved/:\n  " + "\n  ".join(problems))


@app.command()
@plain_errors()
def grade(
    folder: Annotated[Path, typer.Argument(help="notebooks, also in sub-folders")],
    time_limit: Annotated[float, typer.Option(help="seconds for one notebook")] = 600,
    memory_limit: Annotated[
        int, typer.Option(parser=parse_size, metavar="SIZE", help='for one notebook, as "500M"')
    ] = "4G",
    out: Annotated[
        list[Path], typer.Option(help="file for the table, .csv or .json; may be given twice")
    ] = (Path("grades.csv"),),
    protection: Annotated[
        Wish, typer.Option(help="keep notebooks from the network and from all files but their own")
    ] = Wish.auto,
) -> None:
    """Grade a folder of notebooks, each in a process of its own, with protection if there is any.

    Protection needs Linux and bwrap or unshare. Where neither works, notebooks run with your
    rights; the table says which it was.
    """
    from .course import grades, grading  # needs the extra "notebooks"

    paths = grading.find_notebooks(folder)
    if not paths:
        raise ValueError(f"{folder}: no notebooks found")
    grades.check_endings(out)
    kept, gap = choose_protection(protection, [folder, *(file.parent for file in out)])
    if not kept:
        typer.echo(f"No protection ({gap}). {grades.UNPROTECTED_MEANS}", err=True)
    reports = [
        grading.grade_notebook(path, time_limit, memory_limit, kept)
        for path in track(paths, "grading", console=Console(stderr=True))
    ]
    names = [path.relative_to(folder).as_posix() for path in paths]
    table = grades.Grades(names, reports, kept, gap)
    Console().print(table.table())
    for file in out:
        table.write(file)
    typer.echo(f"written to {' and '.join(map(str, out))}")


@app.command("ablations")
@plain_errors()
def ablations_command(
    out: Annotated[
        Path | None,
        typer.Option(help="CSV file, else the package's own; runs that it holds are left out"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="runs of each variant")] = 6,
    steps: StudySteps = 1000,
    pretrain_steps: StudyPretrainSteps = 800,
    scenes: TrainScenes = 8000,
    jobs: Annotated[int, typer.Option(help="seeds at a time; they share the processors")] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help="a variant beside DETR, else all of them")
    ] = None,
) -> None:
    """Measure what each part of DETR is worth: train without it, from every seed."""
    with checkout_needed("experiments"):
        from experiments.ablations import Study, run_ablations
    from .notebook.results import ABLATIONS  # needs the extra "notebooks"

    run_ablations(out or ABLATIONS, seeds, Study(steps, pretrain_steps, scenes), jobs, only)


@app.command("film")
@plain_errors()
def film_command(
    out: Annotated[
        Path | None, typer.Option(help="safetensors file, else the package's own")
    ] = None,
    steps: StudySteps = 1500,
    pretrain_steps: StudyPretrainSteps = 1000,
    scenes: TrainScenes = 8000,
) -> None:
    """Record which query the matching gives to which object while the small model is trained."""
    with checkout_needed("experiments"):
        from experiments.film import record_film
    from .notebook.film import FILM  # needs the extra "notebooks"

    record_film(out or FILM, steps, pretrain_steps, scenes)


@app.command("mutants")
@plain_errors()
def mutants_command(
    only: Annotated[
        str | None, typer.Option(help="a task of the exercises, as Step4, whose module is tried")
    ] = None,
    least: Annotated[float, typer.Option(help="share to be rejected, else exit 1")] = 0.97,
) -> None:
    """Count how many wrong versions of the nine steps the checker of the exercises rejects."""
    with checkout_needed("experiments"):
        from experiments.mutants import run_mutants

    if run_mutants(only) < least:
        raise typer.Exit(1)


@app.command("benchmarks")
@plain_errors()
def benchmarks_command(
    out: Annotated[
        Path | None,
        typer.Option(help="folder for results.json and the pictures, else benchmarks/"),
    ] = None,
    pairs: Annotated[int, typer.Option(help="rounds of a row: Step8, then the other")] = 5,
    only: Annotated[
        list[str] | None,
        typer.Option(help='rows to measure again, as "loss"; a wrong name lists all'),
    ] = None,
) -> None:
    """Time Step8 beside Hugging Face's DETR: same weights, same inputs, same answers, in turn."""
    with checkout_needed("benchmarks"):
        from benchmarks.run import HERE, run_benchmarks
    run_benchmarks(out or HERE, pairs, only)
