"""Files in COCO's format with every kind of fault: each is named, and nothing is written."""

import json
import time

import numpy as np
import pytest
from cli import accepted, refused
from PIL import Image
from test_coco import make

from detr_steps.training.coco import CocoScenes
from detr_steps.training.coco_file import read_coco
from detr_steps.training.survey import survey

NAN, INFINITY = float("nan"), float("inf")


def without(section, key):
    """Takes a key out of the first entry of a section."""
    return f"{section}[0] without {key}", lambda data: data[section][0].pop(key), f"{key}: missing"


def with_value(section, key, value):
    """Puts a value into the first entry of a section."""

    def change(data):
        data[section][0][key] = value

    return f"{section}[0].{key} = {value!r}"[:60], change, rf"{section}\[0\].*{key}"


def with_section(section, value, message=None):
    """Puts something else in the place of a section."""

    def change(data):
        data[section] = value

    return f"{section} = {value!r}"[:60], change, message or section


def twice(section, key, message):
    """Gives the second entry of a section what the first one has."""

    def change(data):
        data[section][1][key] = data[section][0][key]

    return f"the same {key} twice in {section}", change, message


FAULTS = [
    *(without("images", key) for key in ("id", "file_name")),
    *(without("annotations", key) for key in ("image_id", "category_id", "bbox")),
    *(without("categories", key) for key in ("id", "name")),
    *(
        (f"no {section}", lambda data, section=section: data.pop(section), f"{section}: missing")
        for section in ("images", "annotations", "categories")
    ),
    *(with_section(name, []) for name in ("images", "annotations", "categories")),
    *(with_section(name, None) for name in ("images", "annotations", "categories")),
    *(with_section(name, {"a": 1}) for name in ("images", "annotations", "categories")),
    *(with_section(name, "text") for name in ("images", "annotations", "categories")),
    *(with_section(name, [3]) for name in ("images", "annotations", "categories")),
    *(with_value("images", "id", value) for value in ("a", None, 1.5, [1])),
    *(with_value("images", "file_name", value) for value in ("", None, 7, ["a.png"])),
    *(with_value("images", "width", value) for value in (0, -3, "wide", NAN)),
    *(with_value("images", "height", value) for value in (0, INFINITY)),
    *(with_value("categories", "id", value) for value in ("a", None, 0.5)),
    *(with_value("categories", "name", value) for value in ("", None, 3)),
    *(with_value("annotations", "image_id", value) for value in ("a", None, 2.5)),
    *(with_value("annotations", "category_id", value) for value in ("a", None, [3])),
    *(
        with_value("annotations", "bbox", value)
        for value in (
            None, 5, "1 2 3 4", [], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, NAN, 4], [1, 2, 3, INFINITY],
            [1, 2, "x", 4], [1, 2, None, 4], [[1, 2], [3, 4]], {"x": 1},
        )
    ),
    *(with_value("annotations", "iscrowd", value) for value in (2, "maybe")),
    ("an unknown image", lambda data: data["annotations"][0].update(image_id=999), "no image has"),
    ("an unknown category", lambda data: data["annotations"][0].update(category_id=8), "found 8"),
    twice("images", "id", "image id 10 is given 2 times"),
    twice("images", "file_name", "file_name '0.png' is given 2 times"),
    twice("categories", "id", "category id 7 is given 2 times"),
    twice("categories", "name", "category name 'cat' is given 2 times"),
    ("no such image file", lambda data: data["images"][0].update(file_name="none.png"), "none.png"),
    ("a folder as an image", lambda data: data["images"][0].update(file_name="."), "cannot be"),
    ("a text as an image", lambda data: data["images"][0].update(file_name="text.png"), "text.png"),
    ("half an image", lambda data: data["images"][0].update(file_name="half.png"), "half.png"),
    (
        "a long image",
        lambda data: data["images"][4].update(file_name="long.png", width=3000, height=10),
        "less long and narrow",
    ),
    ("another size", lambda data: data["images"][0].update(width=800), "expected 800x60 pixels"),
    (
        "nothing but crowds",
        lambda data: [one.update(iscrowd=1) for one in data["annotations"]],
        "no image has an object",
    ),
    (
        "no box that can be used",
        lambda data: [one.update(bbox=[0, 0, 0, 0]) for one in data["annotations"]],
        "no image has an object",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def good_data(tmp_path_factory):
    """A folder of images, with two files beside them that are no images."""
    folder, _ = make(tmp_path_factory.mktemp("data"))
    (folder / "text.png").write_text("not a picture")
    Image.new("RGB", (3000, 10)).save(folder / "long.png")
    (folder / "half.png").write_bytes((folder / "0.png").read_bytes()[:200])
    return folder


@pytest.mark.parametrize(("change", "message"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_fault_is_named_and_nothing_is_written(good_data, change, message, tmp_path):
    data = json.loads((good_data / "annotations.json").read_text())
    change(data)
    file, out = tmp_path / "faulty.json", tmp_path / "run"
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message) as raised:
        survey(CocoScenes(good_data, file, side=64))
    assert "faulty.json: found" in str(raised.value)
    arguments = ["--images", good_data, "--annotations", file, "--out", out]
    printed = refused("train", "--cpu", *arguments)
    assert str(raised.value).splitlines()[-1].strip() in printed
    assert not out.exists()


def test_there_are_many_kinds_of_faults():
    assert len({name for name, *_ in FAULTS}) == len(FAULTS) >= 75


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected JSON"),
        (b"{", "expected JSON: EOF"),
        (b"[1, 2]", "the file: expected an object"),
        (b"null", "the file: expected"),
        (b'{"images": [}', "expected JSON"),
        (b"\xff\xfe{}", "expected UTF-8 text"),
    ],
)
def test_content_that_is_no_such_file_is_named(content, message, tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.json.*(?s:.*){message}"):
        read_coco(file)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    _, annotations = make(tmp_path)
    annotations.write_text(annotations.read_text(), encoding="utf-8-sig")
    assert len(read_coco(annotations).images) == 6


def test_all_problems_are_said_at_once_and_a_long_list_ends(tmp_path):
    def break_everything(data):
        for one in data["annotations"] * 5:
            one["image_id"] = 99
        data["annotations"] = data["annotations"] * 5

    _, annotations = make(tmp_path, break_everything)
    with pytest.raises(ValueError, match="found 40 problems") as raised:
        read_coco(annotations)
    assert str(raised.value).count("no image has the id 99") == 20
    assert str(raised.value).endswith("and 20 more")


def test_many_faults_of_a_large_file_are_listed_at_once(tmp_path):
    def grow(data):
        data["images"] = [{"id": i} for i in range(20_000)]

    _, annotations = make(tmp_path, grow)
    begin = time.perf_counter()
    with pytest.raises(ValueError, match="found 20000 problems"):
        read_coco(annotations)
    assert time.perf_counter() - begin < 20  # parsing it again for each fault would take an hour


def test_a_survey_counts_what_is_there(tmp_path):
    def change(data):
        data["annotations"].append(dict(data["annotations"][0]))
        data["annotations"].append(data["annotations"][0] | {"bbox": [200, 200, 5, 5]})

    folder, annotations = make(tmp_path, change)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.zeros((80, 60, 3), dtype=np.uint8))
    turned.save(folder / "0.png", exif=exif)
    found = survey(CocoScenes(folder, annotations, side=128))
    assert found.counts == [2, 1, 1, 1, 0, 1] and found.queries == 16
    assert dict(found.lines()) == {
        "images": "6",
        "width x height": "64x64: 2, 80x60: 1, 60x80: 1, 90x50: 1, 70x70: 1",
        "pixels": "RGB: 3, RGB, turned: 1, L: 1, P: 1",
        "objects": "6; an image has 1 (median), 2 at most",
        "of each class": "bird: 2, cat: 2, cup: 2",
        "sizes at 128 pixels": "medium: 6, small: 0, large: 0 "
        "(small: below 32x32 pixels, large: from 96x96 on)",
        "images without objects": "1",
        "crowds, left out of training": "1",
        "boxes left out: repeats another": "1",
        "boxes left out: outside of the image": "1",
        "boxes left out: no area": "1",
        "boxes cut to the image": "1",
    }


def test_many_objects_get_queries_enough(tmp_path):
    def crowd(data):
        for i in range(29):
            box = [i, i, 10, 10]
            data["annotations"].append({"image_id": 12, "category_id": 3, "bbox": box})

    folder, annotations = make(tmp_path, crowd)
    assert survey(CocoScenes(folder, annotations)).queries == 60
    given = ["--images", folder, "--annotations", annotations, "--out", tmp_path / "run"]
    small = ["train", "--cpu", "--steps=1", "--pretrain-steps=1", "--batch-size=2", "--side=64"]
    printed = refused(*small, *given, "--queries=29")
    assert "as many as the fullest image has objects, found 29" in " ".join(printed.split())
    assert not (tmp_path / "run").exists()
    accepted(*small, *given)
    weights = ["--weights", tmp_path / "run" / "best.safetensors"]
    assert " AP " in accepted(
        "evaluate", "--cpu", *given[:4], *weights, "--page", tmp_path / "page.html"
    )


def test_the_data_command_looks_and_draws(tmp_path):
    folder, annotations = make(tmp_path)
    printed = accepted("data", folder, annotations, "--out", tmp_path / "seen" / "data.png")
    assert "cup: 2" in printed and "chosen: 16 queries, images of 128 pixels" in printed
    first = Image.open(tmp_path / "seen" / "data.png")
    assert first.width > 4 * 256 and first.height > 2 * 256
    assert len(np.unique(np.asarray(first).reshape(-1, 3), axis=0)) > 100
