"""Pictures as a model sees them: resized, and normalised as DETR does; and the way back."""

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


FULL_SIDE, FULL_LONGEST = 800, 1333  # pixels: DETR, section 4 ("Technical details")


def longest_for(short_side: int) -> int:
    """The most pixels of the longer side, in DETR's proportion to the shorter one."""
    return round(short_side * FULL_LONGEST / FULL_SIDE)


def scale_to(size: tuple[int, int], short_side: int) -> float:
    """By how much an image of a size is enlarged for a model."""
    return min(short_side / min(size), longest_for(short_side) / max(size))


def to_input() -> list[v2.Transform]:
    """What turns a resized picture into a float image [3, H, W], normalised as DETR does."""
    return [
        v2.ToImage(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
    ]


def prepare(picture: Image.Image, short_side: int, longest: int = 1333) -> Tensor:
    """A picture of any mode -> image [1, 3, H, W], resized and normalised as DETR does (section 4).

    Args:
        picture: as PIL opens it.
        short_side: pixels of the shorter side.
        longest: the most pixels of the longer side.
    """
    transform = v2.Compose([v2.Resize(short_side, max_size=longest), *to_input()])
    return transform(picture.convert("RGB"))[None].as_subclass(Tensor)


def to_picture(image: Tensor) -> Tensor:
    """Undoes the normalisation: image [3, H, W] -> picture [H, W, 3] in 0..1."""
    mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
    std = torch.tensor(IMAGENET_STD)[:, None, None]
    return (image.detach().cpu() * std + mean).clamp(0, 1).permute(1, 2, 0)  # [H, W, 3]
