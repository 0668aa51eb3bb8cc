"""Checkpoints that survive a hard stop, and weights as safetensors."""

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import nn

CHECKPOINT = "last.checkpoint"
PARTS = {"stage", "step", "module", "optimizer", "scheduler", "scaler", "history", "settings"}


def write_atomically(path: Path, write) -> None:
    """Calls `write` with the name of a new file, which replaces `path` only once it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    write(new)
    with new.open("rb+") as file:
        os.fsync(file.fileno())
    new.replace(path)


def save_checkpoint(folder: Path, state: Mapping) -> None:
    """Replaces the last checkpoint of a run by `state`."""
    write_atomically(folder / CHECKPOINT, lambda path: torch.save(dict(state), path))


def load_checkpoint(folder: Path, settings: Mapping) -> dict | None:
    """The last checkpoint of a run in `folder`, or None where there is none.

    Raises:
        ValueError: the file is no complete checkpoint of a run with the same settings.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or set(state) != PARTS:
            raise ValueError("its content is another")
    except Exception as error:
        raise ValueError(f"{path}: expected a complete checkpoint: {error}") from error
    if state["settings"] != dict(settings):
        changed = [key for key in settings if state["settings"].get(key) != settings[key]]
        raise ValueError(
            f"{path}: expected a run with the same settings, found another {', '.join(changed)}; "
            "choose another folder, or the settings of that run"
        )
    return state


def save_weights(model: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes a model's weights as safetensors, atomically."""
    state = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    write_atomically(path, lambda new: save_file(state, new, dict(metadata or {})))


def load_weights(model: nn.Module, path: Path) -> None:
    """Loads weights that `save_weights` wrote.

    Raises:
        ValueError: the file is no complete safetensors file, or does not fit the model.
    """
    try:
        state = load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path}: expected a complete safetensors file: {error}") from error
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path}: expected the weights of this model: {error}") from error
