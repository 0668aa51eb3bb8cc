"""Checkpoints that survive a hard stop, and weights as safetensors."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import nn

CHECKPOINT = "last.checkpoint"
PARTS = {"stage", "step", "module", "optimizer", "scheduler", "scaler", "history", "losses", "run"}


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
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or set(state) != PARTS:
            raise ValueError("its content is another")
    except Exception as error:
        raise ValueError(f"{path}: expected a complete checkpoint: {error}") from error
    before = state["run"]
    if changed := [key for key in {**before, **run} if before.get(key) != run.get(key)]:
        found = "; ".join(f"{key} was {before.get(key)}, is {run.get(key)}" for key in changed)
        raise ValueError(
            f"{path}: expected to go on with the same run, found another one: {found}. Choose "
            "another folder with --out, or what that run had"
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
