"""A stand-in for photographs from a microscope, as a data set in COCO's format.

Up to 30 round things of three classes an image, large, medium and small: pale discs that touch and
overlap, cells with a dark core of several lobes, and small dots; uneven light, blur and noise.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

CLASSES = ("disc", "cell", "dot")
RADII = {"disc": (38, 56), "cell": (60, 85), "dot": (10, 18)}  # pixels, of 640x480
NUMBERS = {"disc": (6, 24), "cell": (1, 2), "dot": (0, 4)}
CLOSEST = 0.65  # distance of two centres, as a part of the sum of their radii
TRIES = 40  # to find room for a thing


@dataclass(frozen=True)
class Thing:
    """An ellipse: its class, its centre, its half axes and the angle of the first one."""

    name: str
    x: float
    y: float
    a: float
    b: float
    angle: float

    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        w = np.hypot(self.a * cos, self.b * sin)
        h = np.hypot(self.a * sin, self.b * cos)
        return self.x - w, self.y - h, self.x + w, self.y + h

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """0 at the centre, 1 on the outline."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        dx, dy = x - self.x, y - self.y
        return np.hypot((dx * cos + dy * sin) / self.a, (dy * cos - dx * sin) / self.b)


def place_things(rng: np.random.Generator, width: int, height: int) -> list[Thing]:
    """Things of all classes that may touch, and some of which the border cuts."""
    things: list[Thing] = []
    for name in ("cell", "disc", "dot"):
        least, most = NUMBERS[name]
        for _ in range(rng.integers(least, most + 1)):
            for _ in range(TRIES):
                radius = rng.uniform(*RADII[name])
                x, y = rng.uniform(0, width), rng.uniform(0, height)
                one = Thing(name, x, y, radius, radius * rng.uniform(0.8, 1), rng.uniform(0, np.pi))
                gaps = [np.hypot(x - o.x, y - o.y) / (radius + o.a) for o in things]
                if all(gap > CLOSEST for gap in gaps):
                    things.append(one)
                    break
    return things


def cover(picture: np.ndarray, colour: np.ndarray, share: np.ndarray) -> None:
    """Paints a colour over a picture, in place, where its share is above 0."""
    picture += share[..., None] * (colour - picture)


def edge(distance: np.ndarray, softness: float) -> np.ndarray:
    """1 inside of an outline, 0 outside, with a soft border."""
    return ((1 - distance) / softness + 0.5).clip(0, 1)


def draw_photograph(
    rng: np.random.Generator, width: int = 640, height: int = 480
) -> tuple[Image.Image, list[Thing]]:
    """A photograph, and the things in it."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    tint = rng.uniform(0.85, 1.1, 3)
    picture = np.ones((height, width, 3)) * np.array([225, 215, 210]) * tint
    pale, rim = np.array([222, 175, 170]) * tint, np.array([190, 130, 135]) * tint
    dark, body = np.array([110, 60, 140]) * tint, np.array([200, 175, 205]) * tint
    things = place_things(rng, width, height)
    for one in things:
        distance = one.distance(x, y)
        if one.name == "disc":
            cover(picture, rim, 0.8 * edge(distance, 0.08))
            cover(picture, pale, rng.uniform(0.4, 1.0) * edge(distance / 0.75, 0.8))
        elif one.name == "cell":
            cover(picture, body, edge(distance, 0.1))
            for _ in range(rng.integers(2, 5)):
                angle, off = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.4)
                lobe = Thing(
                    "lobe",
                    one.x + off * one.a * np.cos(angle),
                    one.y + off * one.b * np.sin(angle),
                    one.a * rng.uniform(0.3, 0.45),
                    one.b * rng.uniform(0.3, 0.45),
                    angle,
                )
                cover(picture, dark * rng.uniform(0.9, 1.1), edge(lobe.distance(x, y), 0.2))
        else:
            cover(picture, dark * 1.2, 0.8 * edge(distance, 0.4))
    direction, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.25)
    light = (x / width - 0.5) * np.cos(direction) + (y / height - 0.5) * np.sin(direction)
    picture *= (1 + slope * light)[..., None]
    blurred = Image.fromarray(picture.clip(0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(rng.uniform(0.5, 2.0))
    )
    noisy = np.asarray(blurred) + rng.normal(0, rng.uniform(2, 9), picture.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), things


def write_photographs(folder: Path, count: int, seed: int = 0) -> Path:
    """Writes photographs as JPEG files with their annotations; returns the JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i in range(count):
        picture, things = draw_photograph(np.random.default_rng([seed, i]))
        name, (width, height) = f"{i:04}.jpg", picture.size
        picture.save(folder / name, quality=90)
        images.append({"id": i, "file_name": name, "width": width, "height": height})
        for one in things:
            left, top, right, bottom = one.box()
            left, top, right, bottom = (
                max(left, 0),
                max(top, 0),
                min(right, width),
                min(bottom, height),
            )
            box = [round(value, 1) for value in (left, top, right - left, bottom - top)]
            number = CLASSES.index(one.name) + 1
            entry = {"id": len(annotations), "image_id": i, "category_id": number, "bbox": box}
            annotations.append(entry | {"area": box[2] * box[3], "iscrowd": 0})
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, 1)]
    file = folder / "annotations.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(content))
    return file
