"""A model as a file for other programs: ONNX."""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from ..extras import needed
from ..inputs import check_predictions, kind, mismatch
from ..reading import check_class_names, check_side, parse_json, plain_file
from ..step8_set_loss import Step8
from ..writing import whole_file
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
        short_side: pixels that the shorter side of an image is to be resized to: a whole number in
            1..4096. Both are kept in the file, as `detect` of the command line needs them.

    Raises:
        TypeError: `model` is no Step8, or `file` no path.
        ValueError: `classes` are not as many names as there are classes, which can be printed,
            `short_side` is not as above, or a package is missing.
        OSError: the file cannot be written.
    """
    if not isinstance(model, Step8):
        raise mismatch(TypeError, "model", "a Step8", type(model).__name__)
    if not isinstance(file, str | os.PathLike):
        raise mismatch(TypeError, "file", "a path", kind(file))
    check_side(short_side, "short_side")
    classes = [str(i) for i in range(model.num_classes)] if classes is None else classes
    check_class_names(classes, "classes", model.num_classes)
    for package in ("onnx", "onnxscript"):
        needed(package, "onnx")
    with whole_file(Path(file)) as new:
        program = as_onnx(for_inference(model, dtype=torch.float32).cpu())
        program.model.metadata_props.update(
            classes=json.dumps(list(classes)), short_side=str(short_side), made_by="detr_steps"
        )
        program.save(new, external_data=False)


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
        session = onnxruntime.InferenceSession(plain_file(file), providers=["CPUExecutionProvider"])
        notes = session.get_modelmeta().custom_metadata_map
        given = tuple(one.name for one in session.get_inputs())
        returned = tuple(one.name for one in session.get_outputs())
        last = session.get_outputs()[0].shape[-1]
    except Exception as error:  # onnxruntime has a class for each kind of damage
        raise ValueError(f"{file}: expected a model that `export` wrote: {error}") from error
    if (given, returned) != (INPUTS, OUTPUTS):
        found = f"{', '.join(given)} -> {', '.join(returned)}"
        raise ValueError(f"{file}: expected a model that `export` wrote, found {found}")
    classes, short_side = read_notes(notes, file, last - 1 if isinstance(last, int) else None)

    def run(arrays: dict[str, np.ndarray]) -> Sequence[np.ndarray]:
        try:
            found = session.run(OUTPUTS, arrays)
            tensors = dict(zip(OUTPUTS, map(torch.from_numpy, found), strict=True))
            check_predictions(tensors, len(classes), "predictions")
        except Exception as error:  # as above
            reason = f"expected a model that `export` wrote, which failed: {error}"
            raise ValueError(f"{file}: {reason}") from error
        return found

    return OtherRuntime(run), classes, short_side


def read_notes(
    notes: Mapping[str, str], file: Path, count: int | None = None
) -> tuple[tuple[str, ...], int]:
    """The classes and the short side that stand in a file beside its weights.

    Args:
        notes: texts by name.
        file: whose they are, for errors.
        count: of the classes, where the weights say it.

    Raises:
        ValueError: they are missing, or are not what a model can be used with.
    """
    for name in ("classes", "short_side"):
        if name not in notes:
            raise ValueError(f"{file}: expected {name} among its notes, found {sorted(notes)}")
    classes = parse_json(notes["classes"], f"{file}: classes")
    check_class_names(classes, f"{file}: classes", count)
    side = parse_json(notes["short_side"], f"{file}: short_side")
    check_side(side, f"{file}: short_side")
    return tuple(classes), side
