"""Training: it learns, it survives a hard stop, and two processes share the work."""

import importlib.util
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from subprocess import DEVNULL

import pytest
import torch
from accelerate import Accelerator
from cli import accepted, refused
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_coco import make, make_varied

from detr_steps import Step8
from detr_steps.official import freeze_batch_norm
from detr_steps.training.checkpoints import (
    CHECKPOINT,
    PARTS,
    load_checkpoint,
    load_weights,
    save_weights,
)
from detr_steps.training.coco import CocoScenes
from detr_steps.training.detectors import SHIPPED, first_model, load_detector
from detr_steps.training.evaluation import evaluate
from detr_steps.training.next_commands import module_command, next_commands
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import BEST, Settings, Trainer

SHORT = ["train", "--cpu", "--pretrain-steps=10", "--steps=30", "--evaluate-every=15"]
SHORT += ["--save-every=5"]
OPTIONS = [*SHORT, "--scenes=64", "--choose-scenes=8"]


def command(*arguments):
    return [sys.executable, "-m", "detr_steps", *map(str, arguments)]


def test_four_scenes_are_learnt_by_heart():
    torch.manual_seed(0)
    scenes = Scenes(4)
    losses = []
    settings = Settings(
        steps=300, pretrain_steps=150, batch_size=4, warm_lr=1e-3, evaluate_every=1000
    )
    trainer = Trainer(
        small_detr(6),
        scenes,
        scenes,
        settings,
        accelerator=Accelerator(cpu=True),
        report=lambda stage, step, steps, loss: losses.append(loss) if stage == "train" else None,
    )
    model = trainer.run()
    assert losses[-1] < losses[0] / 10
    watched = trainer.watch()
    layers = {name: watched[name] for name in ("class", "bbox", "giou")}
    assert 2 * layers["class"] + 5 * layers["bbox"] + 2 * layers["giou"] < losses[-1]
    assert watched["no_object"] == pytest.approx(watched["empty"], abs=0.2)
    assert evaluate(model, scenes, trainer.accelerator)["map_50"] > 90


def position(folder):
    """The stage and the step of a run's last checkpoint."""
    state = torch.load(folder / CHECKPOINT)
    return state["stage"], state["step"]


def kill_after_a_checkpoint(options, folder, delay):
    """Goes on with a run, and kills it some seconds after it has written a checkpoint."""
    process = subprocess.Popen(command(*options, "--out", folder), stdout=DEVNULL, stderr=DEVNULL)
    file = folder / CHECKPOINT
    before = file.stat().st_mtime_ns if file.exists() else None
    while process.poll() is None:
        if file.exists() and file.stat().st_mtime_ns != before:
            break
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("own_data", [False, True])
def test_a_killed_run_reaches_the_same_weights_to_the_last_bit(own_data, tmp_path):
    options = OPTIONS
    if own_data:
        images, annotations = make_varied(tmp_path)
        options = [*SHORT, "--images", images, "--annotations", annotations]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = subprocess.Popen(command(*options, "--out", whole), stdout=DEVNULL)
    positions = []
    for delay in (0.0, 0.15, 0.4):
        kill_after_a_checkpoint(options, killed, delay)
        positions.append(position(killed))
    assert ("pretrain", 5) <= positions[0] < positions[-1]  # each time it went on
    assert positions[0] < ("train", 30) and positions[1] < ("train", 30)  # and was interrupted
    subprocess.run(command(*options, "--out", killed), check=True, capture_output=True)
    assert undisturbed.wait() == 0
    assert position(whole) == position(killed) == ("train", 30)
    one, other = (torch.load(folder / CHECKPOINT) for folder in (whole, killed))
    assert all(torch.equal(one["module"][name], other["module"][name]) for name in one["module"])
    assert one["history"] == other["history"]
    best = [load_file(folder / BEST) for folder in (whole, killed)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])
    if own_data:
        given = ["--images", images, "--annotations", annotations, "--weights", whole / BEST]
        page = ["--page", tmp_path / "page.html"]
        assert "│" in accepted("evaluate", "--cpu", *given, *page)  # a row of numbers


class TwoHalves(Step8):
    """Step8 whose loss in one process is what two processes have, each with half of the images.

    Each takes the mean of the class term over its own queries, and divides those of the boxes by
    the mean number of objects of a process; the loss, and so its gradient, is the mean of the two.
    """

    def layer_terms(self, layer, pairs, targets, num_boxes):
        halves = [
            super(TwoHalves, self).layer_terms(
                {key: layer[key][i::2] for key in ("class_logits", "bbox_pred")},
                pairs[i::2],
                targets[i::2],
                num_boxes / 2,
            )
            for i in (0, 1)
        ]
        return {name: (halves[0][name] + halves[1][name]) / 2 for name in halves[0]}


def train_four_steps(step):
    """Trains a small model of a class; its losses, its evaluations and its weights."""
    torch.manual_seed(0)
    model = small_detr(6, step)
    freeze_batch_norm(model.backbone)  # its statistics would be those of each process's share
    losses = []
    settings = Settings(steps=4, pretrain_steps=2, batch_size=8, evaluate_every=4)
    trainer = Trainer(
        model,
        Scenes(32),
        Scenes(9, "choose"),
        settings,
        accelerator=Accelerator(cpu=True),
        report=lambda stage, step, steps, loss: losses.append(loss),
    )
    trainer.run()
    return losses, trainer.history, model.state_dict()


ONE_OF_TWO = """
import os, sys, torch
from detr_steps import Step8
from test_training import train_four_steps

torch.set_num_threads(1)
result = train_four_steps(Step8)
if os.environ["RANK"] == "0":
    torch.save(result, sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="starts processes as on a Linux server")
def test_two_processes_train_on_the_mean_of_their_losses(tmp_path):
    script, out = tmp_path / "script.py", tmp_path / "result.pt"
    script.write_text(ONE_OF_TWO)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run(
        [sys.executable, *launch, str(script), str(out)],
        check=True,
        capture_output=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    losses, history, weights = torch.load(out)
    one_process, history1, weights1 = train_four_steps(TwoHalves)
    assert losses == pytest.approx(one_process, rel=1e-4)
    assert all(torch.allclose(weights[n], weights1[n], atol=1e-5) for n in weights)
    assert history[-1]["map"] == pytest.approx(history1[-1]["map"], abs=0.1)


def test_broken_and_foreign_checkpoints_are_refused(tmp_path):
    settings = {"steps": 3, "start": None}
    assert load_checkpoint(tmp_path, settings) is None
    state = {name: {} for name in PARTS}
    state |= {"stage": "train", "step": 0, "history": [], "losses": [], "module": {"a": 0}}
    torch.save({**state, "run": settings}, tmp_path / CHECKPOINT)
    assert load_checkpoint(tmp_path, settings)["step"] == 0
    with pytest.raises(ValueError, match=r"found another one: steps was 3, is 4\. Choose"):
        load_checkpoint(tmp_path, settings | {"steps": 4})
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
    config = tmp_path / "config.toml"
    config.write_text("steps = 3\npretrain_steps = 1\nscenes = 16\nchoose_scenes = 2\n")
    arguments = ["train", "--cpu", "--config", config, "--out", tmp_path / "run"]
    printed = accepted(*arguments)
    assert "best weights: " in printed and printed.index("expected") < printed.index("to evaluate")
    assert logged(tmp_path / "run", "choose/AP50")[0] == 3
    assert torch.load(tmp_path / "run" / CHECKPOINT)["run"]["steps"] == 3
    assert Path(tmp_path / "run" / BEST).exists()
    assert "lr was 0.002, is 1.0" in refused(*arguments, "--lr", 1)
    config.write_text("stepz = 3\n")
    assert "stepz" in refused(*arguments, code=2)


def logged(folder, name):
    """Step and value of what was logged last under a name for TensorBoard."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return events.Scalars(name)[-1].step, events.Scalars(name)[-1].value


def rename(data):
    """Gives the categories names that the shipped weights know."""
    for category, name in zip(data["categories"], ("square", "star", "ring"), strict=True):
        category["name"] = name


on_unix = pytest.mark.skipif(sys.platform == "win32", reason="quoted for a shell of Unix")


@on_unix
@pytest.mark.parametrize("own_data", [False, True])
def test_the_commands_at_the_end_of_a_run_work(own_data, tmp_path):
    folder, photos = tmp_path / "my run", tmp_path / "my photos"
    folder.mkdir()
    photos.mkdir()
    (folder / BEST).write_bytes(SHIPPED.read_bytes())
    own = CocoScenes(*make(photos, rename))
    choose, count = (own, 6) if own_data else (Scenes(3, "choose", seed=2), 2)
    evaluate, detect, curves = map(shlex.split, next_commands(folder, choose).values())
    python = Path(evaluate[0]).absolute()  # it may be written as it is reached from here
    assert python == Path(sys.executable) and evaluate[1:3] == ["-m", "detr_steps"]
    assert detect[:3] == evaluate[:3]
    few = ["--cpu", "--scenes=2", "--page", tmp_path / "page.html"]
    accepted(*evaluate[3:], *few)
    assert f"on {count} images" in (tmp_path / "page.html").read_text("utf-8")
    assert "drawn in" in accepted(*detect[3:], "--out", tmp_path / "out")
    assert curves == [evaluate[0], "-m", "tensorboard.main", "--logdir", str(folder)]
    assert importlib.util.find_spec("tensorboard.main")


@on_unix
def test_commands_name_python_as_it_is_reached_from_here(tmp_path, monkeypatch):
    python = tmp_path / "my venv" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    assert shlex.split(module_command("x", "a b")) == [str(python), "-m", "x", "a b"]
    monkeypatch.chdir(tmp_path)
    assert shlex.split(module_command("x", 1)) == ["my venv/python", "-m", "x", "1"]


def test_training_goes_on_from_given_weights(tmp_path):
    options = [*OPTIONS, "--steps=1", "--lr=0", "--warm-lr=0", "--weight-decay=0"]
    out = tmp_path / "run"
    accepted(*options, "--start", "shipped", "--out", out)
    assert torch.load(out / CHECKPOINT)["run"]["pretrain_steps"] == 0
    start, end = load_file(SHIPPED), load_file(out / BEST)
    parameters = dict(small_detr(6).named_parameters())
    assert all(torch.equal(start[name], end[name]) for name in parameters)


def test_other_classes_get_a_new_class_head_and_more_queries_are_added():
    shipped, start = load_file(SHIPPED), load_detector("shipped")
    same, new = first_model(start, Scenes.classes, 10)
    assert new == []
    assert all(torch.equal(tensor, shipped[name]) for name, tensor in same.state_dict().items())
    other, new = first_model(start, ("a", "b", "c"), 20)
    assert new == ["class_head.weight", "class_head.bias", "queries", "query_pos"]
    assert list(other.class_head.weight.shape) == [4, 64] and len(other.queries) == 20
    assert torch.equal(other.query_pos[:16], shipped["query_pos"])
    assert torch.equal(other.bbox_head[0].weight, shipped["bbox_head.0.weight"])
    assert other.query_pos[16:].std() > 0.5
