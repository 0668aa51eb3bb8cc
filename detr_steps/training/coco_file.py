"""COCO's JSON format, read strictly: everything that is wrong with a file is said at once.

The format: https://cocodataset.org/#format-data
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    FiniteFloat,
    PositiveInt,
    ValidationError,
)
from pydantic_core import PydanticCustomError, from_json

from ..reading import MEBIBYTE, has_control, read_text

MOST_LISTED = 20  # problems; the others are counted
MOST = 2048 * MEBIBYTE  # four times COCO's own largest file; Python takes ten times as much memory


def printable(text: str) -> str:
    """The text, where it has no control characters, which would steer a terminal."""
    if has_control(text):
        raise PydanticCustomError("control", "expected text without control characters")
    return text


def inside(path: str) -> str:
    """The path, where it leads into the folder that it is relative to, on any system."""
    parts = [part for kind in (PurePosixPath, PureWindowsPath) for part in kind(path).parts]
    if ".." in parts or any(kind(path).anchor for kind in (PurePosixPath, PureWindowsPath)):
        raise PydanticCustomError("outside", "expected a path inside of the folder of the images")
    return path


Name = Annotated[str, Field(min_length=1), AfterValidator(printable)]


class Category(BaseModel):
    """A class of objects."""

    id: int
    name: Name


class ImageEntry(BaseModel):
    """An image, in the images' folder or below it; its size in pixels may be left out."""

    id: int
    file_name: Annotated[Name, AfterValidator(inside)]
    width: PositiveInt | None = None
    height: PositiveInt | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height, where both are given."""
        return (self.width, self.height) if self.width and self.height else None


class Annotation(BaseModel):
    """An object in an image; bbox is (left, top, width, height) in pixels."""

    image_id: int
    category_id: int
    bbox: Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]
    iscrowd: bool = False


class CocoFile(BaseModel):
    """What a file in COCO's format holds, as far as detection needs it."""

    images: Annotated[list[ImageEntry], Field(min_length=1)]
    annotations: Annotated[list[Annotation], Field(min_length=1)]
    categories: Annotated[list[Category], Field(min_length=1)]

    def by_image(self) -> dict[int, list[Annotation]]:
        """The annotations of each image, by the image's id."""
        found: dict[int, list[Annotation]] = {image.id: [] for image in self.images}
        for annotation in self.annotations:
            found[annotation.image_id].append(annotation)
        return found


def read_coco(path: Path) -> CocoFile:
    """Reads a file in COCO's format.

    Whole numbers may also be written as text. Annotations need no ids, and may share them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the content is of another form, or contradicts itself; lists what is wrong.
    """
    if not path.is_file():
        raise FileNotFoundError(f"annotations: no file at {path}")
    try:
        content = read_text(path, MOST)
        file = CocoFile.model_validate_json(content)
    except ValidationError as error:
        raise problem_list(path, faults_of_form(error, content)) from error
    if problems := list(contradictions(file)):
        raise problem_list(path, problems)
    return file


def problem_list(source: Path, problems: Iterable[str]) -> ValueError:
    """The error that lists problems of a file, or of a data set."""
    problems = list(problems)
    lines = [f"  - {problem}" for problem in problems[:MOST_LISTED]]
    if len(problems) > MOST_LISTED:
        lines.append(f"  - and {len(problems) - MOST_LISTED} more")
    number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ValueError("\n".join([f"{source}: found {number}", *lines]))


def faults_of_form(error: ValidationError, content: str) -> Iterator[str]:
    """Says for each fault where it is, what was expected and what was found."""
    faults = error.errors(include_url=False)
    if faults[0]["type"] == "json_invalid":
        yield f"expected JSON: {faults[0]['ctx']['error']}"
        return
    parsed = from_json(content)
    for fault in faults:
        place = place_of(fault["loc"], parsed)
        if fault["type"] == "missing":
            yield f"{place}: missing"
        else:
            expected = fault["msg"].replace("Input should be", "expected")
            yield f"{place}: {expected}, found {repr(fault['input'])[:60]}"


def place_of(location: tuple[str | int, ...], content) -> str:
    """A place in a file for a reader: `annotations[3] (id 17).bbox[0]`."""
    place = ""
    for part in location:
        if isinstance(part, str):
            place += f".{part}"
            content = content.get(part) if isinstance(content, dict) else None
        else:
            place += f"[{part}]"
            content = content[part] if isinstance(content, list) else None
            if isinstance(content, dict) and "id" in content:
                place += f" (id {content['id']})"
    return place.removeprefix(".") or "the file"


def contradictions(file: CocoFile) -> Iterator[str]:
    """What does not fit together, with what to do about it."""
    for name, values in (
        ("image id", [image.id for image in file.images]),
        ("file_name", [image.file_name for image in file.images]),
        ("category id", [category.id for category in file.categories]),
        ("category name", [category.name for category in file.categories]),
    ):
        for value, times in Counter(values).items():
            if times > 1:
                yield f"{name} {value!r} is given {times} times; each must have its own"
    images = {image.id for image in file.images}
    categories = {category.id for category in file.categories}
    known = f"expected one of {sorted(categories)}"
    for i, one in enumerate(file.annotations):
        if one.image_id not in images:
            unknown = f"no image has the id {one.image_id}"
            yield f"annotations[{i}]: {unknown}; add that image, or remove this annotation"
        if one.category_id not in categories:
            yield f"annotations[{i}]: {known} as category_id, found {one.category_id}"


@dataclass
class Objects:
    """What can be used of an image's annotations.

    Args:
        boxes: corners in pixels, cut to the image.
        category_ids, crowd: of each box.
        changes: how many annotations were left out or cut, by reason.
    """

    boxes: list[list[float]] = field(default_factory=list)
    category_ids: list[int] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    changes: Counter = field(default_factory=Counter)

    def single(self, name: str) -> list:
        """The `boxes` or `category_ids` of all objects but crowds."""
        return [
            value for value, crowd in zip(getattr(self, name), self.crowd, strict=True) if not crowd
        ]


def usable_objects(annotations: Iterable[Annotation], width: int, height: int) -> Objects:
    """Leaves out boxes without area, boxes outside of the image, and repetitions; cuts the rest."""
    objects, seen = Objects(), set()
    for one in annotations:
        x, y, w, h = one.bbox
        corners = x, y, x + w, y + h
        left, right = (min(max(value, 0.0), width) for value in corners[::2])
        top, bottom = (min(max(value, 0.0), height) for value in corners[1::2])
        key = one.category_id, one.iscrowd, *corners
        if w <= 0 or h <= 0:
            objects.changes["left out: no area"] += 1
        elif left >= right or top >= bottom:
            objects.changes["left out: outside of the image"] += 1
        elif key in seen:
            objects.changes["left out: repeats another"] += 1
        else:
            if (left, top, right, bottom) != corners:
                objects.changes["cut to the image"] += 1
            seen.add(key)
            objects.boxes.append([left, top, right, bottom])
            objects.category_ids.append(one.category_id)
            objects.crowd.append(one.iscrowd)
    return objects
