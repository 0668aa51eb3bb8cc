"""What is only seen after hours: memory in a long run, and a run that is ended again and again."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from detr_steps.inference import for_inference
from detr_steps.training.checkpoints import CHECKPOINT
from detr_steps.training.detectors import load_detector
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import BEST, Settings, Trainer

pytestmark = pytest.mark.long
GROWTH = 16  # MiB; measured: 0.5 in training
FOR_SIZES = 64  # MiB; PyTorch keeps plans of its convolutions for each size, at most 1024


def used() -> float:
    """The memory of this process in MiB."""
    return psutil.Process().memory_info().rss / 2**20


def test_two_thousand_steps_take_no_more_memory_than_two_hundred():
    memory = {}

    def report(stage, step, steps, loss):
        if step in (200, 2000):
            memory[step] = used()

    settings = Settings(
        steps=2000, pretrain_steps=0, batch_size=2, save_every=10**6, evaluate_every=10**6
    )
    data, accelerator = Scenes(64, size=64), Accelerator(cpu=True)
    Trainer(small_detr(6), data, None, settings, None, accelerator, report).run()
    print(f"grown by {memory[2000] - memory[200]:.1f} MiB")
    assert memory[2000] - memory[200] < GROWTH


def test_five_hundred_images_of_changing_size_take_memory_for_new_sizes_alone():
    model = for_inference(load_detector("shipped").model)
    sides = torch.randint(64, 321, (100, 2)).tolist()
    sides[:3] = [[320, 320], [320, 64], [64, 320]]  # the largest first: what they need stays
    memory = []
    with torch.no_grad():
        for height, width in 5 * sides:
            model(torch.rand(1, 3, height, width), torch.zeros(1, height, width, dtype=torch.bool))
            memory.append(used())
    new, again = memory[99] - memory[9], memory[499] - memory[99]
    print(f"grown by {new:.1f} MiB for new sizes, {again:.1f} for the same again")
    assert new < FOR_SIZES and again < GROWTH


TRAIN = ["train", "--cpu", "--pretrain-steps=10", "--steps=80", "--evaluate-every=40"]
TRAIN += ["--save-every=1000", "--scenes=64", "--choose-scenes=8", "--batch-size=4", "--workers=1"]


def run(folder, number=None, seconds=0):
    """Runs the command, and ends it and its workers by a signal, as a terminal does."""
    command = [sys.executable, "-m", "detr_steps", *TRAIN, "--out", str(folder)]
    before = len(list((folder / "tensorboard").glob("*")))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    if number is not None:
        while len(list((folder / "tensorboard").glob("*"))) == before and process.poll() is None:
            time.sleep(0.05)
        time.sleep(seconds)
        os.killpg(process.pid, number)
    printed = process.communicate(timeout=600)[0]
    return process.returncode, printed


@pytest.mark.skipif(sys.platform == "win32", reason="signals as Unix has them")
def test_a_run_that_is_ended_again_and_again_reaches_the_same_weights(tmp_path):
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    assert run(whole)[0] == 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        code, printed = run(ended, number, seconds=0.5)
        assert code == 128 + number and "the same command goes on" in printed, printed
        assert "Traceback" not in printed and (ended / CHECKPOINT).exists()
    assert run(ended)[0] == 0
    one, other = (torch.load(folder / CHECKPOINT) for folder in (whole, ended))
    assert one["history"] == other["history"] and one["losses"] == other["losses"]
    assert all(torch.equal(one["module"][name], other["module"][name]) for name in one["module"])
    best = [load_file(folder / BEST) for folder in (whole, ended)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])
