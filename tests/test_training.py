"""Training: it learns, it survives a hard stop, and two processes do what one does."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from typer.testing import CliRunner

from detr_steps.commands import app
from detr_steps.training.checkpoints import (
    CHECKPOINT,
    PARTS,
    load_checkpoint,
    load_weights,
    save_weights,
)
from detr_steps.training.detectors import SHIPPED, load_detector, start_from
from detr_steps.training.evaluation import evaluate
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import BEST, Settings, Trainer

OPTIONS = ["train", "--cpu", "--scenes=64", "--choose-scenes=8", "--pretrain-steps=10"]
OPTIONS += ["--steps=30", "--evaluate-every=15", "--save-every=5"]


def command(*arguments, **options):
    return [sys.executable, "-m", "detr_steps", *OPTIONS, *arguments]


def test_four_scenes_are_learnt_by_heart():
    torch.manual_seed(0)
    scenes = Scenes(4)
    losses = []
    settings = Settings(steps=300, pretrain_steps=20, batch_size=4, evaluate_every=1000)
    trainer = Trainer(
        small_detr(6),
        scenes,
        scenes,
        settings,
        accelerator=Accelerator(cpu=True),
        report=lambda stage, step, steps, loss: losses.append(loss) if stage == "train" else None,
    )
    model = trainer.run()
    assert losses[-1] < losses[0] / 4
    watched = trainer.watch()
    layers = {name: watched[name] for name in ("class", "bbox", "giou")}
    assert 2 * layers["class"] + 5 * layers["bbox"] + 2 * layers["giou"] < losses[-1]
    assert watched["no_object"] == pytest.approx(watched["empty"], abs=0.2)
    assert evaluate(model, scenes, trainer.accelerator)["map_50"] > 90


def test_a_killed_run_reaches_the_same_weights_to_the_last_bit(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command("--out", str(whole)), check=True, capture_output=True)
    for delay in (0.0, 0.15, 0.4):
        process = subprocess.Popen(
            command("--out", str(killed)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        file = killed / CHECKPOINT
        before = file.stat().st_mtime_ns if file.exists() else None
        while process.poll() is None:
            if file.exists() and file.stat().st_mtime_ns != before:
                break
            time.sleep(0.01)
        time.sleep(delay)
        process.kill()
        process.wait()
    assert torch.load(killed / CHECKPOINT)["step"] <= 30
    subprocess.run(command("--out", str(killed)), check=True, capture_output=True)
    one, other = (torch.load(folder / CHECKPOINT) for folder in (whole, killed))
    assert one["step"] == other["step"] == 30 and one["stage"] == other["stage"] == "train"
    assert all(torch.equal(one["module"][name], other["module"][name]) for name in one["module"])
    assert one["history"] == other["history"]
    best = [load_file(folder / BEST) for folder in (whole, killed)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


TWO_PROCESSES = """
import sys, torch
from pathlib import Path
from accelerate import Accelerator
from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import Settings, Trainer
from detr_steps.official import freeze_batch_norm

torch.set_num_threads(1)
torch.manual_seed(0)
model = small_detr(6)
freeze_batch_norm(model.backbone)  # its statistics would be those of each process's share
accelerator = Accelerator(cpu=True)
losses = []
settings = Settings(steps=4, pretrain_steps=2, batch_size=8, evaluate_every=4)
report = lambda stage, step, steps, loss: losses.append(loss)
trainer = Trainer(model, Scenes(32), Scenes(9, "choose"), settings, None, accelerator, report)
trainer.run()
if accelerator.is_main_process:
    torch.save((losses, trainer.history, model.state_dict()), sys.argv[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="starts processes as on a Linux server")
def test_two_processes_do_what_one_does(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    results = []
    for processes in (1, 2):
        out = tmp_path / f"{processes}.pt"
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        call = [sys.executable, *launch, str(script), str(out)]
        subprocess.run(call, check=True, capture_output=True, timeout=300)
        results.append(torch.load(out))
    (one, history, weights), (two, history2, weights2) = results
    assert one == pytest.approx(two, rel=1e-4)
    assert all(torch.allclose(weights[n], weights2[n], atol=1e-3) for n in weights)
    assert history[-1]["map"] == pytest.approx(history2[-1]["map"], abs=1.0)


def test_broken_and_foreign_checkpoints_are_refused(tmp_path):
    settings = {"steps": 3}
    assert load_checkpoint(tmp_path, settings) is None
    state = dict.fromkeys(PARTS, 0)
    torch.save({**state, "settings": settings}, tmp_path / CHECKPOINT)
    assert load_checkpoint(tmp_path, settings)["step"] == 0
    with pytest.raises(ValueError, match="same settings, found another steps"):
        load_checkpoint(tmp_path, {"steps": 4})
    whole = (tmp_path / CHECKPOINT).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"something else"):
        (tmp_path / CHECKPOINT).write_bytes(content)
        with pytest.raises(ValueError, match=f"{CHECKPOINT}: expected a complete checkpoint"):
            load_checkpoint(tmp_path, settings)
    torch.save({"foreign": 1}, tmp_path / CHECKPOINT)
    with pytest.raises(ValueError, match="expected a complete checkpoint"):
        load_checkpoint(tmp_path, settings)


def test_broken_and_foreign_weights_are_refused(tmp_path):
    file = tmp_path / "weights.safetensors"
    model = small_detr(6)
    save_weights(model, file)
    load_weights(small_detr(6), file)
    with pytest.raises(ValueError, match="expected the weights of this model"):
        load_weights(small_detr(5), file)
    with pytest.raises(ValueError, match="expected weights that this program trained"):
        load_detector(file)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="expected a complete safetensors file"):
        load_weights(model, file)
    with pytest.raises(ValueError, match="expected a complete safetensors file"):
        load_detector(file)


def test_settings_from_a_file_and_mistakes_in_it(tmp_path):
    runner = CliRunner()
    config = tmp_path / "config.toml"
    config.write_text("steps = 3\npretrain_steps = 1\nscenes = 16\nchoose_scenes = 2\n")
    arguments = ["train", "--cpu", "--config", str(config), "--out", str(tmp_path / "run")]
    assert runner.invoke(app, arguments).exit_code == 0
    assert torch.load(tmp_path / "run" / CHECKPOINT)["settings"]["steps"] == 3
    assert Path(tmp_path / "run" / BEST).exists()
    config.write_text("stepz = 3\n")
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2 and "stepz" in result.output


def test_training_goes_on_from_given_weights(tmp_path):
    runner = CliRunner()
    options = [*OPTIONS, "--steps=1", "--lr=0", "--backbone-lr=0", "--weight-decay=0"]
    out = tmp_path / "run"
    result = runner.invoke(app, [*options, "--start", "shipped", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert torch.load(out / CHECKPOINT)["settings"]["pretrain_steps"] == 0
    start, end = load_file(SHIPPED), load_file(out / BEST)
    parameters = dict(small_detr(6).named_parameters())
    assert all(torch.equal(start[name], end[name]) for name in parameters)


def test_other_classes_get_a_new_class_head():
    model = small_detr(3)
    before = model.class_head.weight.clone()
    start_from(model, ("a", "b", "c"), "shipped")
    shipped = load_file(SHIPPED)
    assert torch.equal(model.class_head.weight, before)
    assert torch.equal(model.bbox_head[0].weight, shipped["bbox_head.0.weight"])
    same = small_detr(6)
    start_from(same, Scenes.classes, "shipped")
    assert torch.equal(same.class_head.weight, shipped["class_head.weight"])
