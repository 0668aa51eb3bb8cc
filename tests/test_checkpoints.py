"""Weights and checkpoints as files: what is written, and what is said of another file."""

import pytest
import torch
from torch import nn

from detr_steps.training.checkpoints import (
    check_weights,
    load_checkpoint,
    load_weights,
    read_header,
    save_checkpoint,
    save_weights,
)

STATE = {"optimizer": {}, "scheduler": {}, "scaler": {}}
STATE |= {"module": {"weight": torch.zeros(1)}, "run": {"seed": 1}}
STATE |= {"stage": "train", "step": 0, "losses": [(3, 1.5)]}
ROW = {"step": 2, "map": 1, "map_50": 0.5}
STATE |= {"history": [ROW]}


def test_folders_are_made_for_a_file(tmp_path):
    model, folder = nn.Linear(2, 3), tmp_path / "a" / "b"
    save_weights(model, folder / "w.safetensors", {"classes": "two"})
    assert read_header(folder / "w.safetensors")[1] == {"classes": "two"}
    other = nn.Linear(2, 3)
    load_weights(other, folder / "w.safetensors")
    assert torch.equal(model.weight, other.weight)
    save_checkpoint(tmp_path / "c" / "d", STATE)
    assert load_checkpoint(tmp_path / "c" / "d", {"seed": 1}) == STATE


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"bias": [3]}, "with weight [3, 2], found no weight"),
        ({"bias": [3], "weight": [2, 3]}, "with weight [3, 2], found weight [2, 3]"),
        ({"bias": [3], "weight": [3, 2], "scale": [1]}, "with no scale, found scale [1]"),
        ({"bias": [3], "weight": [3, 2], "scale": []}, "with no scale, found scale []"),
    ],
)
def test_the_first_weight_that_differs_is_named(shapes, message, tmp_path):
    with pytest.raises(ValueError) as raised:
        check_weights(nn.Linear(2, 3), shapes, tmp_path)
    assert str(raised.value) == f"{tmp_path}: expected the weights of this model, {message}"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"w\.safetensors: expected a complete safetensors file"):
        read_header(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"w\.safetensors: expected a complete safetensors file"):
        read_header(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"more": 1}, "its content is another"),
        ({"step": -1}, "stage: expected a step of pretrain or train, found -1 of train"),
        ({"stage": "test"}, "stage: expected a step of pretrain or train, found 0 of test"),
        ({"module": {}}, "module: expected tensors, found none"),
        ({"history": [ROW | {"step": None}]}, "history['step']: expected a int 0, found NoneType"),
        ({"history": [ROW | {"map": "1"}]}, "history['map']: expected a float 0.0, found str '1'"),
        ({"history": [ROW | {"map_50": []}]}, "history['map_50']: expected a float 0.0, found lis"),
        ({"losses": [(1, 0.5, 2)]}, "losses: expected 2 values, found tuple"),
        ({"losses": [(1, "low")]}, "losses[1]: expected a float 0.0, found str 'low'"),
        ({"losses": [(True, 0.5)]}, "losses[0]: expected a int 0, found bool True"),
    ],
)
def test_a_checkpoint_of_another_content_is_refused(changes, message, tmp_path):
    save_checkpoint(tmp_path, STATE | changes)
    with pytest.raises(ValueError) as raised:
        load_checkpoint(tmp_path, STATE["run"])
    file = tmp_path / "last.checkpoint"
    assert str(raised.value).startswith(f"{file}: expected a complete checkpoint: {message}")


def test_a_list_in_place_of_a_checkpoint_is_refused(tmp_path):
    torch.save([1], tmp_path / "last.checkpoint")
    with pytest.raises(ValueError, match="its content is another"):
        load_checkpoint(tmp_path, {})
