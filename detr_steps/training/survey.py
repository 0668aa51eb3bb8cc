"""What is in a data set of one's own: looked at as a whole before anything is learnt from it."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from rich.table import Table
from rich.text import Text

from ..step7_hungarian_matching import box_cxcywh_to_xyxy
from ..writing import whole_file
from .batches import STRIDE, SeededItems
from .coco import CocoScenes
from .coco_file import Objects, problem_list, usable_objects
from .evaluation import COCO_LARGE
from .normalisation import scale_to
from .pictures import check_shape, opened, read_picture
from .tiles import Frames, draw_grid, draw_tile

FEWEST_QUERIES = 16  # that the small model has
LEAST_SIDE = 128  # pixels that small images are enlarged to
NARROWEST = 16  # pixels of the shorter side, as a model sees it
ORIENTATION = 0x0112  # the key in EXIF
PICTURES, TILE, COLUMNS = 12, 256, 4  # of the picture of the data


@dataclass(frozen=True)
class Look:
    """One image as it was found.

    Args:
        mode: of its pixels, as PIL calls it, with "turned" where EXIF turns it.
        size: (width, height) of the upright picture in pixels.
        objects: what can be used of its annotations.
    """

    mode: str
    size: tuple[int, int]
    objects: Objects


@dataclass(frozen=True)
class Survey:
    """All images of a data set as they were found.

    Args:
        looks: of each image.
        names: the name of each category, by its id.
        side: the shorter side in pixels that images are resized to.
    """

    looks: list[Look]
    names: dict[int, str]
    side: int

    @property
    def counts(self) -> list[int]:
        """The objects of each image, crowds left out."""
        return [look.objects.crowd.count(False) for look in self.looks]

    @property
    def queries(self) -> int:
        """How many queries a model should have: twice the most objects of an image, or more."""
        return max(FEWEST_QUERIES, 2 * max(self.counts))

    def side_for(self, most: int) -> int:
        """The shorter side to resize images to: about that of the median image, `most` at most."""
        shorter = median(min(look.size) for look in self.looks)
        return min(most, max(LEAST_SIDE, STRIDE * math.ceil(shorter / STRIDE)))

    def sizes(self) -> Counter[str]:
        """How many objects are small, medium and large for COCO in the resized images."""
        found = Counter(small=0, medium=0, large=0)
        for look in self.looks:
            scale = scale_to(look.size, self.side)
            for left, top, right, bottom in look.objects.single("boxes"):
                root = scale * ((right - left) * (bottom - top)) ** 0.5
                size = "medium" if root < COCO_LARGE else "large"
                found["small" if root < COCO_LARGE / 3 else size] += 1
        return found

    def lines(self) -> Iterator[tuple[str, str]]:
        """What was found, as pairs of a name and its content."""
        counts, objects = self.counts, [look.objects for look in self.looks]
        yield "images", str(len(self.looks))
        yield (
            "width x height",
            listed(Counter("x".join(map(str, look.size)) for look in self.looks)),
        )
        yield "pixels", listed(Counter(look.mode for look in self.looks))
        yield (
            "objects",
            f"{sum(counts)}; an image has {median(counts):g} (median), {max(counts)} at most",
        )
        classes = Counter(dict.fromkeys(self.names.values(), 0))
        classes.update(self.names[i] for one in objects for i in one.single("category_ids"))
        yield "of each class", listed(classes, most=len(classes))
        small, large = (f"{side}x{side}" for side in (COCO_LARGE // 3, COCO_LARGE))
        limits = f"small: below {small} pixels, large: from {large} on"
        yield f"sizes at {self.side} pixels", f"{listed(self.sizes())} ({limits})"
        yield "images without objects", str(counts.count(0))
        yield "crowds, left out of training", str(sum(sum(one.crowd) for one in objects))
        for change, number in sum((one.changes for one in objects), Counter()).items():
            yield f"boxes {change}", str(number)

    def table(self, title: str) -> Table:
        """The same as a table."""
        table = Table(title=Text(title), show_header=False)
        for line in self.lines():
            table.add_row(*map(Text, line))
        return table


def listed(counts: Counter[str], most: int = 5) -> str:
    """The most frequent entries with their numbers, and how many others there are."""
    parts = [f"{name}: {number}" for name, number in counts.most_common(most)]
    if len(counts) > most:
        parts.append(f"{len(counts) - most} others")
    return ", ".join(parts)


def survey(data: CocoScenes, progress: Callable[[Iterable], Iterable] = iter) -> Survey:
    """Opens every image of a data set, and looks at all of its annotations.

    Args:
        data: the data set.
        progress: passes on what it is given, and may show how far it is.

    Raises:
        ValueError: images cannot be used, or there is no object in any; lists all that is wrong.
    """
    looks, problems = [], []
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(look_at, data, index) for index in range(len(data))]
        try:
            for job in progress(jobs):
                try:
                    looks.append(job.result())
                except ValueError as error:
                    problems.append(str(error))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    if not problems and not any(look.objects.single("boxes") for look in looks):
        problems.append("no image has an object with a usable box")
    if problems:
        raise problem_list(data.annotations, problems)
    return Survey(looks, data.names, data.short_side)


def look_at(data: CocoScenes, index: int) -> Look:
    """Opens image `index`.

    Raises:
        ValueError: it cannot be read, or has another size than the annotations say; it is named.
    """
    entry = data.entries[index]
    path: Path = data.images / entry.file_name
    picture = read_picture(path, entry.size)
    if entry.size not in (None, picture.size):
        sizes = ["x".join(map(str, size)) for size in (entry.size, picture.size)]
        raise ValueError(
            f"{path} (image id {entry.id}): expected {sizes[0]} pixels as the annotations say, "
            f"found {sizes[1]}; boxes would lie elsewhere"
        )
    check_shape(path, picture.size, data.short_side, NARROWEST)
    with opened(path) as file:
        turned = file.getexif().get(ORIENTATION) in range(2, 9) and file.size != entry.size
        mode = file.mode + (", turned" if turned else "")
    return Look(mode, picture.size, usable_objects(data.annotations_of[entry.id], *picture.size))


def draw_data(data: CocoScenes, path: Path) -> None:
    """Writes a picture of some images with their boxes, as a model sees them."""
    chosen = torch.linspace(0, len(data) - 1, min(PICTURES, len(data))).long().unique().tolist()
    items = SeededItems(data, 0)  # the same picture each time, also of augmented data
    tiles = []
    for image, target in (items[0, index] for index in chosen):
        names = [data.classes[label] for label in target["labels"].tolist()]
        frames = [Frames(box_cxcywh_to_xyxy(target["boxes"]), names=names)]
        tiles.append(draw_tile(image, frames, TILE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as new:
        draw_grid(tiles, COLUMNS).save(new)
