"""A full disk, a folder that cannot be written, and two runs in one folder."""

import os
import re
import signal
import socket
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import nbformat
import pytest
import torch
from accelerate import Accelerator
from cli import accepted, refused
from conftest import small_step
from limits import no_room_for_more_than, read_only_folder
from safetensors.torch import load_file, save_file
from typer.main import get_command
from typer.testing import CliRunner

import benchmarks.rows
import detr_steps.commands
import experiments.ablations
import experiments.film
from detr_steps.commands import app
from detr_steps.course import copies, grading
from detr_steps.notebook import overview, runner
from detr_steps.notebook.runner import run_notebooks
from detr_steps.pages import site, slides
from detr_steps.training.checkpoints import CHECKPOINT, save_weights
from detr_steps.training.huggingface import save_parts
from detr_steps.training.lock import HOLDER, LOCK, locked, one_run
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import BEST, Settings, Trainer
from detr_steps.writing import check_file, check_folder, copy_folder, whole_file, write_text

on_unix = pytest.mark.skipif(sys.platform == "win32", reason="limits and rights as Unix has them")
ROOM = 100_000  # bytes
KEPT, NOTHING = "the one that was there is kept", "nothing is left of it"


def content(folder):
    """The names of all files below a folder, with what they hold."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@on_unix
@pytest.mark.parametrize("before", [None, "before"])
def test_on_a_full_disk_a_file_stays_as_it_was_and_the_message_says_so(before, tmp_path):
    file = tmp_path / "a.txt"
    if before:
        file.write_text(before)
    stays = content(tmp_path)
    state = KEPT if before else NOTHING
    expected = f"{file}: could not be written: File too large; {state}"
    with no_room_for_more_than(ROOM), pytest.raises(OSError) as raised:
        write_text(file, "x" * (ROOM + 1))
    assert str(raised.value) == expected and content(tmp_path) == stays
    with no_room_for_more_than(ROOM), pytest.raises(OSError) as raised:
        save_weights(small_step(8), file)
    assert str(raised.value) == expected and content(tmp_path) == stays


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, RuntimeError, OSError])
def test_whatever_ends_the_writing_nothing_half_written_stays(error, tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("before")
    with pytest.raises(error, match="stopped"), whole_file(file) as new:
        assert new.suffix == ".txt"
        new.write_text("half")
        raise error("stopped")
    assert content(tmp_path) == {"a.txt": b"before"}


def test_the_error_of_another_file_is_no_error_of_this_one(tmp_path):
    expected = pytest.raises(FileNotFoundError, match=r"No such file.*none'$")
    with expected, whole_file(tmp_path / "a.txt"):
        (tmp_path / "none").read_text()
    assert content(tmp_path) == {}


@on_unix
def test_rights_links_and_devices_stay(tmp_path):
    file, link = tmp_path / "a.txt", tmp_path / "link.txt"
    file.write_text("before")
    file.chmod(0o600)
    link.symlink_to(file)
    write_text(link, "ä")
    assert link.is_symlink() and file.read_bytes() == "ä".encode()
    assert file.stat().st_mode & 0o777 == 0o600 and len(content(tmp_path)) == 2
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    check_file(pipe)
    write_text(pipe, "to the other end")
    assert os.read(reader, 100) == b"to the other end" and pipe.is_fifo()
    os.close(reader)


def test_what_is_no_name_of_a_file_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="expected the name of a file, found a folder"):
        write_text(tmp_path, "a")
    with pytest.raises(IsADirectoryError, match="expected the name of a file, found a folder"):
        check_file(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected an existing folder, found none"):
        write_text(tmp_path / "none" / "a", "a")
    check_file(tmp_path / "none" / "a")  # its folder will be made
    assert list(tmp_path.iterdir()) == []


@on_unix
def test_a_run_goes_on_from_its_last_checkpoint_after_the_disk_was_full(tmp_path):
    def train(folder, room=None):
        torch.manual_seed(0)
        settings = Settings(steps=3, pretrain_steps=1, batch_size=2, save_every=1)
        trainer = Trainer(
            small_detr(6), Scenes(8), None, settings, folder, Accelerator(cpu=True), report
        )
        return trainer.run().state_dict()

    def report(stage, step, steps, loss):
        if limited and (stage, step) == ("train", 2):
            disk.__enter__()

    limited, disk = False, no_room_for_more_than(ROOM)
    whole = train(tmp_path / "whole")
    limited, folder = True, tmp_path / "full"
    try:
        with pytest.raises(OSError) as raised:
            train(folder)
    finally:
        disk.__exit__(None, None, None)
    file = folder / CHECKPOINT
    assert str(raised.value) == f"{file}: could not be written: File too large; {KEPT}"
    assert [path.name for path in folder.iterdir()] == [CHECKPOINT]
    assert torch.load(file)["step"] == 1
    limited = False
    again = train(folder)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


TRAIN = ["train", "--cpu", "--pretrain-steps=2", "--steps=6", "--save-every=100"]
TRAIN += ["--batch-size=2", "--scenes=16", "--choose-scenes=2", "--evaluate-every=3"]


@on_unix
def test_on_a_full_disk_training_ends_with_one_line(tmp_path):
    with no_room_for_more_than(ROOM):
        printed = refused(*TRAIN, "--out", tmp_path / "run")
    error = f"error: {tmp_path}/run/{CHECKPOINT}: could not be written: File too large; {NOTHING}"
    assert [line for line in printed.splitlines() if "error" in line] == [error]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {LOCK, "tensorboard"}


@on_unix
def test_a_notebook_is_saved_whole_or_stays(tmp_path, monkeypatch):
    path = tmp_path / "Step1_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), path)
    before = content(tmp_path)

    def execute(notebook, *_):
        notebook.cells[0].source = "x" * (ROOM + 1)

    monkeypatch.setattr(runner, "execute", execute)
    with no_room_for_more_than(ROOM), pytest.raises(OSError, match=f"File too large; {KEPT}"):
        run_notebooks([path], save=True)
    with no_room_for_more_than(ROOM), pytest.raises(OSError, match=f"File too large; {KEPT}"):
        runner.write(nbformat.v4.new_notebook(metadata={"x": "x" * ROOM}), path)
    assert content(tmp_path) == before


class Part:
    """Saves itself as a part of `transformers` does."""

    def __init__(self, name, size):
        self.name, self.size = name, size

    def save_pretrained(self, folder):
        save_file({"a": torch.zeros(self.size)}, f"{folder}/{self.name}")


@on_unix
def test_a_folder_for_transformers_is_written_whole_or_stays(tmp_path):
    save_parts([Part("a", 1), Part("b", 1)], tmp_path / "new")
    before = content(tmp_path)
    assert len(before) == 2
    with no_room_for_more_than(ROOM), pytest.raises(OSError, match="new: could not be written: "):
        save_parts([Part("a", 2), Part("b", ROOM)], tmp_path / "new")
    assert content(tmp_path) == before and len(list((tmp_path / "new").iterdir())) == 2
    save_parts([Part("a", 2)], tmp_path / "new")
    assert len(content(tmp_path)["new/a"]) > len(before["new/a"])


@on_unix
def test_a_folder_is_copied_without_what_could_not_be_copied_whole(tmp_path):
    source, place = tmp_path / "source", tmp_path / "place"
    (source / "in").mkdir(parents=True)
    for name, size in {"a": 9, "in/b": ROOM + 1, "in/c": ROOM + 2, "d": 1}.items():
        (source / name).write_bytes(bytes(size))
    with no_room_for_more_than(ROOM), pytest.raises(OSError) as raised:
        copy_folder(source, place, lambda *_: {"d"})
    assert str(raised.value).startswith(f"{place}/in/") and "File too large" in str(raised.value)
    assert content(place) == {"a": bytes(9)}
    copy_folder(source, place)
    assert content(place) == content(source)


def notebooks_in(folder):
    """A folder with one small notebook."""
    folder.mkdir()
    cells = [nbformat.v4.new_code_cell("1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "Step0_a.ipynb")
    return folder


# command: arguments before the place, what would be written, the work that must not begin
WRITERS = {
    "train": (["--cpu", "--out"], "x", (detr_steps.commands, "training_data")),
    "data": (["none", "none", "--out"], "x/a.png", (detr_steps.commands, "CocoScenes")),
    "evaluate": (["--cpu", "--page"], "x/a.html", (detr_steps.commands, "load_detector")),
    "detect": (["none.png", "--out"], "x", (detr_steps.commands, "load_detector")),
    "export": (["--weights=shipped"], "a.onnx", (torch.onnx, "export")),
    "run": (["--out"], "x", (runner, "execute")),
    "site": (["--out"], "x", (site, "run_sphinx")),
    "slides": (["--out"], "x", (slides, "slides_of")),
    "overview": ([], "a.png", (overview, "overview")),
    "gallery": ([], "a.png", (detr_steps.commands, "load_detector")),
    "course": (["--out"], "x", (copies, "execute")),
    "grade": (["notebooks", "--out"], "x/a.csv", (grading, "grade_notebook")),
    "ablations": (["--out"], "a.csv", (experiments.ablations, "ProcessPoolExecutor")),
    "film": (["--out"], "a.safetensors", (experiments.film, "record_scene")),
    "benchmarks": (["--only=import", "--out"], "x", (benchmarks.rows, "importing")),
}


def test_no_command_is_forgotten():
    writes_nothing = {"mutants"}
    assert set(WRITERS) == set(get_command(app).commands) - writes_nothing


@on_unix
@pytest.mark.parametrize("command", WRITERS)
def test_a_place_that_cannot_be_written_is_found_before_the_work(command, tmp_path, monkeypatch):
    if command == "benchmarks":
        pytest.importorskip("openvino")
    options, name, work = WRITERS[command]
    notebooks_in(tmp_path / "notebooks")
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(*work, lambda *_, **__: pytest.fail("the work has begun"))
    before = content(tmp_path)
    printed = refused(command, *options, f"file/{name}")
    assert re.match(r"error: (--out )?file/.*(expected a|there is no folder)", printed), printed
    assert content(tmp_path) == before and len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that nobody can write to")
def test_a_table_of_grades_that_cannot_be_written_is_found_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "grade_notebook", lambda *_: pytest.fail("the work has begun"))
    printed = refused("grade", notebooks_in(tmp_path / "notebooks"), "--out", "/proc/a.csv")
    assert "error: /proc/a.csv: expected a place that can be written, found /proc: " in printed


@on_unix
def test_a_folder_without_rights_is_found_before_the_work(monkeypatch):
    monkeypatch.setattr(runner, "execute", lambda *_: pytest.fail("the work has begun"))
    with read_only_folder() as folder:
        expected = f"expected a place that can be written, found {folder}: Permission denied"
        for check in (check_folder, check_file):
            with pytest.raises(OSError, match=f"^{folder}/a/b: {expected}$"):
                check(folder / "a" / "b")
        with pytest.raises(OSError, match=f"^{folder}/Step0_a.ipynb: {expected}$"):
            run_notebooks([folder / "Step0_a.ipynb"], save=True)
        with pytest.raises(OSError, match="a: could not be written: Permission denied; nothing"):
            write_text(folder / "a", "a")
        assert list(folder.iterdir()) == []
    check_folder(folder.parent)


@contextmanager
def other_process(folder):
    """Another process that holds the lock of a folder until it is killed."""
    ready, done = os.pipe()
    process = os.fork()
    if process == 0:
        with locked(folder):
            os.write(done, b"1")
            time.sleep(600)
        os._exit(0)
    os.read(ready, 1)
    try:
        yield process
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


@on_unix
def test_the_second_run_in_a_folder_is_told_who_has_it_until_that_one_is_killed(tmp_path):
    folder = tmp_path / "runs" / "a"
    with other_process(folder) as process:
        before = content(tmp_path)
        printed = refused(*TRAIN, "--start=none", "--out", folder)  # before it looks for that
        who = f"process {process} on {socket.gethostname()} since 20"
        assert f"error: {folder}: another run uses this folder: {who}" in printed
        assert "choose another one with --out, or wait" in printed
        assert len(printed.splitlines()) == 1 and content(tmp_path) == before
        (folder / HOLDER).unlink()
        assert "a process that just began" in refused(*TRAIN, "--out", folder)
    assert "none" in refused(*TRAIN, "--start=none", "--out", folder)
    assert list(folder.iterdir()) == []  # nothing was written into it: its lock went, too


def test_a_lock_leaves_nothing_but_what_a_run_has_written(tmp_path):
    with locked(tmp_path / "a" / "b"):
        assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == {LOCK, HOLDER}
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "c").touch()
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} - {LOCK} == {"c"}
    (tmp_path / "empty").mkdir()
    with locked(tmp_path / "empty"):
        pass
    assert list((tmp_path / "empty").iterdir()) == []  # it was there before


def test_the_main_process_locks_for_all(tmp_path):
    with locked(tmp_path), one_run(tmp_path, SimpleNamespace(is_main_process=False)):
        pass
    refused_lock = pytest.raises(OSError, match="another run uses this folder")
    with locked(tmp_path), refused_lock, one_run(tmp_path, SimpleNamespace(is_main_process=True)):
        pass


def signal_at(folder, number, name):
    """Sends this process a signal once a file is in a folder."""

    def wait():
        for _ in range(6000):
            if (folder / name).exists():
                return os.kill(os.getpid(), number)
            time.sleep(0.01)

    threading.Thread(target=wait, daemon=True).start()


@on_unix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_a_signal_ends_goes_on_to_the_same_weights(number, whole, tmp_path):
    folder = tmp_path / "ended"
    signal_at(folder, number, BEST)  # written after step 3 of 6
    result = CliRunner().invoke(app, [*TRAIN, "--out", str(folder)])
    assert result.exit_code == 128 + number
    assert "of train; the same command goes on" in result.output.splitlines()[-1]
    state = torch.load(folder / CHECKPOINT)
    assert state["stage"] == "train" and 3 <= state["step"] < 6
    accepted(*TRAIN, "--out", folder)
    one, other = (torch.load(each / CHECKPOINT) for each in (whole, folder))
    assert one["history"] == other["history"] and one["losses"] == other["losses"]
    assert all(torch.equal(one["module"][name], other["module"][name]) for name in one["module"])
    best = [load_file(each / BEST) for each in (whole, folder)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing has ended."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    accepted(*TRAIN, "--out", folder)
    return folder
