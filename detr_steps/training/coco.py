"""Any data set in COCO's format, with DETR's own augmentation."""

import hashlib
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transform

from .coco_file import read_coco, usable_objects
from .evaluation import COCO_LARGE
from .normalisation import FULL_SIDE, longest_for, to_input
from .pictures import check_shape, read_picture

NO_CLASSES = ("__background__", "N/A")  # among the names of the official weights
TRAIN_SIDES = tuple(range(480, 801, 32))  # DETR, section 4 ("Technical details")
GENTLE_PARTS = (0.8, 0.9, 1.0)  # of the side


class RandomSizeCrop(v2.Transform):
    """Crops a rectangle with sides of `least` to `most` pixels, inside of the image."""

    def __init__(self, least: int, most: int):
        super().__init__()
        self.least, self.most = least, most

    def make_params(self, flat_inputs: list) -> dict[str, int]:
        """Draws the rectangle for an image and its boxes together."""
        height, width = v2.query_size(flat_inputs)
        h, w = (self.pick(min(self.least, side), min(side, self.most)) for side in (height, width))
        return {
            "top": self.pick(0, height - h),
            "left": self.pick(0, width - w),
            "height": h,
            "width": w,
        }

    def transform(self, inpt, params: dict[str, int]):
        """Crops the image or the boxes."""
        return transform.crop(inpt, **params)

    @staticmethod
    def pick(low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(torch.randint(low, high + 1, ()))


def finished(*changes: v2.Transform) -> v2.Transform:
    """Changes of a picture and its boxes, and what makes a model's input of them."""
    return v2.Compose([*changes, v2.ClampBoundingBoxes(), *to_input()])


def plain_transforms(side: int) -> v2.Transform:
    """For evaluation: resizes, so that the shorter side has so many pixels."""
    return finished(v2.Resize(side, max_size=longest_for(side)))


def detr_transforms(side: int) -> v2.Transform:
    """DETR's augmentation (section 4), in proportion to the largest of its sides.

    Mirrors, resizes, and crops every other image before it resizes it.
    """
    scale = side / max(TRAIN_SIDES)

    def scaled(*lengths: int) -> list[int]:
        return [round(length * scale) for length in lengths]

    resize = v2.RandomShortestSize(scaled(*TRAIN_SIDES), max_size=longest_for(side))
    crop = RandomSizeCrop(*scaled(384, 600))
    cut = v2.Compose([v2.RandomShortestSize(scaled(400, 500, 600)), crop, resize])
    return finished(v2.RandomHorizontalFlip(), v2.RandomChoice([resize, cut]))


def gentle_transforms(side: int) -> v2.Transform:
    """For training from scratch on few images: mirrors both ways, and resizes a little."""
    sides = [round(part * side) for part in GENTLE_PARTS]
    flips = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    resize = v2.RandomShortestSize(sides, max_size=longest_for(side))
    return finished(*flips, resize)


def compare_classes(known: Sequence[str], found: Sequence[str]) -> list[str]:
    """Says which classes of data a model does not know, and which it knows that are not there.

    Args:
        known: the names of the model's classes.
        found: those of the data.

    Raises:
        ValueError: no class is in both.
    """
    if not set(known) & set(found):
        names = f"known are {', '.join(known)}; the data has {', '.join(found)}"
        raise ValueError(f"classes: expected some with the names that the model knows: {names}")
    unknown = [name for name in found if name not in known]
    absent = [name for name in known if name not in (*found, *NO_CLASSES)]
    lines = []
    if unknown:
        lines.append(
            f"classes that the model does not know, and so cannot find: {', '.join(unknown)}"
        )
    if absent:
        lines.append(f"classes that the data does not have: {', '.join(absent)}")
    return lines


def to_fractions(corners: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Corners [M, 4] in an image's pixels -> boxes [M, 4] (cx, cy, w, h) in 0..1, and which count.

    A box without an area does not: a crop may have cut it off.
    """
    x1, y1, x2, y2 = (corners / torch.tensor([width, height, width, height])).unbind(-1)
    boxes = torch.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), -1).clamp(0, 1)
    return boxes, (x2 > x1) & (y2 > y1)


class CocoScenes(Dataset):
    """Images and boxes of a data set in COCO's format.

    Crowds are left out of training, as DETR does; `usable_objects` says what else is left out.
    Images may be of any size and mode.

    Args:
        images: folder of the images.
        annotations: the JSON file.
        side: the shorter side of the images in pixels, or the longest of those to draw from.
        transforms: makes the changes of an image from `side`: `plain_transforms`,
            `detr_transforms`, `gentle_transforms`.
        classes: names whose labels are 0, 1, 2 ..; categories of other names come after them. By
            default those of the file, by id.

    Item i is (image [3, H, W], target) with labels int64 [M] and boxes [M, 4] as (cx, cy, w, h) in
    0..1 of the transformed image. For evaluation the target also holds the image's own `size`
    (H, W), and `all_boxes` [K, 4] as corners in its pixels with `all_labels` and `crowd`.

    Raises:
        FileNotFoundError, ValueError: as `read_coco`, or there is no such folder.
    """

    large = COCO_LARGE

    def __init__(
        self,
        images: str | Path,
        annotations: str | Path,
        side: int = FULL_SIDE,
        transforms: Callable[[int], v2.Transform] = plain_transforms,
        classes: Sequence[str] = (),
    ):
        self.images, self.annotations = Path(images), Path(annotations)
        if not self.images.is_dir():
            raise FileNotFoundError(f"images: no folder at {self.images}")
        file = read_coco(self.annotations)
        self.entries = sorted(file.images, key=lambda entry: entry.id)
        self.annotations_of = file.by_image()
        self.names = {
            category.id: category.name
            for category in sorted(file.categories, key=lambda category: category.id)
        }
        others = [name for name in self.names.values() if name not in classes]
        self.classes = (*classes, *others)
        self.transforms = transforms
        self.set_side(side)

    def set_side(self, side: int) -> None:
        """Changes the shorter side of the images."""
        self.short_side, self.transform = side, self.transforms(side)

    @property
    def source(self) -> tuple:
        """Where the images come from: those of another source are others."""
        return self.images.resolve(), self.annotations.resolve()

    def plain(self, most: int | None = None) -> "CocoScenes":
        """The same without random changes, or that of its first images."""
        other = copy(self)
        other.entries, other.transforms = self.entries[:most], plain_transforms
        other.set_side(self.short_side)
        return other

    @property
    def identity(self) -> str:
        """What decides the data, for a checkpoint: a hash of the file and of the images' sizes."""
        content = hashlib.sha256(self.annotations.read_bytes())
        for entry in self.entries:
            size = (self.images / entry.file_name).stat().st_size
            content.update(f"{entry.file_name} {size}".encode())
        seen = f"{self.transforms.__name__} at {self.short_side} pixels"
        return f"{len(self)} images, content {content.hexdigest()[:16]}, {seen}"

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        picture, everything = self.load(index)
        size = picture.height, picture.width
        one = ~everything["crowd"]
        target = {
            "boxes": tv_tensors.BoundingBoxes(
                everything["all_boxes"][one], format="XYXY", canvas_size=size
            ),
            "labels": everything["all_labels"][one],
        }
        image, target = self.transform(picture, target)
        corners = target["boxes"].as_subclass(Tensor)
        boxes, left = to_fractions(corners, *image.shape[-2:])
        kept = {"labels": target["labels"][left], "boxes": boxes[left]}
        return image.as_subclass(Tensor), {**kept, "size": torch.tensor(size), **everything}

    def load(self, index: int) -> tuple[Image.Image, dict[str, Tensor]]:
        """Picture `index` upright, with its `all_boxes`, `all_labels` and `crowd`.

        Raises:
            ValueError: the image cannot be used; the file is named.
        """
        entry = self.entries[index]
        path = self.images / entry.file_name
        picture = read_picture(path, entry.size)
        check_shape(path, picture.size, self.short_side)
        objects = usable_objects(self.annotations_of[entry.id], picture.width, picture.height)
        labels = [self.classes.index(self.names[i]) for i in objects.category_ids]
        return picture, {
            "all_boxes": torch.tensor(objects.boxes, dtype=torch.float32).reshape(-1, 4),
            "all_labels": torch.tensor(labels, dtype=torch.int64),
            "crowd": torch.tensor(objects.crowd, dtype=torch.bool),
        }
