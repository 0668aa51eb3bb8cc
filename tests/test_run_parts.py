"""The parts of a training run from the command line: its data, signals, report, last words."""

import shlex
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from test_coco import make

from detr_steps.training import run
from detr_steps.training.coco import CocoScenes, detr_transforms, gentle_transforms
from detr_steps.training.next_commands import SCENE, module_command, next_commands
from detr_steps.training.run import ProgressReport, check_parts, saved_on_signals, survey_data
from detr_steps.training.scenes import Scenes
from detr_steps.training.sizes import SIDES
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import Settings


def data_of(folder, *choose, kind="small", side=None):
    """Data to train and to choose on, of a data set in a folder."""
    images, annotations = make(folder)
    paths = images, annotations, *(choose or (None, None))
    return run.training_data(*paths, kind=kind, side=side, scenes=9, choose_scenes=4, seed=3)


@pytest.mark.parametrize(
    ("kind", "transforms"), [("small", gentle_transforms), ("full", detr_transforms)]
)
def test_a_kind_of_model_has_its_augmentation(tmp_path, kind, transforms):
    data, choose = data_of(tmp_path, kind=kind)
    assert data.transforms is transforms and data.short_side == SIDES[kind] == choose.short_side
    assert len(data) == 6 and len(choose) == 4 and choose.source == data.source
    assert data_of(tmp_path, kind=kind, side=64)[0].short_side == 64


def test_data_to_choose_on_may_be_another(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    other = make(tmp_path / "b")
    data, choose = data_of(tmp_path / "a", *other)
    assert choose.source == (other[0].resolve(), other[1].resolve()) != data.source
    assert len(choose) == 6 and choose.classes == data.classes
    data, choose = data_of(tmp_path / "a", None, other[1])
    assert choose.images == data.images and choose.annotations == other[1]
    scenes, choose = run.training_data(None, None, None, None, "small", None, 9, 4, 3)
    assert isinstance(scenes, Scenes) and (len(scenes), len(choose)) == (9, 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("i", "annotations: expected beside images, found nothing"),
        ("a", "images: expected beside annotations, found nothing"),
        ("iaI", "choose_annotations: expected beside images, annotations, choose_images, found"),
        ("A", "images: expected beside choose_annotations, found nothing"),
        ("", None),
        ("ia", None),
        ("iaA", None),
        ("iaIA", None),
    ],
)
def test_a_part_of_a_data_set_asks_for_the_other(given, message):
    paths = [letter if letter in given else None for letter in "iaIA"]
    if message is None:
        return check_parts(*paths)
    with pytest.raises(ValueError, match=f"^{message}"):
        check_parts(*paths)


def test_a_look_at_the_data_tells_both_and_what_is_unknown(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    images, annotations = make(tmp_path / "a")
    other = make(tmp_path / "b", lambda data: data["categories"][0].update(name="dog"))
    data = CocoScenes(images, annotations, 64)
    choose = CocoScenes(*other, 64, classes=data.classes)
    assert survey_data(data, choose, 64, 3)[1] == 3
    printed = " ".join(capsys.readouterr().out.split())
    for folder in ("a", "b"):
        assert f"{folder}/annotations.json" in printed.replace(" ", "")
    assert "data to choose on: classes that the model does not know, and so cannot find: dog" in (
        printed
    )
    survey_data(data, data.plain(4), 64, None)
    assert capsys.readouterr().out.count("images") == printed.count("images") // 2
    with pytest.raises(ValueError, match=r"^queries: expected at least 2, .*, found 1"):
        survey_data(data, choose, 64, 1)
    assert survey_data(data, choose, 64, 2)[1] == 2


def test_a_second_signal_ends_a_run_after_a_while(monkeypatch):
    clock, ended, trainer = [100.0], [], SimpleNamespace(stop=0)
    monkeypatch.setattr(run.time, "monotonic", lambda: clock[0])
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(clock[0]))
    try:
        with saved_on_signals(trainer):
            for clock[0], stops in ((100.0, True), (104.0, True), (105.0, True), (105.5, True)):
                signal.raise_signal(signal.SIGTERM)
                assert bool(trainer.stop) == stops
                assert ended == ([105.5] if clock[0] == 105.5 else [])
        signal.raise_signal(signal.SIGTERM)
        assert ended == [105.5, 105.5]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_losses_are_smoothed_and_logged_at_times():
    logged, bars = [], {}
    trainer = SimpleNamespace(
        history=[],
        watch=lambda: {"lr": 0.1},
        accelerator=SimpleNamespace(log=lambda values, step: logged.append((step, values))),
    )
    progress = SimpleNamespace(
        add_task=lambda stage, total, loss, ap: bars.setdefault(stage, (total, loss, ap)) and 7,
        update=lambda bar, completed, loss, ap: bars.update({bar: (completed, loss, ap)}),
    )
    report = ProgressReport(trainer, progress)
    report("train", 49, 200, 2.0)
    assert bars == {"train": (200, 2.0, "-"), 7: (49, 2.0, "-")} and not logged
    trainer.history.append({"map": 41.26})
    report("train", 50, 200, 1.0)
    assert bars[7] == (50, pytest.approx(1.98), "41.3")
    assert logged == [(50, {"train/loss": pytest.approx(1.98), "train/lr": 0.1})]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows quotes words otherwise")
def test_a_command_can_be_copied_into_a_shell():
    words = shlex.split(module_command("detr_steps", "detect", "a b.png", "it's"))
    assert words[1:] == ["-m", "detr_steps", "detect", "a b.png", "it's"]
    assert Path(words[0]).resolve() == Path(sys.executable).resolve()


def test_a_run_ends_with_commands_for_its_own_data(tmp_path):
    commands = next_commands(tmp_path, Scenes(3, "test", seed=5))
    detect = shlex.split(commands["to detect with it"])
    assert detect[4:] == [str(tmp_path / SCENE), "--weights", str(tmp_path / "best.safetensors")]
    assert Image.open(tmp_path / SCENE).size == (128, 128)
    folder = tmp_path / "photos"
    folder.mkdir()
    commands = next_commands(tmp_path, CocoScenes(*make(folder)))
    assert shlex.split(commands["to detect with it"])[4] == str(folder / "0.png")
    evaluate = shlex.split(commands["to evaluate it"])
    assert evaluate[5:] == ["--images", str(folder), "--annotations", f"{folder}/annotations.json"]


@pytest.mark.parametrize("main", [True, False])
def test_the_main_process_alone_draws_the_data_and_shows_bars(tmp_path, monkeypatch, main):
    model = small_detr(2)
    data, choose = data_of(tmp_path, side=64)
    accelerator = SimpleNamespace(
        is_main_process=main,
        mixed_precision="no",
        process_index=0,
        num_processes=1,
        init_trackers=lambda name: None,
        end_training=lambda: None,
    )
    disabled, bars = [], run.progress_bars
    monkeypatch.setattr(
        run, "progress_bars", lambda disable: disabled.append(disable) or bars(disable=True)
    )
    monkeypatch.setattr(run.Trainer, "run", lambda self: None)
    out = tmp_path / "out"
    trainer = run.run_training(model, data, choose, Settings(batch_size=2), out, accelerator)
    assert trainer.choose is choose and disabled == [not main]
    assert (out / "data.png").exists() == main


@pytest.mark.parametrize("other", [True, False])
def test_a_report_looks_at_training_data_where_they_are_others(tmp_path, monkeypatch, other):
    looked = []
    monkeypatch.setattr(run, "load_detector", lambda path: SimpleNamespace(model=small_detr(6)))
    monkeypatch.setattr(run, "find_out", lambda model, data, *_: looked.append(data) or "found")
    monkeypatch.setattr(run, "symptoms", lambda *arguments: [arguments])
    data, choose = Scenes(9), Scenes(4, "choose" if other else "train")
    trainer = SimpleNamespace(
        accelerator=SimpleNamespace(
            wait_for_everyone=lambda: None, device="cpu", is_main_process=False
        ),
        **{"choose": choose, "dataset": data, "losses": [(1, 7.0), (2, 5.0)], "history": []},
        **{"settings": Settings(steps=30), "decided_by": {"start": None if other else "shipped"}},
    )
    (given,) = run.report_run(trainer, tmp_path)
    known, steps = ("found", 30) if other else (None, None)
    assert given == ("found", known, [7.0, 5.0], steps)
    assert looked[0] is choose and [len(one) for one in looked] == ([4, 4] if other else [4])
    assert all(one.split == "train" for one in looked[1:])
