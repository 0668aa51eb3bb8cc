"""Every file that is read, damaged at random: it is read, or named in an error that is documented.

No code in a file is run, no program is started, nothing outside of the given folders is opened or
changed, and memory is bounded. The tries are the same each time; `DETR_STEPS_EXAMPLES=1000`
makes so many of each kind.
"""

import io
import json
import os
import pickle
import resource
import struct
import sys
import zipfile
from contextlib import contextmanager
from copy import deepcopy

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from cli import refused
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image
from safetensors.torch import load_file, save
from test_coco import make
from test_files import HF_CONFIG, NOTES, SIZES, hf_folder
from typer.testing import CliRunner

from detr_steps.commands import app
from detr_steps.course.copies import read_lesson
from detr_steps.course.grading import grade_notebook
from detr_steps.notebook.results import COLUMNS, read_ablations
from detr_steps.reading import read_toml
from detr_steps.training.checkpoints import CHECKPOINT, PARTS, load_checkpoint, read_pickle
from detr_steps.training.coco import CocoScenes
from detr_steps.training.detectors import SHIPPED, load_detector
from detr_steps.training.huggingface import read_folder
from detr_steps.training.pictures import read_picture
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.survey import draw_data, survey
from detr_steps.training.trainer import Settings, Trainer

BUDGET = os.environ.get("DETR_STEPS_EXAMPLES")
MOST_GROWTH = (
    1200  # MiB: no file here has more than a few, and a picture may have 89 million pixels
)
STARTS_A_PROGRAM = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")


def tries(few, slower=1):
    """The budget of a test: `few`, or what the environment says, less where a try takes longer."""
    return settings(
        derandomize=True,
        max_examples=max(few, int(BUDGET) // slower) if BUDGET else few,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if BUDGET else [])],  # it takes minutes
    )


class Watch:
    """What this process opens and starts, while somebody looks."""

    def __init__(self):
        self.seen = None
        sys.addaudithook(self.hear)  # for as long as the process lives

    def hear(self, event, arguments):
        if self.seen is not None and (event == "open" or event in STARTS_A_PROGRAM):
            self.seen.append((event, arguments[0]))


@pytest.fixture(scope="module")
def watch():
    return Watch()


def tree(folder):
    """All that lies in a folder, with its content."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def room(tmp_path):
    """A folder with a secret, and one in it for a test."""
    Image.new("RGB", (64, 64)).save(tmp_path / "secret.png")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "room").mkdir()
    return tmp_path / "room"


@contextmanager
def kept(room, watch):
    """Inside of the block nothing outside of the room is opened or changed, and no program run."""
    outside = {path: path.read_bytes() for path in room.parent.iterdir() if path.is_file()}
    before, watch.seen = peak(), []
    try:
        yield
    finally:
        seen, watch.seen = watch.seen, None
    assert not [event for event, _ in seen if event != "open"], seen
    opened = [os.path.realpath(name) for _, name in seen if isinstance(name, str | os.PathLike)]
    assert not set(opened) & {"/etc/passwd", *map(str, outside)}
    assert {p: p.read_bytes() for p in room.parent.iterdir() if p.is_file()} == outside
    assert peak() - before < MOST_GROWTH


def peak():
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def judge(work, name):
    """The work is done, or a documented error names the file; returns what came of it."""
    try:
        return work()
    except (ValueError, OSError) as error:
        assert name in str(error), repr(error)
        assert len(str(error)) < 10_000
        return None


# damage to bytes

EDIT = st.tuples(
    st.sampled_from(["flip", "set", "cut", "end", "repeat", "large"]),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 255),
)
EDITS = st.lists(EDIT, min_size=1, max_size=4)


def damaged(content, edits):
    """A copy of some bytes with edits at parts of its length."""
    content = bytearray(content)
    for kind, part, value in edits:
        at = int(part * part * len(content))  # more of them near the beginning
        if kind == "flip":
            content[at : at + 1] = bytes(byte ^ (1 << value % 8) for byte in content[at : at + 1])
        elif kind == "set":
            content[at : at + 1] = bytes([value])
        elif kind == "cut":
            del content[at : at + 1 + value]
        elif kind == "end":
            del content[at:]
        elif kind == "repeat":
            content[at:at] = content[at : at + value]
        else:
            content[at : at + 4] = b"\xff\xff\xff\x7f"
    return bytes(content)


# damage to what JSON says

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.sampled_from([0, 1, -1, 2**31, 2**63, 10**400, 1e308, -1e308, 1e-320]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        [
            "", "../secret.png", "/etc/passwd", "..", ".", "x" * 5000, "\x1b[2J", "\ud800", "\x00",
            "[/bold]", "secret.txt", "file:///etc/passwd", "1", "NaN", "true",
        ]
    ),
    st.sampled_from([[], {}, [None], {"": None}, [[[[1]]]], [0] * 50]),
    st.just("deep"),
)  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.integers(0, 10**6), st.sampled_from(["put", "put", "drop", "twice"]), ODD),
    min_size=1,
    max_size=3,
)


def places(tree):
    """Each container of a tree with each of its keys."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    for key in keys:
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from places(tree[key])


def changed(tree, changes, deep=True):
    """A copy of a tree with changes at places of it."""
    tree = deepcopy(tree)
    for place, kind, value in changes:
        found = list(places(tree))
        if not found:
            break
        inner, key = found[place % len(found)]
        if kind == "put":
            new = nested(20_000 if deep else 50) if value == "deep" else deepcopy(value)
            inner[key] = new
        elif kind == "drop":
            del inner[key]
        elif isinstance(inner, list):
            inner.append(deepcopy(inner[key]))
        else:
            inner[f"{key} "] = deepcopy(inner[key])
    return tree


class Raw(str):
    """A text of JSON in the place of a value."""


def nested(levels):
    return Raw("[" * levels + "]" * levels)


def as_json(tree):
    """JSON of a tree, also where it is nested deeper than `json` writes."""
    raw = {}

    def named(value):
        if isinstance(value, Raw):
            raw[f'"raw-{len(raw)}"'] = value
            return list(raw)[-1].strip('"')
        if isinstance(value, dict):
            return {key: named(one) for key, one in value.items()}
        return [named(one) for one in value] if isinstance(value, list) else value

    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    text = json.dumps(named(tree))
    sys.set_int_max_str_digits(before)
    for name, value in raw.items():
        text = text.replace(name, value)
    return text


def pictures():
    """Small pictures of many kinds."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(pixels)
    wanted = {
        "png": {"exif": exif}, "jpeg": {"exif": exif}, "gif": {}, "bmp": {}, "tiff": {},
        "webp": {}, "ppm": {}, "ico": {}, "tga": {}, "jpeg2000": {}, "pcx": {}, "sgi": {},
    }  # fmt: skip
    made = {}
    for kind, options in wanted.items():
        file = io.BytesIO()
        picture.save(file, kind, **options)
        made[kind] = file.getvalue()
    for kind, array in {
        "16.png": (pixels[..., 0].astype(np.uint16) * 257),
        "float.tiff": (pixels[..., 0] / 255).astype(np.float32),
    }.items():
        file = io.BytesIO()
        Image.fromarray(array).save(file, kind.split(".")[1])
        made[kind] = file.getvalue()
    return made


PICTURES = pictures()


def test_pictures(room, watch):
    @tries(150)
    @given(st.sampled_from(sorted(PICTURES)), EDITS)
    def check(kind, edits):
        file = room / f"a.{kind}"
        file.write_bytes(damaged(PICTURES[kind], edits))
        picture = judge(lambda: read_picture(file), file.name)
        assert picture is None or picture.mode == "RGB"

    with kept(room, watch):
        check()


def test_detect_on_pictures_and_weights(room, watch):
    whole = SHIPPED.read_bytes()

    @tries(4, slower=10)
    @given(st.sampled_from(sorted(PICTURES)), EDITS, st.booleans())
    def check(kind, edits, of_weights):
        picture, weights = room / f"a.{kind}", room / "a.safetensors"
        picture.write_bytes(PICTURES[kind] if of_weights else damaged(PICTURES[kind], edits))
        weights.write_bytes(damaged(whole, edits) if of_weights else whole)
        command("detect", picture, "--weights", weights, "--out", room / "out", name="a.")

    with kept(room, watch):
        check()


def command(*arguments, name):
    """A command does its work, or ends with an error that names the file, and no traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 1, 2) and "Traceback" not in result.output
    assert result.exit_code == 0 or name in result.output, result.output
    return result.exit_code


def test_data_sets(room, watch):
    folder, annotations = make(room)
    data = json.loads(annotations.read_text())

    @tries(60)
    @given(CHANGES, EDITS, st.booleans())
    def check(changes, edits, of_text):
        text = as_json(changed(data, changes)).encode()
        annotations.write_bytes(damaged(text, edits) if of_text else text)

        def use():
            scenes = CocoScenes(folder, annotations, side=64)
            found = survey(scenes)
            found.table("a")
            draw_data(scenes, room / "data.png")
            return scenes.identity

        judge(use, annotations.name)

    with kept(room, watch):
        check()


PARTS_OF_NAMES = st.sampled_from(["..", ".", "a", "", "secret.png", "0.png", "C:", "~", "etc"])


def test_names_of_pictures_in_data_sets(room, watch):
    folder, annotations = make(room)
    data = json.loads(annotations.read_text())
    (folder / "a").mkdir()

    @tries(60)
    @given(st.lists(PARTS_OF_NAMES, min_size=1, max_size=5), st.sampled_from("//\\"))
    def check(parts, separator):
        data["images"][0] = {"id": 10, "file_name": separator.join(parts)}
        annotations.write_text(json.dumps(data))
        judge(lambda: CocoScenes(folder, annotations).load(0), folder.name)

    with kept(room, watch):
        check()


def test_commands_on_data_sets(room, watch):
    folder, annotations = make(room)
    data = json.loads(annotations.read_text())
    given_data = ["--images", folder, "--annotations", annotations]

    @tries(8, slower=10)
    @given(CHANGES, st.booleans())
    def check(changes, train):
        annotations.write_text(as_json(changed(data, changes)))
        outs = ["--out", room / "seen.png"]
        code = command("data", folder, annotations, *outs, name="annotations.json")
        if train and code:  # nothing but what is refused, since a run takes long
            before = tree(room)
            assert command("train", "--cpu", *given_data, "--out", room / "run", name="annot")
            assert tree(room) == before

    with kept(room, watch):
        check()


def test_weights(room, watch):
    state = load_file(SHIPPED)
    file = room / "a.safetensors"
    whole = {"classes": list(Scenes.classes), "short_side": 128, "sizes": SIZES}

    @tries(25, slower=2)
    @given(CHANGES, EDITS, st.sampled_from(["notes", "text", "bytes"]))
    def check(changes, edits, what):
        if what == "bytes":
            file.write_bytes(damaged(SHIPPED.read_bytes(), edits))
        else:
            notes = changed(whole, changes)
            texts = {name: as_json(value) for name, value in notes.items()}
            if what == "text":
                texts = {
                    name: damaged(text.encode(), edits).decode(errors="replace")
                    for name, text in texts.items()
                }
            file.write_bytes(save(state, {**NOTES, **texts}))
        detector = judge(lambda: load_detector(file), file.name)
        assert detector is None or 1 <= detector.short_side <= 4096

    with kept(room, watch):
        check()


def test_headers_of_weights(room, watch):
    whole = SHIPPED.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header, rest = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    file = room / "a.safetensors"

    @tries(25)
    @given(CHANGES)
    def check(changes):
        text = as_json(changed(header, changes)).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + rest)
        judge(lambda: load_detector(file), file.name)

    with kept(room, watch):
        check()


def test_checkpoints(room, watch):
    options = Settings(steps=2, pretrain_steps=0, batch_size=2, save_every=1)
    trainer = Trainer(small_detr(6), Scenes(4), None, options, room, Accelerator(cpu=True))
    trainer.run()
    file = room / CHECKPOINT
    state, whole = torch.load(file), file.read_bytes()

    @tries(8, slower=2)
    @given(CHANGES, EDITS, st.booleans())
    def check(changes, edits, of_bytes):
        if of_bytes:
            file.write_bytes(damaged(whole, edits))
        else:
            torch.save(changed(state, changes, deep=False), file)
        before = sorted(room.iterdir())
        judge(trainer.check, CHECKPOINT)
        assert sorted(room.iterdir()) == before

    with kept(room, watch):
        check()


class Payload:
    """Calls something when it is unpickled, where nothing prevents it."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def payloads(marker):
    """Ways to make a file by code in a pickle."""
    code = f"open({str(marker)!r}, 'w').close()"
    return [
        Payload(os.system, f"touch '{marker}'"),
        Payload(exec, code),
        Payload(eval, code),
        Payload(open, str(marker), "w"),
        Payload(os.mkdir, str(marker)),
        Payload(torch.save, 1, str(marker)),
        Payload(np.save, str(marker), 1),
        Payload(__import__("subprocess").call, ["touch", str(marker)]),
        Payload(__import__("shutil").copy, __file__, str(marker)),
        Payload(__import__("pathlib").Path.touch, marker),
        Payload(__import__("functools").reduce, os.mkdir, [str(marker)], 0o777),
        Payload(getattr, Payload(__import__, "os"), "system"),
    ]


def stored(thing, how):
    """A thing as a file: by `torch.save`, in its old form, or as a plain pickle."""
    file = io.BytesIO()
    if how == "pickle":
        pickle.dump(thing, file)
    elif how == "renamed":  # an archive whose parts have the name of another
        torch.save(thing, file)
        again = io.BytesIO()
        with zipfile.ZipFile(file) as one, zipfile.ZipFile(again, "w") as other:
            for name in one.namelist():
                other.writestr(name.replace("archive/", "other/"), one.read(name))
        return again.getvalue()
    else:
        torch.save(thing, file, _use_new_zipfile_serialization=how == "zip")
    return file.getvalue()


def test_payloads(room, watch):
    marker = room.parent / "marker"
    state = {name: {} for name in PARTS}
    ways, forms = payloads(marker), ["zip", "legacy", "pickle", "renamed"]

    @tries(15)
    @given(st.sampled_from(ways), st.sampled_from(forms), st.sampled_from(sorted(PARTS)), EDITS)
    def check(payload, form, part, edits):
        for thing in ({**state, part: payload}, {**state, part: {"a": payload}}, payload):
            content = stored(thing, form)
            (room / CHECKPOINT).write_bytes(content)
            judge(lambda: load_checkpoint(room, {}), CHECKPOINT)
            (room / CHECKPOINT).write_bytes(damaged(content, edits))
            judge(lambda: load_checkpoint(room, {}), CHECKPOINT)
            hf_folder(room)
            (room / "model.safetensors").unlink()
            (room / "config.json").write_text(json.dumps(HF_CONFIG | {"num_queries": 12}))
            (room / "pytorch_model.bin").write_bytes(content)
            judge(lambda: load_detector(room), room.name)
        assert not marker.exists()

    with kept(room, watch):
        check()


def test_the_payloads_do_harm_where_nothing_prevents_it(room):
    marker, harmful = room / "marker", 0
    for payload in payloads(marker):
        try:
            pickle.loads(pickle.dumps(payload))
        except Exception:
            continue
        if marker.is_dir():
            marker.rmdir()
        harmful += marker.exists() or isinstance(payload.arguments[0], Payload)
        marker.unlink(missing_ok=True)
    assert harmful >= 8


def test_plain_pickles(room, watch):
    file = room / "a.pth"
    state = {"a": torch.zeros(3), "b": [1, "x", (2.0, None)], "c": {"d": torch.ones(2).half()}}
    contents = {how: stored(state, how) for how in ("zip", "legacy", "pickle")}

    @tries(60)
    @given(st.sampled_from(sorted(contents)), EDITS)
    def check(how, edits):
        file.write_bytes(damaged(contents[how], edits))
        try:
            read_pickle(file)
        except Exception as error:  # its callers name the file
            assert not isinstance(error, MemoryError)

    with kept(room, watch):
        check()


def test_folders_of_transformers(room, watch):
    hf_folder(room)
    weights = (room / "model.safetensors").read_bytes()
    config = HF_CONFIG | {"num_queries": 12, "id2label": {str(i): f"c{i}" for i in range(3)}}
    processor = {"size": {"shortest_edge": 800, "longest_edge": 1333}}

    @tries(50)
    @given(CHANGES, EDITS, st.sampled_from(["config", "processor", "weights", "text"]))
    def check(changes, edits, what):
        texts = {"config": config, "preprocessor_config": processor}
        if what in ("config", "processor"):
            name = "config" if what == "config" else "preprocessor_config"
            texts[name] = changed(texts[name], changes)
        for name, content in texts.items():
            text = as_json(content).encode()
            (room / f"{name}.json").write_bytes(damaged(text, edits) if what == "text" else text)
        damage = edits if what == "weights" else []
        (room / "model.safetensors").write_bytes(damaged(weights, damage))
        content = judge(lambda: read_folder(room), room.name)
        assert content is None or len(content.classes) == 3

    with kept(room, watch):
        check()


def onnx_model(classes, short_side, sides=4):
    """A file of ONNX that says the same of every image."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    kind, helper = onnx.TensorProto, onnx.helper
    nodes, shapes = [], {"class_logits": [1, 2, 3], "bbox_pred": [1, 2, sides]}
    for name, shape in shapes.items():
        value = helper.make_tensor(name, kind.FLOAT, shape, [0.5] * int(np.prod(shape)))
        nodes.append(helper.make_node("Constant", [], [name], value=value))
    graph = helper.make_graph(
        nodes,
        "made",
        [
            helper.make_tensor_value_info("images", kind.FLOAT, ["b", 3, "h", "w"]),
            helper.make_tensor_value_info("padding_mask", kind.BOOL, ["b", "h", "w"]),
        ],
        [helper.make_tensor_value_info(name, kind.FLOAT, s) for name, s in shapes.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    notes = {"classes": as_json(classes), "short_side": as_json(short_side)}
    helper.set_model_props(model, notes)
    return model.SerializeToString()


def test_files_of_onnx(room, watch):
    file = room / "a.onnx"
    file.write_bytes(onnx_model(["a", "b"], 64))
    assert load_detector(file).classes == ("a", "b")

    @tries(25)
    @given(CHANGES, EDITS, st.booleans())
    def check(changes, edits, of_notes):
        notes = {"classes": ["a", "b"], "short_side": 64}
        if of_notes:
            notes |= changed(notes, changes)
        content = onnx_model(**{name: notes[name] for name in ("classes", "short_side")})
        file.write_bytes(content if of_notes else damaged(content, edits))
        detector = judge(lambda: load_detector(file), file.name)
        if detector is not None:
            assert len(detector.classes) == 2
            judge(lambda: detector.find(Image.new("RGB", (64, 64)), 0.1), file.name)

    with kept(room, watch):
        check()


def test_a_model_of_onnx_that_fails_as_it_runs_is_named(room):
    file, picture = room / "a.onnx", room / "a.png"
    file.write_bytes(onnx_model(["a", "b"], 64, sides=5))
    picture.write_bytes(PICTURES["png"])
    printed = refused("detect", picture, "--weights", file, "--out", room / "out")
    assert "a.onnx: expected a model that `export` wrote, which failed" in printed
    assert not (room / "out").exists()


def lesson():
    """A notebook with a text, an exercise and a question."""
    code = {"cell_type": "code", "execution_count": None, "outputs": []}
    exercise = {"attempt": "my_iou", "solution": "box_iou"}
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "cells": [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# A lesson"]},
            code
            | {
                "id": "b",
                "metadata": {"exercise": exercise},
                "source": "def my_iou(a, b):\n    ...",
            },
            code | {"id": "c", "metadata": {"tags": ["x"]}, "source": 'ask("7.1", answer=None)'},
        ],
    }


def test_notebooks(room, watch):
    whole, file = lesson(), room / "a.ipynb"
    file.write_text(json.dumps(whole))
    assert "box_iou" in str(read_lesson(file))

    @tries(60)
    @given(CHANGES, EDITS, st.booleans())
    def check(changes, edits, of_text):
        text = as_json(changed(whole, changes)).encode(errors="replace")
        file.write_bytes(damaged(text, edits) if of_text else text)
        judge(lambda: read_lesson(file), file.name)

    with kept(room, watch):
        check()


def test_submissions(room, watch):
    whole, file = lesson(), room / "a.ipynb"
    whole["cells"].pop(1)  # an exercise is run, which takes seconds

    @tries(60)
    @given(CHANGES, EDITS, st.booleans())
    def check(changes, edits, of_text):
        text = as_json(changed(whole, changes)).encode(errors="replace")
        file.write_bytes(damaged(text, edits) if of_text else text)
        report = grade_notebook(file, 5, 2**30)
        assert report.note and "\n" not in report.note
        report.note.encode()

    with kept(room, watch):
        check()


def test_files_of_options(room, watch):
    file = room / "a.toml"
    whole = b'steps = 3\nlr = 1e-3\nqueries = 4\ncpu = true\nmodel = "small"\nprecision = "no"\n'

    @tries(60)
    @given(EDITS)
    def check(edits):
        file.write_bytes(damaged(whole, edits))
        judge(lambda: read_toml(file), file.name)
        nowhere = ["--images", room / "none", "--annotations", room / "none.json"]
        result = CliRunner().invoke(
            app, ["train", "--config", str(file), "--out", str(room / "run"), *map(str, nowhere)]
        )
        assert isinstance(result.exception, SystemExit) and result.exit_code in (1, 2)
        assert not (room / "run").exists()

    with kept(room, watch):
        check()


@pytest.mark.parametrize("cell", ["x" * 200_000, "many", "nan", "1,2"])
def test_a_wrong_table_of_ablations_is_named(cell, room):
    row = ["DETR", "0", "1000", *["1.0"] * (len(COLUMNS) - 4), cell]
    (room / "a.csv").write_text("\n".join(map(",".join, (COLUMNS, row))))
    with pytest.raises(ValueError, match=r"a\.csv: "):
        read_ablations(room / "a.csv")


def test_tables_of_ablations(room, watch):
    file = room / "a.csv"
    row = ["DETR", "0", "1000", *["1.0"] * (len(COLUMNS) - 3)]
    whole = "\n".join(map(",".join, (COLUMNS, row, row))).encode()

    @tries(60)
    @given(EDITS)
    def check(edits):
        file.write_bytes(damaged(whole, edits))
        rows = judge(lambda: read_ablations(file), file.name)
        for one in rows or []:
            assert None not in one and int(one.get("seed", 0)) >= 0

    with kept(room, watch):
        check()
