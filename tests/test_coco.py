"""Data sets in COCO's format, made here on disk."""

import json
import re

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from detr_steps.training.batches import collate
from detr_steps.training.coco import (
    CocoScenes,
    RandomSizeCrop,
    detr_transforms,
    to_fractions,
)
from detr_steps.training.coco_file import Annotation, ImageEntry, problem_list, usable_objects
from detr_steps.training.evaluation import evaluate


def make(folder, change=lambda data: None):
    """Six images: of many sizes, grey-scale, palette, without objects, with a crowd."""
    rng = np.random.default_rng(0)
    sizes = [(60, 80), (80, 60), (64, 64), (64, 64), (50, 90), (70, 70)]
    data = {
        "images": [],
        "annotations": [],
        "categories": [
            {"id": 7, "name": "cat"},
            {"id": 3, "name": "bird"},
            {"id": 90, "name": "cup"},
        ],
    }
    for i, (height, width) in enumerate(sizes):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).convert({2: "L", 3: "P"}.get(i, "RGB"))
        picture.save(folder / f"{i}.png")
        data["images"].append(
            {"id": 10 + i, "file_name": f"{i}.png", "height": height, "width": width}
        )
    boxes = [
        (10, 90, [10, 10, 30, 20], 0),
        (10, 7, [40, 20, 20, 30], 0),
        (10, 3, [0, 0, 80, 60], 1),  # a crowd
        (11, 3, [5, 5, 20, 40], 0),
        (12, 7, [10, 10, 20, 20], 0),
        (13, 90, [30, 30, 20, 20], 0),
        (13, 90, [30, 30, 0, 10], 0),  # no area
        (15, 3, [50, 50, 40, 40], 0),  # reaches beyond the image
    ]
    for i, (image, category, box, crowd) in enumerate(boxes):
        area = box[2] * box[3]
        entry = {"id": i, "image_id": image, "category_id": category, "bbox": box}
        data["annotations"].append(entry | {"iscrowd": crowd, "area": area})
    change(data)
    (folder / "annotations.json").write_text(json.dumps(data))
    return folder, folder / "annotations.json"


def make_varied(folder):
    """Twelve images of five sizes and many kinds, with up to 30 objects; ids have gaps."""
    rng = np.random.default_rng(1)
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = ["RGB", "L", "P", "16 bits", "turned", "empty"] * 2
    data = {"images": [], "annotations": []}
    for i, kind in enumerate(kinds):
        width, height = [(96, 64), (64, 96), (80, 80), (120, 60), (150, 100)][i % 5]
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        if kind == "16 bits":
            picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        elif kind == "turned":
            picture = Image.fromarray(np.rot90(pixels))
        elif kind in ("L", "P"):
            picture = picture.convert(kind)
        picture.save(folder / f"{i}.png", exif=turned if kind == "turned" else None)
        entry = {"id": 3 * i + 5, "file_name": f"{i}.png", "width": width, "height": height}
        data["images"].append(entry)
        for k in range({"empty": 0, "RGB": 30}.get(kind, 4)):
            corner, sides = rng.uniform(0, 40, 2), rng.uniform(8, 30, 2)
            box = [*corner.tolist(), *sides.tolist()]
            one = {"image_id": 3 * i + 5, "category_id": (7, 3, 90)[k % 3], "bbox": box}
            data["annotations"].append(one | {"iscrowd": int(k == 3)})
    data["categories"] = [{"id": 7, "name": "a"}, {"id": 3, "name": "b"}, {"id": 90, "name": "c"}]
    (folder / "annotations.json").write_text(json.dumps(data))
    return folder, folder / "annotations.json"


def test_images_of_any_mode_and_size_with_mapped_categories(tmp_path):
    data = CocoScenes(*make(tmp_path), side=64)
    assert data.classes == ("bird", "cat", "cup") and list(data.names) == [3, 7, 90]
    items = [data[i] for i in range(6)]
    assert [list(image.shape) for image, _ in items] == [
        [3, 64, 85], [3, 85, 64], [3, 64, 64], [3, 64, 64], [3, 59, 107], [3, 64, 64],
    ]  # fmt: skip
    assert [t["labels"].tolist() for _, t in items] == [[2, 1], [0], [1], [2], [], [0]]
    expected = torch.tensor(
        [[25 / 80, 20 / 60, 30 / 80, 20 / 60], [50 / 80, 35 / 60, 20 / 80, 0.5]]
    )
    torch.testing.assert_close(items[0][1]["boxes"], expected, atol=0.01, rtol=0)
    assert items[0][1]["crowd"].tolist() == [False, False, True]
    torch.testing.assert_close(  # cut to the image
        items[5][1]["boxes"][0], torch.tensor([60, 60, 20, 20]) / 70, atol=0.01, rtol=0
    )
    images, mask, _ = collate(items)
    assert list(images.shape) == [6, 3, 96, 128]
    assert (~mask).sum((1, 2)).tolist() == [i.shape[1] * i.shape[2] for i, _ in items]


def test_a_box_is_a_fraction_of_its_image_and_counts_if_it_has_an_area():
    corners = [[20, 10, 60, 30], [-20, 0, 220, 50], [5, 5, 5, 9], [5, 9, 8, 9], [5, 5, 6, 6]]
    boxes, counts = to_fractions(torch.tensor(corners, dtype=torch.float32), 50, 200)
    torch.testing.assert_close(boxes[:2], torch.tensor([[0.2, 0.4, 0.2, 0.4], [0.5, 0.5, 1, 1]]))
    assert counts.tolist() == [True, True, False, False, True]


def test_a_crop_has_every_size_and_place_that_it_may_have():
    picks = {RandomSizeCrop.pick(2, 4) for _ in range(100)}
    assert picks == {2, 3, 4}


@pytest.mark.parametrize("part", [1, 2])
def test_detrs_augmentation_has_the_sides_of_the_paper(part):
    """Section 4: shorter sides of 480 to 800; the official code: crops of 384 to 600 pixels."""
    flip, choice, *_ = detr_transforms(800 // part).transforms
    resize, cut = choice.transforms
    first, crop, last = cut.transforms
    sides = [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800]
    assert [side * part for side in resize.min_size] == sides and last is resize
    assert resize.max_size * part == 1333 or part == 2
    assert [side * part for side in first.min_size] == [400, 500, 600] and first.max_size is None
    assert (crop.least * part, crop.most * part) == (384, 600)
    assert flip.p == 0.5


def test_data_are_the_same_while_their_files_are(tmp_path):
    data = CocoScenes(*make(tmp_path), side=64)
    before = data.identity
    assert re.fullmatch(r"6 images, content [0-9a-f]{16}, plain_transforms at 64 pixels", before)
    assert CocoScenes(*make(tmp_path), side=64).identity == before
    assert data.source == (tmp_path.resolve(), (tmp_path / "annotations.json").resolve())
    with (tmp_path / "3.png").open("ab") as file:
        file.write(b"more")
    assert data.identity != before


def test_augmented_targets_stay_valid(tmp_path):
    torch.manual_seed(0)
    data = CocoScenes(*make(tmp_path), side=80, transforms=detr_transforms)
    sizes = set()
    for _ in range(20):
        for i in range(6):
            image, target = data[i]
            sizes.add(tuple(image.shape[1:]))
            boxes = target["boxes"]
            assert image.isfinite().all() and len(boxes) == len(target["labels"])
            assert ((boxes >= 0) & (boxes <= 1)).all() and (boxes[:, 2:] > 0).all()
    assert len(sizes) > 10


class Perfect(torch.nn.Module):
    """Finds exactly what is there, in the order of the data set."""

    def __init__(self, data, classes=3):
        super().__init__()
        self.answers, self.classes = [data[i][1] for i in range(len(data))], classes
        self.asked = 0

    def forward(self, images, padding_mask=None):
        logits = torch.full((len(images), 5, self.classes + 1), -20.0)
        boxes = torch.full((len(images), 5, 4), 0.01)
        logits[..., -1] = 0.0
        for i in range(len(images)):
            target = self.answers[self.asked]
            self.asked += 1
            for j, (label, box) in enumerate(zip(target["labels"], target["boxes"], strict=True)):
                logits[i, j, label] = 20.0
                boxes[i, j] = box
        return {"class_logits": logits, "bbox_pred": boxes}


def test_perfect_detections_have_an_ap_of_100_and_crowds_cost_nothing(tmp_path):
    data = CocoScenes(*make(tmp_path), side=64)
    result = evaluate(Perfect(data), data, Accelerator(cpu=True), batch_size=2)
    assert result["map"] == pytest.approx(100, abs=0.1)


def test_missing_files_are_named(tmp_path):
    folder, annotations = make(tmp_path)
    with pytest.raises(FileNotFoundError, match="images: no folder"):
        CocoScenes(folder / "none", annotations)
    with pytest.raises(FileNotFoundError, match="annotations: no file"):
        CocoScenes(folder, folder / "none.json")
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"0\.png: cannot be read"):
        CocoScenes(folder, annotations)[0]


@pytest.mark.parametrize(
    ("box", "used", "said"),
    [
        ([10, 10, 1, 0.5], [10, 10, 11, 10.5], None),
        ([10, 10, 0, 5], None, "left out: no area"),
        ([10, 10, 5, 0], None, "left out: no area"),
        ([100, 10, 5, 5], None, "left out: outside of the image"),
        ([10, 50, 5, 5], None, "left out: outside of the image"),
        ([-5, 10, 5, 5], None, "left out: outside of the image"),
        ([-5, -5, 110, 6], [0, 0, 100, 1], "cut to the image"),
        ([0, 0, 100, 50], [0, 0, 100, 50], None),
    ],
)
def test_a_box_is_used_cut_or_left_out(box, used, said):
    one = Annotation(image_id=1, category_id=2, bbox=box)
    assert one.iscrowd is False
    objects = usable_objects([one], width=100, height=50)
    assert objects.boxes == ([used] if used else [])
    assert dict(objects.changes) == ({said: 1} if said else {})


@pytest.mark.parametrize(
    ("size", "found"), [({"width": 3, "height": 2}, (3, 2)), ({"width": 3}, None), ({}, None)]
)
def test_the_size_of_an_image_is_known_if_both_sides_are(size, found):
    assert ImageEntry(id=1, file_name="a.png", **size).size == found


@pytest.mark.parametrize(
    ("count", "lines", "first", "last"),
    [
        (1, 2, "1 problem", "  - p0"),
        (2, 3, "2 problems", "  - p1"),
        (20, 21, "20 problems", "  - p19"),
        (22, 22, "22 problems", "  - and 2 more"),
    ],
)
def test_a_list_of_problems_has_20_of_them(count, lines, first, last):
    found = str(problem_list("a.json", (f"p{i}" for i in range(count)))).splitlines()
    assert len(found) == lines and found[-1] == last and found[0] == f"a.json: found {first}"
