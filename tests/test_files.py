"""Files that were made to do harm, or are no files: each is named, nothing hangs or is written."""

import io
import json
import os
import resource
import signal
import socket
import struct
import sys
import zipfile
import zlib

import pytest
import torch
from accelerate import Accelerator
from cli import accepted, refused
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file
from test_coco import make
from test_detectors import PHOTO
from typer.testing import CliRunner

from detr_steps.commands import app, found_table
from detr_steps.course.copies import read_lesson
from detr_steps.course.grading import grade_notebook
from detr_steps.reading import plain_file, read_json
from detr_steps.training.checkpoints import CHECKPOINT, read_pickle, save_weights
from detr_steps.training.coco import CocoScenes
from detr_steps.training.coco_file import read_coco
from detr_steps.training.detectors import SHIPPED, load_detector, save_detector
from detr_steps.training.huggingface import read_folder
from detr_steps.training.pictures import MOST_PIXELS, read_picture
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.survey import survey
from detr_steps.training.trainer import Settings, Trainer

unix = pytest.mark.skipif(sys.platform == "win32", reason="needs the special files of Unix")
SECONDS = 60  # more than anything here takes
DEEP = 100_000  # levels


@pytest.fixture(autouse=True)
def ends():
    """A test that waits for a pipe is ended."""
    if sys.platform == "win32":
        yield
        return

    def stop(number, frame):
        raise AssertionError(f"still waiting after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def peak():
    """The most memory that this process has had, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def chunk(name, content):
    """A part of a PNG."""
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png(width, height, depth=8, colour=2):
    """A PNG of so many black pixels, which is as short as its format allows."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    squeeze, row = (
        zlib.compressobj(9),
        bytes(1 + (width * depth * (3 if colour == 2 else 1) + 7) // 8),
    )
    rows = b"".join(squeeze.compress(row) for _ in range(min(height, 2000)))
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", rows + squeeze.flush()), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def gif(width, height):
    size = struct.pack("<HH", width, height)
    frame = b"," + bytes(4) + size + b"\0\x02\x02\x4c\x01\0"
    return b"GIF89a" + size + b"\x80\0\0" + bytes(6) + frame + b";"


def bmp(width, height):
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 60, 0, 0, 54) + header + bytes(6)


BOMBS = {
    "60000x60000.png": png(60000, 60000, depth=1, colour=0),
    "60000x60000.gif": gif(60000, 60000),
    "30000x30000.bmp": bmp(30000, 30000),
    "12000x12000.png": png(12000, 12000, depth=1, colour=0),  # where PIL only warns
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unfolded(name, tmp_path, recwarn):
    file, before = tmp_path / name, peak()
    file.write_bytes(BOMBS[name])
    assert len(BOMBS[name]) < 1e6
    with pytest.raises(ValueError, match=f"{name}: .*expected at most 89 million pixels, found"):
        read_picture(file)
    assert peak() - before < 100
    assert not [one for one in recwarn if "decompression bomb" in str(one.message)]
    printed = refused("detect", file, "--out", tmp_path / "out")
    assert name in printed and not (tmp_path / "out").exists()


def test_a_picture_just_below_the_limit_is_read(tmp_path):
    side = 2000
    (tmp_path / "a.png").write_bytes(png(MOST_PIXELS // side, side, depth=1, colour=0))
    assert read_picture(tmp_path / "a.png").size == (MOST_PIXELS // side, side)


def bomb_data(folder, name):
    """A data set whose first picture is a bomb."""

    def change(data):
        data["images"][0] = {"id": 10, "file_name": name}

    images, annotations = make(folder, change)
    (images / name).write_bytes(BOMBS[name])
    return ["--images", images, "--annotations", annotations]


@pytest.mark.parametrize("name", ["60000x60000.png", "12000x12000.png"])
def test_no_command_unfolds_a_bomb_in_a_data_set(name, tmp_path):
    data, before = bomb_data(tmp_path, name), peak()
    weights, out = known_weights(tmp_path), tmp_path / "out"
    for arguments in (
        ["data", data[1], data[3], "--out", out / "seen.png"],
        ["train", "--cpu", *data, "--out", out],
        ["evaluate", "--cpu", *data, "--weights", weights, "--page", out / "page.html"],
    ):
        printed = refused(*arguments)
        assert f"{name}: cannot be read as an image: expected at most" in printed
        assert not out.exists()
    assert peak() - before < 300


def known_weights(folder):
    """Weights of random numbers for the classes of `make`."""
    file = folder / "known.safetensors"
    save_detector(small_detr(3), file, ("bird", "cat", "cup"), 64, {})
    return file


def test_a_picture_is_never_handed_to_another_program(tmp_path):
    page = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%id) run\n"
    (tmp_path / "a.png").write_text(page)
    with pytest.raises(ValueError, match=r"a\.png: cannot be read as an image: cannot identify"):
        read_picture(tmp_path / "a.png")


def specials(folder):
    """What has a name and is no file."""
    os.mkfifo(folder / "pipe")
    (folder / "zeros").symlink_to("/dev/zero")
    (folder / "folder").mkdir()
    server = socket.socket(socket.AF_UNIX)
    here = os.open(folder, os.O_RDONLY)
    server.bind(f"/proc/self/fd/{here}/socket" if sys.platform == "linux" else "socket")
    server.close()
    os.close(here)
    return {"pipe": "a pipe", "zeros": "a device", "folder": "a folder", "socket": "a socket"}


@unix
def test_what_is_no_plain_file_is_named_and_never_waited_for(tmp_path):
    out = ["--out", tmp_path / "out"]
    for name, kind in specials(tmp_path).items():
        path, expected = tmp_path / name, f"{name}: .*expected a plain file, found {kind}"
        for read in (plain_file, read_picture, read_json, read_pickle, read_lesson):
            with pytest.raises(ValueError, match=expected):
                read(path)
        assert "expected a plain file" in refused("detect", path, *out)
        weights = refused("detect", PHOTO, "--weights", path, *out)
        assert name in weights and "expected" in weights
        for command in ("train", "data"):
            given = ["--images", tmp_path, "--annotations", path, *out, "--cpu"]
            printed = refused(
                *(["data", tmp_path, path] if command == "data" else [command, *given])
            )
            assert f"annotations: no file at {path}" in printed
        printed = refused("evaluate", "--cpu", "--config", path)
        assert f"{name}: expected a plain file, found {kind}" in printed
    assert not (tmp_path / "out").exists()


@unix
def test_a_submission_that_is_no_plain_file_costs_its_own_row(tmp_path):
    for name, kind in specials(tmp_path).items():
        (tmp_path / name).rename(tmp_path / f"{name}.ipynb")
        note = grade_notebook(tmp_path / f"{name}.ipynb", 10, 2**30).note
        assert note.startswith("cannot be graded: ")
        with pytest.raises(ValueError, match=f"expected a plain file, found {kind}"):
            read_lesson(tmp_path / f"{name}.ipynb")


@unix
def test_a_data_set_may_name_a_pipe(tmp_path):
    def change(data):
        data["images"][0]["file_name"] = "pipe"

    images, annotations = make(tmp_path, change)
    specials(tmp_path)
    with pytest.raises(ValueError, match=r"pipe: cannot be read as an image: .* found a pipe"):
        survey(CocoScenes(images, annotations))


def test_a_file_that_is_too_long_is_not_read(tmp_path):
    with (tmp_path / "long.json").open("wb") as file:
        file.truncate(2**31 + 1)  # takes no space on most disks
    before = peak()
    for read in (read_json, read_coco, read_lesson):
        with pytest.raises(ValueError, match=r"long\.json: expected a file of at most"):
            read(tmp_path / "long.json")
    assert peak() - before < 100


@pytest.mark.parametrize("size", [(1, 10000), (10000, 1), (3, 2000)])
def test_a_picture_that_is_too_long_and_narrow_is_refused(size, tmp_path):
    file = tmp_path / "thread.png"
    Image.new("RGB", size).save(file)
    printed = refused("detect", file, "--out", tmp_path / "out")
    found = "x".join(map(str, size))
    assert f"thread.png: expected an image that is less long and narrow, found {found}" in printed
    assert not (tmp_path / "out").exists()

    def change(data):
        data["images"][0] = {"id": 10, "file_name": "thread.png"}

    images, annotations = make(tmp_path, change)
    given = ["--images", images, "--annotations", annotations, "--page", tmp_path / "page.html"]
    assert "less long and narrow" in refused(
        "evaluate", "--cpu", *given, "--weights", known_weights(tmp_path)
    )
    assert not (tmp_path / "page.html").exists()


def test_a_picture_of_which_a_pixel_is_left_is_searched(tmp_path):
    Image.new("RGB", (3, 600)).save(tmp_path / "a.png")  # 213 pixels long, 1 across
    accepted("detect", tmp_path / "a.png", "--out", tmp_path / "out")


NOTES = {
    "model": "small",
    "classes": json.dumps(Scenes.classes),
    "short_side": "128",
}
SIZES = {"kind": "small", "num_classes": 6}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": None}, "expected classes among its notes"),
        ({"short_side": None}, "expected short_side among its notes"),
        *(
            ({"short_side": side}, "short_side: expected")
            for side in ("1000000", "-1", "0", "wide", "", "128.5", "NaN", "true", "[128]", "1e3")
        ),
        ({"classes": "{"}, "classes: expected JSON"),
        ({"classes": "[" * DEEP}, "classes: expected JSON, found it nested too deep"),
        ({"classes": '"square"'}, "classes: expected a list of names"),
        ({"classes": '{"a": 1}'}, "classes: expected a list of names"),
        ({"classes": "[]"}, "classes: expected a list of names, found []"),
        ({"classes": "[1, 2, 3, 4, 5, 6]"}, "classes: expected names"),
        ({"classes": '["a", "b", "c", "d", "e", ""]'}, "classes: expected names"),
        ({"classes": '["a", "b", "c", "d", "e", "\\u001b[2J"]'}, "control characters"),
        ({"classes": '["a", "b"]'}, "num_classes: expected 6, as the tensors have it, found 2"),
        ({"sizes": json.dumps(SIZES), "classes": '["a", "b"]'}, "a list of 6 names, found 2"),
        ({"sizes": "[" * DEEP}, "sizes: expected JSON"),
        ({"sizes": "[]"}, "sizes: expected names with values, found []"),
        ({"sizes": "{}"}, "kind: expected one of small, medium, full, found None"),
        *(
            ({"sizes": json.dumps(SIZES | {name: value})}, f"{name}: expected")
            for name, value in {
                "kind": "huge",
                "num_queries": 10**9,
                "emb_dim": -64,
                "enc_layers": 10**9,
                "dec_layers": 3.0,
                "dim_feedforward": "128",
                "nhead": 0,
                "dropout": 2,
                "temperature": float("nan"),
                "backbone": "resnet50; id",
                "dilation": 1,
                "w_class": 1.0,
            }.items()
        ),
        ({"sizes": json.dumps(SIZES | {"kind": "medium"})}, "expected the weights of this model"),
        ({"model": "[red]"}, "expected weights that this program trained"),
    ],
)
def test_wrong_notes_of_weights_are_named(change, message, tmp_path):
    file, out = tmp_path / "a.safetensors", tmp_path / "out"
    notes = {name: value for name, value in (NOTES | change).items() if value is not None}
    save_file(load_file(SHIPPED), file, notes)
    before = peak()
    printed = refused("detect", PHOTO, "--weights", file, "--out", out)
    assert f"{file}: " in printed and message in printed and printed.count("\n") == 1
    assert peak() - before < 300 and not out.exists()


def test_tensors_of_another_shape_are_named_before_memory_is_taken_for_them(tmp_path):
    state = load_file(SHIPPED)
    state["query_pos"] = torch.zeros(1, 10**6)
    sizes = SIZES | {"num_queries": 1, "emb_dim": 10**6}
    for key, value in (("sizes", json.dumps(sizes)), ("made_by", "")):
        save_file(state, tmp_path / "a.safetensors", NOTES | {key: value})
        before = peak()
        with pytest.raises(ValueError, match=r"a\.safetensors: "):
            load_detector(tmp_path / "a.safetensors")
        assert peak() - before < 100
    del state["query_pos"]
    save_file(state, tmp_path / "a.safetensors", NOTES)
    with pytest.raises(ValueError, match="num_queries: expected"):
        load_detector(tmp_path / "a.safetensors")
    save_weights(small_detr(6), tmp_path / "whole.safetensors", NOTES)
    assert load_detector(tmp_path / "whole.safetensors").classes == Scenes.classes


ODD_NAMES = ("[/bold]", ":dog:", "<i>&amp;", "[red]x[/]", "a\\", "$x_$")


def test_class_names_are_printed_as_they_are(tmp_path):
    def rename(data):
        for one, name in zip(data["categories"], ODD_NAMES[:3], strict=True):
            one["name"] = name

    weights, page = tmp_path / "odd.safetensors", tmp_path / "page.html"
    save_detector(small_detr(6), weights, ODD_NAMES, 64, {})
    images, annotations = make(tmp_path, rename)
    of_weights = ["--weights", weights]
    printed = accepted("detect", PHOTO, *of_weights, "--threshold=0", "--out", tmp_path / "out")
    assert printed.startswith(f"classes known: {', '.join(ODD_NAMES)}")
    found = {line.split("│")[1].strip() for line in printed.splitlines() if "│" in line}
    assert found and found <= set(ODD_NAMES)
    printed = accepted("data", images, annotations, "--out", tmp_path / "data.png")
    assert all(f"{name}: " in printed for name in ODD_NAMES[:3])
    data = ["--images", images, "--annotations", annotations]
    accepted("evaluate", "--cpu", *data, *of_weights, "--page", page)
    text = page.read_text()
    assert "[/bold]" in text and ":dog:" in text and "&lt;i&gt;&amp;amp;" in text
    assert "<i>" not in text


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_table_of_detections_shows_a_class_as_it_is(name):
    found = {
        "scores": torch.ones(1),
        "labels": torch.zeros(1, dtype=torch.int64),
        "boxes": torch.ones(1, 4),
    }
    console = Console(file=io.StringIO())
    console.print(found_table(found, (name,), f"{name}.png"))
    assert f"│ {name} " in console.file.getvalue() and f"{name}.png" in console.file.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was stopped in its second stage: what goes on with it, and its checkpoint."""

    folder = tmp_path_factory.mktemp("run")
    settings = Settings(steps=2, pretrain_steps=1, batch_size=2, save_every=1)
    trainer = Trainer(small_detr(6), Scenes(4), None, settings, folder, Accelerator(cpu=True))
    trainer.run()
    return trainer, torch.load(folder / CHECKPOINT)


def with_part(path, value):
    """Puts a value into a copy of nested dicts and lists."""

    def change(state):
        name, *rest = path
        inner = with_part(rest, value)(state[name]) if rest else value
        if isinstance(state, dict):
            return {**state, name: inner}
        return [inner if i == name else one for i, one in enumerate(state)]

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["module"], {}, "module: expected tensors, found none"),
        (["module"], [], "module: expected a dict"),
        (["module"], {"a": torch.zeros(1)}, "module: expected 'queries'"),
        (["module", "queries"], torch.zeros(3, 64), r"expected a tensor of shape \[16, 64\]"),
        (["module", "queries"], 3, r"module\['queries'\]: expected a tensor"),
        (["run"], [1, 2], "run: expected a dict"),
        (["run"], "steps", "run: expected a dict"),
        (["stage"], "test", "expected a step of pretrain or train"),
        (["stage"], "pretrain", "expected a checkpoint of this run"),
        (["step"], -1, "expected a step"),
        (["step"], "1", "step: expected a int"),
        (["history"], {}, "history: expected a list"),
        (["history"], [1], "history: expected a dict"),
        (["losses"], [1.0], "losses: expected 2 values"),
        (["losses"], [("a", 1.0)], r"losses\[0\]: expected a int"),
        (["optimizer"], {}, "expected a checkpoint of this run"),
        (["optimizer"], [], "optimizer: expected a dict"),
        (["optimizer", "state"], {0: {"exp_avg": 1}}, "KeyError: 'step'"),
        (["optimizer", "state", 0, "exp_avg"], torch.zeros(3), "expected a tensor of shape"),
        (["optimizer", "param_groups", 0, "lr"], "fast", r"\['lr'\]: expected a float"),
        (["optimizer", "param_groups", 0, "params"], [], "expected a checkpoint of this run"),
        (["scheduler"], {}, "scheduler: expected"),
        (["scheduler", "last_epoch"], "1", r"\['last_epoch'\]: expected a int"),
    ],
)
def test_a_checkpoint_of_another_form_is_refused_before_the_run(
    run, path, value, message, tmp_path
):
    trainer, state = run
    torch.save(with_part(path, value)(state), trainer.folder / CHECKPOINT)
    with pytest.raises(ValueError, match=f"{CHECKPOINT}: .*{message}") as raised:
        trainer.check()
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500
    torch.save(state, trainer.folder / CHECKPOINT)
    trainer.check()


def test_a_checkpoint_whose_parts_unfold_in_memory_is_refused(tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "plain")
    assert not read_pickle(tmp_path / "plain")["a"].any()
    with zipfile.ZipFile(tmp_path / "plain") as plain:
        contents = {entry: plain.read(entry) for entry in plain.namelist()}
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name, content in contents.items():
            bomb.writestr(name, content)
    with pytest.raises(ValueError, match="expected no compressed parts"):
        read_pickle(tmp_path / "bomb")


HF_CONFIG = {"model_type": "detr", "num_queries": 10**9, "d_model": 32, "encoder_layers": 1}
HF_CONFIG |= {"decoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 48}


def hf_folder(folder):
    """What a folder of transformers may be mistaken for by its names."""
    state = {f"backbone.0.body.layer3.{i}.conv1.weight": torch.zeros(1) for i in range(6)}
    state |= {"class_embed.bias": torch.zeros(4), "query_embed.weight": torch.zeros(12, 32)}
    state |= {
        f"transformer.{part}.layers.0.linear1.{name}": torch.zeros(48)
        for part in ("encoder", "decoder")
        for name in ("weight", "bias")
    }
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"model_type": "detr\xff"}', "expected UTF-8 text"),
        (b"[" * DEEP, "nested too deep"),
        (b'{"a": ' * DEEP, "nested too deep"),
        (b"[" * 1000 + b"]" * 1000, "expected a DETR of transformers"),
        (json.dumps(HF_CONFIG).encode(), "num_queries: expected 12, as the tensors have it"),
        (json.dumps(HF_CONFIG | {"num_queries": 12, "d_model": "x"}).encode(), "emb_dim: expected"),
        (
            json.dumps(HF_CONFIG | {"num_queries": 12, "id2label": {"0": 5}}).encode(),
            "classes: expected names",
        ),
        (json.dumps(HF_CONFIG | {"num_queries": 12, "id2label": 5}).encode(), "AttributeError"),
    ],
)
def test_a_wrong_config_of_transformers_is_named(content, message, tmp_path):
    hf_folder(tmp_path)
    (tmp_path / "config.json").write_bytes(content)
    out = tmp_path / "out"
    printed = refused("detect", PHOTO, "--weights", tmp_path, "--out", out)
    assert f"{tmp_path}: expected a DETR" in printed and message in printed
    assert printed.count("\n") == 1 and not out.exists()


@pytest.mark.parametrize("side", [0, -1, 10**6, "800", None, True, 1.5])
def test_a_wrong_side_of_transformers_is_named(side, tmp_path):
    hf_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(HF_CONFIG | {"num_queries": 12}))
    assert read_folder(tmp_path).short_side == 800
    processor = {"size": {"shortest_edge": side}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    with pytest.raises(ValueError, match="short_side: expected a whole number of pixels"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'lr = "\xff"', "expected UTF-8 text"),
        (b"lr = " + b"[" * DEEP, "nested too deep"),
        (b"lr =", "expected TOML: Invalid value"),
    ],
)
def test_a_wrong_file_of_options_is_named(content, message, tmp_path):
    file, out = tmp_path / "a.toml", tmp_path / "run"
    file.write_bytes(content)
    printed = refused("train", "--cpu", "--out", out, "--config", file)
    assert f"{file}: expected" in printed and message in printed
    assert printed.count("\n") == 1 and not out.exists()


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"[" * DEEP, b"{}", b'{"cells": 1}', b"[]", b'{"nbformat": 4, "cells": {}}'],
)
def test_a_wrong_notebook_is_named(content, tmp_path):
    file, out = tmp_path / "a.ipynb", tmp_path / "course"
    file.write_bytes(content)
    printed = refused("course", file, "--student", "--out", out)
    assert f"{file}: expected" in printed and not out.exists()
    result = CliRunner().invoke(app, ["grade", str(tmp_path), "--out", str(tmp_path / "a.csv")])
    assert result.exit_code == 0 and "cannot be graded" in (tmp_path / "a.csv").read_text()


@pytest.mark.parametrize(
    "exercise", [{}, 3, {"attempt": 1, "solution": "box_iou"}, {"attempt": "a", "solution": "none"}]
)
def test_a_lesson_with_a_wrong_exercise_is_named_before_anything_is_written(exercise, tmp_path):
    cell = {"cell_type": "code", "source": "x = 1", "outputs": [], "execution_count": None}
    content = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}}
    content["cells"] = [cell | {"metadata": {"exercise": exercise}}]
    file, out = tmp_path / "a.ipynb", tmp_path / "course"
    file.write_text(json.dumps(content))
    assert f"{file}: expected a lesson" in refused("course", file, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize(
    "name",
    [
        "../0.png",
        "a/../../0.png",
        "/etc/passwd",
        "C:\\a.png",
        "..\\0.png",
        "\\\\host\\a.png",
        "C:a",
    ],
)
def test_a_data_set_leads_to_no_file_outside_of_its_folder(name, tmp_path):
    def change(data):
        data["images"][0]["file_name"] = name

    _, annotations = make(tmp_path, change)
    with pytest.raises(ValueError, match=r"images\[0\] .*\.file_name: expected a path inside"):
        read_coco(annotations)


def test_a_data_set_may_name_pictures_in_folders_below(tmp_path):
    def change(data):
        data["images"][0]["file_name"] = "a/b/..0.png"

    _, annotations = make(tmp_path, change)
    assert read_coco(annotations).images[0].file_name == "a/b/..0.png"


@pytest.mark.parametrize("name", ["cat\n", "a\x1b[2J", "\x00"])
def test_a_class_with_control_characters_is_named(name, tmp_path):
    _, annotations = make(tmp_path, lambda data: data["categories"][0].update(name=name))
    with pytest.raises(ValueError, match=r"categories\[0\].*name: expected text without control"):
        read_coco(annotations)
