"""Step8 made ready for inference beside ONNX Runtime and OpenVINO, which run its exported file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import openvino
import torch
from accelerate import Accelerator
from torch import nn

from detr_steps import Step8
from detr_steps.inference import export, for_inference
from detr_steps.inference.exported import read_onnx
from detr_steps.inference.runtimes import OtherRuntime
from detr_steps.training.detectors import load_detector
from detr_steps.training.evaluation import evaluate
from detr_steps.training.scenes import Scenes

from . import measure, models
from .rows import INFERENCE

BITS = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}
GOALS = {torch.float32: 1.05, torch.bfloat16: 1.5}
LOSS_GOAL = 0.3  # of AP, in percent
SCENES = 500
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.01}  # of boxes


@dataclass(frozen=True)
class Contestant:
    """A model that is run.

    Args:
        name: what makes it ready.
        dtype: of its numbers.
        ours: whether it is made by `for_inference`; else by another library, from the file.
        goal: whether it is held against the faster of the other libraries.
    """

    name: str
    dtype: torch.dtype
    ours: bool
    goal: bool
    model: Callable


def in_file(file: Path, dtype: torch.dtype) -> OtherRuntime:
    """An exported file, run by OpenVINO."""
    hints = {"INFERENCE_PRECISION_HINT": HINTS[dtype], "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(file, "CPU", hints)
    return OtherRuntime(lambda arrays: list(compiled(list(arrays.values())).values()))


def contestants(model: nn.Module, file: Path, compiled: bool = True) -> list[Contestant]:
    """Step8 as it is first; then every way to run it, with `compiled` also by `torch.compile`."""
    found = [Contestant("Step8 as it is", torch.float32, True, False, model)]
    for dtype in BITS:
        ways = {"for_inference": False, "compile=True": True, 'compile="openvino"': "openvino"}
        for name, way in ways.items():
            if way is not True or compiled:
                ready = for_inference(model, compile=way, dtype=dtype)
                goal = bool(way) or dtype is torch.bfloat16
                found.append(Contestant(name, dtype, True, goal, ready))
        if dtype is torch.float32:  # ONNX Runtime has no convolution in bfloat16 on x86
            session, *_ = read_onnx(file)
            found.append(Contestant("ONNX Runtime", dtype, False, False, session))
        found.append(Contestant("OpenVINO", dtype, False, False, in_file(file, dtype)))
    return found


def assert_same_boxes(found: list[Contestant], batch: models.Batch) -> None:
    """All contestants predict the same boxes, as far as their numbers allow."""
    expected = found[0].model(batch.images)["bbox_pred"]
    for one in found[1:]:
        boxes = one.model(batch.images)["bbox_pred"]
        torch.testing.assert_close(boxes, expected, rtol=0, atol=TOLERANCE[one.dtype])


@torch.no_grad()
def runtimes(
    pairs: int, sizes=INFERENCE, compiled: bool = True, model: Step8 | None = None
) -> Iterator[dict]:
    """A row for each contestant at each size; all of them run in turn, round by round."""
    torch.manual_seed(0)
    model = model or models.make_ours()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(model, file)
        found = contestants(model, file, compiled)
        for size, shape in sizes.items():
            batch = models.make_batch(*shape)
            assert_same_boxes(found, batch)
            works = [partial(one.model, batch.images) for one in found]
            yield from runtime_rows(size, found, measure.rounds_of(works, pairs))


def runtime_rows(size: str, found: list[Contestant], times: list[list[float]]) -> Iterator[dict]:
    """The rows of one size; `times` are the seconds of each contestant, round by round."""
    plain = times[0]
    for one, seconds in zip(found, times, strict=True):
        others = [
            t for o, t in zip(found, times, strict=True) if o.dtype == one.dtype and not o.ours
        ]
        fastest = min(others, key=median)
        ratios = [a / b for a, b in zip(seconds, fastest, strict=True)]
        yield {
            "group": BITS[one.dtype],
            "name": f"{size}, {one.name}",
            "ours": one.ours,
            "seconds": median(seconds),
            "of_plain": median(a / b for a, b in zip(seconds, plain, strict=True)),
            "ratio": median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "goal": GOALS[one.dtype] if one.goal else None,
        }


def precision(count: int = SCENES, compiled: bool = True) -> Iterator[dict]:
    """AP of the shipped weights on unseen scenes, by each way to run them."""
    detector, data = load_detector("shipped"), Scenes(count, "test")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(detector.model, file, detector.classes, detector.short_side)
        whole = None
        for one in contestants(detector.model, file, compiled):
            ap = evaluate(one.model, data, Accelerator(cpu=True))["map"]
            whole = ap if whole is None else whole
            goal = LOSS_GOAL if one.goal else None
            yield {
                "group": BITS[one.dtype],
                "name": one.name,
                "ap": ap,
                "loss": whole - ap,
                "goal": goal,
            }
