"""Any data set in COCO's format, with DETR's own augmentation."""

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.datasets import CocoDetection
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transform

from .evaluation import COCO_LARGE
from .normalisation import to_input

TRAIN_SIDES = tuple(range(480, 801, 32))  # DETR, section 4 ("Technical details")


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


def detr_transforms(
    train: bool, sides: tuple[int, ...] = TRAIN_SIDES, longest: int = 1333
) -> v2.Transform:
    """DETR's augmentation, or for evaluation the plain resize to the largest of `sides`."""
    finish = [v2.ClampBoundingBoxes(), *to_input()]
    if not train:
        return v2.Compose([v2.Resize(max(sides), max_size=longest), *finish])
    resize = v2.RandomShortestSize(list(sides), max_size=longest)
    small = [round(side * max(sides) / 800) for side in (400, 500, 600, 384, 600)]
    crop = v2.Compose([v2.RandomShortestSize(small[:3]), RandomSizeCrop(*small[3:]), resize])
    return v2.Compose([v2.RandomHorizontalFlip(), v2.RandomChoice([resize, crop]), *finish])


def to_fractions(corners: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Corners [M, 4] in an image's pixels -> boxes [M, 4] (cx, cy, w, h) in 0..1, and which count.

    A box without an area does not: a crop may have cut it off.
    """
    x1, y1, x2, y2 = (corners / torch.tensor([width, height, width, height])).unbind(-1)
    boxes = torch.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), -1).clamp(0, 1)
    return boxes, (x2 > x1) & (y2 > y1)


class CocoScenes(Dataset):
    """Images and boxes of a data set in COCO's format.

    Crowds are left out of training, and boxes without an area as well, as DETR does. Images may be
    of any size and mode.

    Args:
        images: folder of the images.
        annotations: the JSON file.
        train: augment as DETR does; otherwise resize only.
        sides: lengths of the shorter side to draw from.

    Item i is (image [3, H, W], target) with labels int64 [M] in 0..C-1 and boxes [M, 4] as
    (cx, cy, w, h) in 0..1 of the transformed image. For evaluation the target also holds the
    image's own `size` (H, W), and `all_boxes` [K, 4] as corners in its pixels with `all_labels` and
    `crowd`.
    """

    large = COCO_LARGE

    def __init__(
        self,
        images: str | Path,
        annotations: str | Path,
        train: bool = False,
        sides: tuple[int, ...] = TRAIN_SIDES,
    ):
        self.images, self.annotations = Path(images), Path(annotations)
        if not self.images.is_dir():
            raise FileNotFoundError(f"images: no folder at {self.images}")
        if not self.annotations.is_file():
            raise FileNotFoundError(f"annotations: no file at {self.annotations}")
        try:
            with redirect_stdout(StringIO()):  # pycocotools reports its progress there
                self.coco = CocoDetection(self.images, self.annotations)
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise ValueError(
                f"{self.annotations}: expected COCO's JSON format: {error!r}"
            ) from error
        categories = self.coco.coco.loadCats(sorted(self.coco.coco.getCatIds()))
        self.category_ids = [category["id"] for category in categories]
        self.classes = tuple(category["name"] for category in categories)
        self.label_of = {category: label for label, category in enumerate(self.category_ids)}
        self.short_side = max(sides)
        self.transform = detr_transforms(train, sides)

    def __len__(self) -> int:
        return len(self.coco)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        picture, everything = self.load(index)
        size = picture.height, picture.width
        boxes, labels, crowd = (
            everything["all_boxes"],
            everything["all_labels"],
            everything["crowd"],
        )
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes[~crowd], format="XYXY", canvas_size=size),
            "labels": labels[~crowd],
        }
        image, target = self.transform(picture, target)
        corners = target["boxes"].as_subclass(Tensor)
        boxes, left = to_fractions(corners, *image.shape[-2:])
        kept = {"labels": target["labels"][left], "boxes": boxes[left]}
        return image.as_subclass(Tensor), {**kept, "size": torch.tensor(size), **everything}

    def load(self, index: int) -> tuple[Image.Image, dict[str, Tensor]]:
        """Picture `index` as it is stored, with its `all_boxes`, `all_labels` and `crowd`.

        Raises:
            ValueError: the image or an annotation cannot be used; the file is named.
        """
        image_id = self.coco.ids[index]
        file = self.images / self.coco.coco.loadImgs(image_id)[0]["file_name"]
        try:
            picture, objects = self.coco[index]
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise ValueError(f"{file} (image id {image_id}): cannot be read: {error}") from error
        boxes = [self.read_corners(thing, file) for thing in objects]
        labels = [self.label_of[thing["category_id"]] for thing in objects]
        crowd = [bool(thing.get("iscrowd", 0)) for thing in objects]
        return picture, {
            "all_boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            "all_labels": torch.tensor(labels, dtype=torch.int64),
            "crowd": torch.tensor(crowd, dtype=torch.bool),
        }

    def read_corners(self, thing: dict, file: Path) -> list[float]:
        """The corners of one annotation's box (x, y, w, h).

        Raises:
            ValueError: the category or the box is none; the file and the annotation's id are named.
        """
        name = f"{self.annotations}: annotation id {thing.get('id')} of {file.name}"
        if thing.get("category_id") not in self.label_of:
            found = thing.get("category_id")
            raise ValueError(f"{name}: expected a category of {self.category_ids}, found {found}")
        box = thing.get("bbox")
        numbers = (
            isinstance(box, list)
            and len(box) == 4
            and all(isinstance(n, (int, float)) for n in box)
        )
        if not numbers or not all(abs(n) < float("inf") for n in box):
            raise ValueError(f"{name}: expected a bbox of four numbers (x, y, w, h), found {box}")
        x, y, w, h = box
        return [x, y, x + w, y + h]
