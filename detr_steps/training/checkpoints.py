"""Checkpoints that survive a hard stop, and weights as safetensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import nn

from ..files import whole_file

CHECKPOINT = "last.checkpoint"
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
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as new:
        new.write_bytes(save(state, dict(metadata or {})))


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
