"""The settings of training: what they are, and the learning rate that follows from them."""

from dataclasses import asdict

import pytest

from detr_steps.training.trainer import FINE_TUNING, PHOTOGRAPHS, PRESETS, Settings, schedule


def test_the_settings_are_those_that_were_measured():
    """Changed by intention alone: the shipped weights and the numbers of the notes are of these."""
    small = {
        "steps": 9500,
        "pretrain_steps": 2000,
        "warm_decoder": False,
        "batch_size": 8,
        "accumulate": 1,
        "lr": 2e-3,
        "warm_lr": 3e-4,
        "pretrain_lr": 2e-3,
        "weight_decay": 1e-4,
        "warmup": 100,
        "clip": 0.1,
        "seed": 0,
        "evaluate_every": 1000,
        "save_every": 250,
    }
    medium = {"steps": 3000, "pretrain_steps": 1500, "warm_decoder": True, "lr": 1e-3}
    full = {"steps": 5000, "pretrain_steps": 0, "batch_size": 4, "warmup": 1}
    full |= {"lr": 1e-4, "warm_lr": 1e-5, "evaluate_every": 500, "save_every": 100}
    assert asdict(Settings()) == small
    assert asdict(PHOTOGRAPHS) == small | medium and asdict(FINE_TUNING) == small | full
    assert {"small": Settings(), "medium": PHOTOGRAPHS, "full": FINE_TUNING} == PRESETS


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.25), (1, 0.5 * 0.9755), (3, 0.7939), (5, 0.5), (10, 0.0), (11, 0.0), (30, 0.0)],
)
def test_the_learning_rate_rises_and_falls_as_a_cosine(step, expected):
    factor = schedule(Settings(steps=10, warmup=4))
    assert factor(step) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("warmup", [0, 1])
def test_without_a_warm_up_it_begins_at_the_top(warmup):
    factor = schedule(Settings(steps=2, warmup=warmup))
    assert [factor(step) for step in range(3)] == pytest.approx([1, 0.5, 0])
    factor = schedule(Settings(steps=0, warmup=warmup))
    assert factor(0) == 1 and factor(1) == pytest.approx(0)


def test_clipping_by_nothing_is_refused_and_by_one_is_not():
    assert Settings(clip=1).clip == 1
    with pytest.raises(ValueError, match=r"^clip: expected a finite number above 0, found 0"):
        Settings(clip=0)
