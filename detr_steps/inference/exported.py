"""A model as a file for other programs: ONNX."""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as shortened

import torch

from ..arguments import check_arguments
from ..extras import needed
from ..files import whole_file
from ..inputs import kind, mismatch
from ..step8_set_loss import Step8
from .ready import for_inference
from .runtimes import INPUTS, OUTPUTS, OtherRuntime, as_graph


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
        short_side: pixels that the shorter side of an image is to be resized to: a whole number, at
            least 1. Both are kept in the file, as `detect` of the command line needs them.

    Raises:
        TypeError: `model` is no Step8, `file` no path, or `classes` no list of names.
        ValueError: there are not as many names as classes, `short_side` is not as above, or a
            package is missing.
        OSError: the file cannot be written.
    """
    if not isinstance(model, Step8):
        raise mismatch(TypeError, "model", "a Step8", type(model).__name__)
    if not isinstance(file, str | os.PathLike):
        raise mismatch(TypeError, "file", "a path", kind(file))
    check_arguments(short_side=short_side)
    classes = [str(i) for i in range(model.num_classes)] if classes is None else classes
    check_names(classes, model.num_classes)
    for package in ("onnx", "onnxscript"):
        needed(package, "onnx")
    with whole_file(Path(file)) as new:
        program = as_onnx(for_inference(model, dtype=torch.float32).cpu())
        program.model.metadata_props.update(
            classes=json.dumps(list(classes)), short_side=str(short_side), made_by="detr_steps"
        )
        program.save(new, external_data=False)


def check_names(classes: object, num_classes: int) -> None:
    """`classes` holds a name for each class."""
    expected = f"{num_classes} names"
    names = isinstance(classes, Sequence) and not isinstance(classes, str)
    if not names or not all(isinstance(name, str) for name in classes):
        found = shortened(classes) if names else kind(classes)
        raise mismatch(TypeError, "classes", expected, found)
    if len(classes) != num_classes:
        raise mismatch(ValueError, "classes", expected, len(classes))


def as_onnx(model: Step8) -> torch.onnx.ONNXProgram:
    """A model made ready by `for_inference`, as ONNX in memory."""
    with without_remarks("onnxscript"):
        return torch.onnx.export(
            as_graph(model), input_names=INPUTS, output_names=OUTPUTS, verbose=False
        )


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
