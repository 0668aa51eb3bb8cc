"""Checkpoints that survive a hard stop, and weights as safetensors."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..reading import one_line, plain_file
from ..writing import whole_file

CHECKPOINT = "last.checkpoint"
STAGES = ("pretrain", "train")
PARTS = {"stage", "step", "module", "optimizer", "scheduler", "scaler", "history", "losses", "run"}


def save_checkpoint(folder: Path, state: Mapping) -> None:
    """Replaces the last checkpoint of a run by `state`."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / CHECKPOINT) as new, new.open("wb") as file:
        torch.save(dict(state), file)  # into an open file: its error then tells of a full disk


def load_checkpoint(folder: Path, run: Mapping[str, Any]) -> dict | None:
    """The last checkpoint of a run in `folder`, or None where there is none.

    Args:
        folder: of the run.
        run: what decides it: settings and data, by name.

    Raises:
        ValueError: the file is no complete checkpoint, or one of a run that was decided otherwise.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state = read_pickle(path)
        check_parts(state)
    except Exception as error:  # torch raises many classes on damage
        reason = one_line(error)  # torch's are pages long
        raise ValueError(f"{path}: expected a complete checkpoint: {reason}") from error
    before = state["run"]
    if changed := [key for key in {**before, **run} if before.get(key) != run.get(key)]:
        found = "; ".join(f"{key} was {before.get(key)}, is {run.get(key)}" for key in changed)
        raise ValueError(
            f"{path}: expected to go on with the same run, found another one: {found}. Choose "
            "another folder with --out, or what that run had"
        )
    return state


def check_parts(state: object) -> None:
    """A checkpoint holds what `Trainer` goes on from, each part of its kind.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(state, dict) or set(state) != PARTS:
        raise ValueError("its content is another")
    kinds = {"stage": str, "step": int, "history": list, "losses": list}
    for name, part in state.items():
        kind = kinds.get(name, dict)
        if not isinstance(part, kind):
            raise ValueError(f"{name}: expected a {kind.__name__}, found {part!r:.60}")
    if state["stage"] not in STAGES or state["step"] < 0:
        found = f"{state['step']} of {state['stage']}"
        raise ValueError(f"stage: expected a step of {' or '.join(STAGES)}, found {found:.60}")
    if not state["module"]:
        raise ValueError("module: expected tensors, found none")
    for row in state["history"]:
        check_form({"step": 0, "map": 0.0, "map_50": 0.0}, row, "history")
    for pair in state["losses"]:
        check_form((0, 0.0), pair, "losses")


def check_form(expected: Any, found: Any, name: str) -> None:
    """`found` has the kinds and shapes of `expected`; a dict may hold more.

    Raises:
        ValueError: it has not.
    """
    numbers = (int, float)
    if isinstance(expected, Tensor):
        shape = list(expected.shape)
        if not isinstance(found, Tensor) or list(found.shape) != shape:
            raise ValueError(f"{name}: expected a tensor of shape {shape}, found {kind_of(found)}")
    elif isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            raise ValueError(f"{name}: expected a dict, found {kind_of(found)}")
        for key, value in expected.items():
            if key not in found:
                raise ValueError(f"{name}: expected {key!r}, found {list(found)!r:.60}")
            check_form(value, found[key], f"{name}[{key!r}]")
    elif isinstance(expected, list | tuple):
        if not isinstance(found, list | tuple) or len(found) != len(expected):
            raise ValueError(f"{name}: expected {len(expected)} values, found {kind_of(found)}")
        for i, (one, other) in enumerate(zip(expected, found, strict=True)):
            check_form(one, other, f"{name}[{i}]")
    elif isinstance(expected, numbers) and isinstance(found, numbers):
        if isinstance(expected, bool) is not isinstance(found, bool):
            raise ValueError(f"{name}: expected a {kind_of(expected)}, found {kind_of(found)}")
    elif type(expected) is not type(found):
        raise ValueError(f"{name}: expected a {kind_of(expected)}, found {kind_of(found)}")


def kind_of(value: Any) -> str:
    """A value in a few characters, for an error."""
    shape = f" of shape {list(value.shape)}" if isinstance(value, Tensor) else f" {value!r:.40}"
    return type(value).__name__ + shape


def read_pickle(path: Path) -> Any:
    """What `torch.save` has written: tensors and plain values. No code in the file is run.

    Raises:
        Exception: of many classes; the file is something else, or would unfold in memory.
    """
    plain_file(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > path.stat().st_size:  # torch compresses nothing
            raise ValueError(f"expected no compressed parts, found {size} bytes in them")
    return torch.load(path, map_location="cpu", weights_only=True)


def save_weights(model: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes a model's weights as safetensors, atomically."""
    state = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(state, path, dict(metadata or {}))


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Writes tensors as safetensors, whole or not at all."""
    with whole_file(path) as new:
        new.write_bytes(save(tensors, metadata))


def load_weights(model: nn.Module, path: Path) -> None:
    """Loads weights that `save_weights` wrote.

    Raises:
        ValueError: the file is no complete safetensors file, or does not fit the model.
    """
    check_weights(model, read_header(path)[0], path)
    model.load_state_dict(load_file(path))


def read_header(path: Path) -> tuple[dict[str, list[int]], dict[str, str]]:
    """The shapes of the tensors in a file of safetensors, and the notes beside them.

    Raises:
        ValueError: the file is no complete safetensors file.
    """
    try:
        with safe_open(plain_file(path), "pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
            return shapes, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a complete safetensors file: {error}") from error


def check_weights(model: nn.Module, shapes: Mapping[str, list[int]], path: Path) -> None:
    """The tensors of a file are those of the model.

    Raises:
        ValueError: they are not; the first that differs is named.
    """
    own = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in sorted({*own, *shapes}, key=lambda name: (name in own, name)):
        expected, found = (list(which.get(name, [])) for which in (own, shapes))
        if name not in own or name not in shapes or expected != found:
            sizes = [
                f"{name} {shape}" if name in which else f"no {name}"
                for which, shape in ((own, expected), (shapes, found))
            ]
            raise ValueError(
                f"{path}: expected the weights of this model, with {sizes[0]}, found {sizes[1]}"
            )
