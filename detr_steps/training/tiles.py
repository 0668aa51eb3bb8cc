"""Images with boxes, side by side in one picture."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as transform
from torchvision.utils import draw_bounding_boxes, make_grid

from .normalisation import to_picture

ORANGE, BLUE = "#D55E00", "#0072B2"


class Frames(NamedTuple):
    """Boxes of one colour.

    Args:
        corners: [K, 4], as fractions of the image.
        colour: of the boxes.
        names: of each box, or None to write nothing.
    """

    corners: Tensor
    colour: str = ORANGE
    names: list[str] | None = None


def draw_tile(image: Tensor, frames: Sequence[Frames], side: int, width: int = 1) -> Tensor:
    """An image [3, H, W] with boxes: uint8 [3, side, side], white where it does not reach.

    Args:
        image: normalised, as a model takes it.
        frames: drawn one after the other.
        side: of the tile in pixels.
        width: of the lines.
    """
    picture = (255 * to_picture(image).permute(2, 0, 1)).round().byte()
    scale = side / max(picture.shape[-2:])
    h, w = (max(1, round(scale * length)) for length in picture.shape[-2:])
    picture = transform.resize(picture, [h, w])
    for corners, colour, names in frames:
        if len(corners):
            boxes = corners * torch.tensor([w, h, w, h])
            tags = {"label_colors": "white", "label_background_colors": colour, "fill_labels": True}
            picture = draw_bounding_boxes(
                picture, boxes, names, colors=colour, width=width, **tags if names else {}
            )
    return transform.pad(picture, [0, 0, side - w, side - h], fill=255)


def draw_grid(tiles: Sequence[Tensor], columns: int) -> Image.Image:
    """Tiles row by row in one picture."""
    return transform.to_pil_image(make_grid(torch.stack(tiles), nrow=columns, pad_value=255))
