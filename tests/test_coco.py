"""Data sets in COCO's format, made here on disk."""

import json

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from detr_steps.training.batches import collate
from detr_steps.training.coco import CocoScenes, detr_transforms
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
