"""A model as a graph that other programs run: ONNX in one file, and OpenVINO in this process."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..inputs import check_images, check_padding_mask, mismatch
from ..step8_set_loss import Step8

INPUTS, OUTPUTS = ("images", "padding_mask"), ("class_logits", "bbox_pred")
Run = Callable[[dict[str, np.ndarray]], Sequence[np.ndarray]]


def export(
    model: Step8,
    file: str | Path,
    classes: Sequence[str] | None = None,
    short_side: int = 800,
) -> None:
    """Writes a model as one file of ONNX, which needs neither this package nor PyTorch.

    Its inputs are images float [B, 3, H, W], normalised as in training, and padding_mask bool
    [B, H, W], True on padding; all of B, H and W are free. Its outputs are class_logits [B, N, C+1]
    and bbox_pred [B, N, 4], those of the model within 1e-4.

    Args:
        model: a Step8, which is left as it is.
        file: a file there is replaced, once the new one is complete.
        classes: the name of each label, else its number.
        short_side: pixels that the shorter side of an image is to be resized to. Both are kept in
            the file, as `detect` of the command line needs them.

    Raises:
        TypeError: `model` is no Step8.
        ValueError: there are not as many names as classes, or a package is missing.
        OSError: the file cannot be written.
    """
    from .ready import for_inference  # which imports this module

    if not isinstance(model, Step8):
        raise mismatch(TypeError, "model", "a Step8", type(model).__name__)
    classes = [str(i) for i in range(model.num_classes)] if classes is None else list(classes)
    if len(classes) != model.num_classes:
        raise mismatch(ValueError, "classes", f"{model.num_classes} names", len(classes))
    for package in ("onnx", "onnxscript"):
        needed(package, "onnx")
    with replaced(Path(file)) as new:
        program = as_onnx(for_inference(model, dtype=torch.float32).cpu())
        program.model.metadata_props.update(
            classes=json.dumps(classes), short_side=str(short_side), made_by="detr_steps"
        )
        program.save(new, external_data=False)


def as_onnx(model: Step8) -> torch.onnx.ONNXProgram:
    """A model made ready by `for_inference`, as ONNX in memory."""
    with without_remarks("onnxscript"):
        return torch.onnx.export(
            as_graph(model), input_names=INPUTS, output_names=OUTPUTS, verbose=False
        )


def needed(package: str, extra: str) -> ModuleType:
    """A package that only some of the work needs."""
    try:
        return import_module(package)
    except ImportError as error:
        wanted = f"pip install 'detr_steps[{extra}]'"
        raise ValueError(f"{package}: expected the package, found none: {wanted}") from error


@contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """The name of a new file, which takes the place of `file` if the block ends well."""
    if file.is_dir():
        raise IsADirectoryError(f"{file}: expected the name of a file, found a folder")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{file}: expected an existing folder, found none")
    new = file.with_name(file.name + ".new")
    new.touch()  # what cannot be written fails here, and not after a minute
    try:
        yield new
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def without_remarks(library: str) -> Iterator[None]:
    """Inside of the block a library logs errors alone, and not what it leaves as it is."""
    logger = logging.getLogger(library)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class Predictions(nn.Module):
    """A Step8 that returns the predictions of its last layer alone, in order."""

    def __init__(self, model: Step8):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, padding_mask: Tensor) -> tuple[Tensor, ...]:
        """Images [B, 3, H, W], mask [B, H, W] -> class_logits [B, N, C+1], bbox_pred [B, N, 4]."""
        outputs = self.model(images, padding_mask)
        return tuple(outputs[name] for name in OUTPUTS)


def as_graph(model: Step8) -> ExportedProgram:
    """A model's operations, for any number of images of any size."""
    examples = torch.rand(2, 3, 96, 160), torch.zeros(2, 96, 160, dtype=torch.bool)
    free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}, dict.fromkeys(range(3), Dim.DYNAMIC)
    program = torch.export.export(
        Predictions(model).eval(),
        examples,
        dynamic_shapes=dict(zip(INPUTS, free, strict=True)),
        strict=True,  # without it `len(images)` is a number, and the batch is not free
    )
    return program.run_decompositions({torch.ops.aten.upsample_nearest2d.vec: resize_to_nearest})


def resize_to_nearest(maps: Tensor, size: Sequence[int], factors: None) -> Tensor:
    """The rule by which PyTorch resizes maps [B, C, H, W] to the nearest cells, spelled out.

    ONNX and OpenVINO round otherwise, and the edge of a padding mask is a cell off.
    """
    for axis, count in zip((2, 3), size, strict=True):
        both = (torch.scalar_tensor(n, dtype=torch.float32) for n in (maps.shape[axis], count))
        step = torch.div(*both)
        maps = maps.index_select(axis, (torch.arange(count) * step).long())
    return maps


class OtherRuntime(nn.Module):
    """A model that another library runs on the CPU. It is called as a Step8.

    Args:
        run: arrays images and padding_mask, by name -> arrays class_logits and bbox_pred.
    """

    def __init__(self, run: Run):
        super().__init__()
        self.run = run

    def forward(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Images [B, 3, H, W], mask [B, H, W] -> class_logits [B, N, C+1], bbox_pred [B, N, 4]."""
        check_images(images)
        if padding_mask is None:
            padding_mask = images.new_zeros(len(images), *images.shape[-2:], dtype=torch.bool)
        check_padding_mask(padding_mask, images)
        given = images.detach().float(), padding_mask
        found = self.run({k: v.cpu().numpy() for k, v in zip(INPUTS, given, strict=True)})
        tensors = (torch.from_numpy(array).to(images.device) for array in found)
        return dict(zip(OUTPUTS, tensors, strict=True))


def in_openvino(model: Step8, dtype: torch.dtype = torch.float32) -> OtherRuntime:
    """A model made ready by `for_inference`, run by OpenVINO in float32 or bfloat16."""
    openvino = needed("openvino", "openvino")
    graph = openvino.convert_model(as_graph(model.cpu()))
    precision = {torch.float32: "f32", torch.bfloat16: "bf16"}[dtype]
    # without a hint OpenVINO takes bfloat16 wherever the processor has it
    hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.compile_model(graph, "CPU", hints)
    return OtherRuntime(lambda arrays: list(compiled(list(arrays.values())).values()))


def read_onnx(file: Path) -> tuple[OtherRuntime, tuple[str, ...], int]:
    """A model that `export` wrote, run by onnxruntime; the names of its labels; its short side.

    Raises:
        ValueError: the file is no such model, or onnxruntime is not installed.
    """
    onnxruntime = needed("onnxruntime", "onnx")
    try:
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        notes = session.get_modelmeta().custom_metadata_map
        classes, short_side = tuple(json.loads(notes["classes"])), int(notes["short_side"])
    except Exception as error:  # onnxruntime has a class for each kind of damage
        raise ValueError(f"{file}: expected a model that `export` wrote: {error}") from error
    return OtherRuntime(lambda arrays: session.run(OUTPUTS, arrays)), classes, short_side
