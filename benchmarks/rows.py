"""What is measured: a row for each piece of work, its goal, and how it grows."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detr_steps import Step8
from detr_steps.inference import for_inference
from detr_steps.notebook import lesson

from . import measure, models
from .models import Batch, make_batch, make_pair

INFERENCE = {"1x3x800x1066": (1, 800, 1066), "2x3x640x640": (2, 640, 640)}
TRAINING = (2, 640, 640)


@dataclass(frozen=True)
class Row:
    """One line of the table; times in seconds, memory in bytes."""

    group: str
    name: str
    ours: float
    theirs: float
    ratio: float
    lowest: float
    highest: float
    goal: float | None = None
    reached: float | None = None  # share of the machine's matrix-product rate
    convolutions: float | None = None  # share of Step8's time

    @property
    def met(self) -> bool:
        """Whether the goal, if there is one, is met."""
        return self.goal is None or self.ratio <= self.goal


def row(
    group: str, name: str, times: measure.Times, goal=None, multiply_adds=None, convolutions=None
) -> Row:
    """A row of what was timed."""
    return Row(
        group,
        name,
        median(times.ours),
        median(times.theirs),
        times.ratio,
        *times.spread,
        goal,
        None if multiply_adds is None else times.reached(multiply_adds),
        convolutions,
    )


def count_multiply_adds(work: Callable[[], object]) -> float:
    """Multiply-adds of matrix products, convolutions and attention, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2


@torch.no_grad()
def assert_same_predictions(ours, theirs, batch: Batch) -> None:
    """Both contestants say the same."""
    for mine, other in zip(
        models.our_predictions(ours, batch), models.their_predictions(theirs, batch), strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-4 * float(other.abs().max()))


def assert_same_loss(ours, theirs, batch: Batch) -> None:
    """Both contestants' losses are the same."""
    mine, other = models.our_loss(ours, batch), models.their_loss(theirs, batch)
    torch.testing.assert_close(mine, other, rtol=1e-4, atol=0)


def inference(pairs: int, compiled: bool = False, sizes=INFERENCE, **sides) -> Iterator[Row]:
    """Images to predictions: Step8 made ready by `for_inference`, and DETR as it is."""
    ours, theirs = make_pair(**sides)
    ours, theirs = for_inference(ours, compile=compiled), theirs.requires_grad_(False)
    group = "inference, compiled" if compiled else "inference"
    for name, size in sizes.items():
        for padded in (False,) if compiled else (False, True):
            batch = make_batch(*size, padded=padded)
            mine = torch.no_grad()(partial(models.our_predictions, ours, batch))
            other = torch.no_grad()(partial(models.their_predictions, theirs, batch))
            assert_same_predictions(ours, theirs, batch)
            yield row(
                group,
                name + (", padded" if padded else ""),
                measure.in_turn(mine, other, pairs),
                goal=0.45 if compiled else 0.55,
                multiply_adds=count_multiply_adds(other),
                convolutions=None if compiled else measure.convolution_share(mine),
            )


GOALS = {(4, 10): 0.32, (16, 20): 0.16}


def matching_and_loss(pairs: int, sizes=None, **sides) -> Iterator[Row]:
    """Predictions of six layers to the loss and its gradients, for the same predictions."""
    ours, _ = make_pair(**sides)
    counts = [(b, n) for b in (2, 4, 8, 16) for n in (7, 10, 20, 60)]
    for batch_size, objects in sizes or counts:
        mine, other = loss_works(ours, batch_size, objects)
        torch.testing.assert_close(mine(), other(), rtol=1e-4, atol=0)
        yield row(
            "matching + loss",
            f"batch {batch_size}, {objects} objects an image",
            measure.in_turn(mine, other, pairs),
            goal=GOALS.get((batch_size, objects)),
        )


def loss_works(ours, batch_size: int, objects: int, num_queries: int = 100, layers: int = 6):
    """Forward and backward of both losses on the same random predictions, as two functions."""
    generator = torch.Generator().manual_seed(0)
    shape = (layers, batch_size, num_queries)
    logits = torch.randn(*shape, models.NUM_CLASSES + 1, generator=generator).requires_grad_()
    boxes = (0.1 + 0.8 * torch.rand(*shape, 4, generator=generator)).requires_grad_()
    targets = models.make_targets(batch_size, objects, generator)

    def mine():
        *aux, last = (
            {"class_logits": a, "bbox_pred": b} for a, b in zip(logits, boxes, strict=True)
        )
        loss = ours.compute_loss({**last, "aux_outputs": aux}, targets)
        loss.backward()
        return loss.detach()

    def other():
        loss = models.official_loss(logits, boxes, targets, models.NUM_CLASSES)
        loss.backward()
        return loss.detach()

    return mine, other


def training_step(model: nn.Module, loss_of: Callable, batch: Batch) -> Callable[[], None]:
    """Forward, backward, clipping and AdamW, as a function."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-5, weight_decay=1e-4, fused=True)

    def step():
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        nn.utils.clip_grad_norm_(trained, 0.1)
        optimizer.step()

    return step


def freeze_stem(model: nn.Module) -> None:
    """What DETR does not train: the stem and the first stage."""
    if isinstance(model, Step8):
        frozen = model.backbone[:5]
    else:
        backbone = model.model.backbone.model
        frozen = nn.ModuleList([backbone.embedder, backbone.encoder.stages[0]])
    frozen.requires_grad_(False)


def training(pairs: int, size=TRAINING, **sides) -> Iterator[Row]:
    """Whole training steps, of all parameters, and of those that DETR trains."""
    batch = make_batch(*size)
    for name, freeze, goal in (
        ("all parameters", False, 0.80),
        ("stem and first stage frozen", True, 0.65),
    ):
        ours, theirs = make_pair(**sides)
        assert_same_loss(ours, theirs, batch)
        if freeze:
            freeze_stem(ours)
            freeze_stem(theirs)
        ours.train()
        theirs.train()
        mine = training_step(ours, models.our_loss, batch)
        other = training_step(theirs, models.their_loss, batch)
        yield row(
            "training step",
            name,
            measure.in_turn(mine, other, pairs),
            goal,
            count_multiply_adds(other),
            measure.convolution_share(mine),
        )


def use_memory(which: int, train: bool, freeze: bool, size, sides: dict) -> None:
    """One contestant's inference or two training steps, from building the model on."""
    model = (models.make_ours, models.make_theirs)[which](**sides)
    batch = make_batch(*size)
    if freeze:
        freeze_stem(model)
    if train:
        model.train()
        step = training_step(model, (models.our_loss, models.their_loss)[which], batch)
        step()
        step()
    else:
        if which == 0:
            model = for_inference(model)
        with torch.no_grad():
            (models.our_predictions, models.their_predictions)[which](model, batch)


def memory(size=TRAINING, **sides) -> Iterator[Row]:
    """Peaks of a fresh process each."""
    cases = (
        ("inference", False, False, None),
        ("training step, all parameters", True, False, 0.85),
        ("training step, stem and first stage frozen", True, True, None),
    )
    for name, train, freeze, goal in cases:
        ours, theirs = (
            measure.peak_memory(use_memory, which, train, freeze, size, sides) for which in (0, 1)
        )
        ratio = ours / theirs
        yield Row("peak memory", name, ours, theirs, ratio, ratio, ratio, goal)


def importing(pairs: int) -> Iterator[Row]:
    """The time to import the model's class."""
    times = measure.in_turn(
        lambda: measure.python("-c", "from detr_steps import Step8"),
        lambda: measure.python("-c", "from transformers import DetrForObjectDetection"),
        pairs,
    )
    yield row("import", "the model's class, in a fresh process", times)


@dataclass(frozen=True)
class Growth:
    """Seconds of both contestants over a growing size, and the fitted exponents."""

    name: str
    sizes: list[float]
    ours: list[float]
    theirs: list[float]

    def exponents(self) -> dict[str, float]:
        """Of both."""
        return {
            "ours": measure.exponent(self.sizes, self.ours),
            "theirs": measure.exponent(self.sizes, self.theirs),
        }

    def as_dict(self) -> dict:
        """For the file."""
        return {**asdict(self), "exponents": self.exponents()}


def grow(name: str, sizes, make_works: Callable, pairs: int) -> Growth:
    """Times over `sizes`; `make_works` turns a size into the two functions to time."""
    times = [measure.in_turn(*make_works(size), pairs) for size in sizes]
    return Growth(
        name, list(sizes), [median(t.ours) for t in times], [median(t.theirs) for t in times]
    )


def growth(pairs: int, short: bool = False, **sides) -> Iterator[Growth]:
    """Inference over area, batch and queries; matching and loss over batch, queries and objects."""
    yield from inference_growth(pairs, short, sides)
    yield from loss_growth(pairs, short, sides)


def predictions(ready: Step8, theirs: nn.Module, batch: Batch) -> tuple[Callable, Callable]:
    """Inference of both contestants on a batch, as two functions."""
    return (
        torch.no_grad()(partial(models.our_predictions, ready, batch)),
        torch.no_grad()(partial(models.their_predictions, theirs, batch)),
    )


QUERIES = (100, 200, 300, 600, 900)


def inference_growth(pairs: int, short: bool, sides: dict) -> Iterator[Growth]:
    """Inference over area, batch and queries."""
    ours, theirs = make_pair(**sides)
    ready = for_inference(ours)
    scales = (2, 3) if short else (8, 12, 16, 20, 25)
    areas = {32 * s * 42 * s: (1, 32 * s, 42 * s) for s in scales}
    yield grow(
        "inference over image area (pixels)",
        areas,
        lambda area: predictions(ready, theirs, make_batch(*areas[area])),
        pairs,
    )
    height, width = (64, 84) if short else (256, 336)
    yield grow(
        "inference over batch (256x336)",
        (1, 2) if short else (1, 2, 4, 8),
        lambda n: predictions(ready, theirs, make_batch(n, height, width)),
        pairs,
    )

    def with_queries(count: int) -> tuple[Callable, Callable]:
        mine, other = make_pair(**{**sides, "num_queries": count})
        return predictions(for_inference(mine), other, make_batch(1, 64, 84))

    queries = (10, 20) if short else QUERIES
    yield grow("inference over queries (64x84)", queries, with_queries, pairs)


def loss_growth(pairs: int, short: bool, sides: dict) -> Iterator[Growth]:
    """Matching and loss over batch, queries and objects."""
    ours, _ = make_pair(**sides)
    yield grow(
        "matching + loss over batch (20 objects)",
        (1, 2) if short else (1, 2, 4, 8, 16),
        lambda n: loss_works(ours, n, 20),
        pairs,
    )
    yield grow(
        "matching + loss over queries (batch 4, 20 objects)",
        (30, 40) if short else QUERIES,
        lambda n: loss_works(ours, 4, 20, num_queries=n),
        pairs,
    )
    yield grow(
        "matching + loss over objects (batch 4)",
        (5, 10) if short else (5, 10, 20, 40, 80),
        lambda n: loss_works(ours, 4, n),
        pairs,
    )


def steps(pairs: int, side: int = 640, **arguments) -> Iterator[dict]:
    """What each step's forward costs on one image, its time as a share of Step 8's."""
    image = torch.rand(1, 3, side, side)
    models = [step(**arguments).eval().requires_grad_(False) for step in lesson.STEPS]
    for model in models:
        model(image)
    rounds = [[measure.clock(partial(model, image)) for model in models] for _ in range(pairs)]
    for i, step in enumerate(lesson.STEPS):
        parameters, multiply_adds = lesson.count_cost(step)
        yield {
            "step": i,
            "parameters": parameters,
            "multiply_adds": multiply_adds,
            "time": median(seconds[i] / seconds[-1] for seconds in rounds),
        }
