"""One real photograph, as DETR sees it and as people do.

The portrait of Grace Hopper is a public-domain photograph of the US Navy; matplotlib ships it.
"""

import torch
from matplotlib import cbook
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
PHOTO_OBJECTS = {  # drawn by hand, (cx, cy, w, h) in 0..1
    "person": (0.512, 0.519, 0.976, 0.962),
    "tie": (0.523, 0.707, 0.125, 0.067),
}


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


def load_photo(short_side: int = 640) -> Tensor:
    """The photo [1, 3, H, W], resized and normalised as DETR does (section 4).

    Args:
        short_side: pixels of the shorter side; the longer one is at most 1333.
    """
    with Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as photo:
        return prepare(photo, short_side)


def to_picture(image: Tensor) -> Tensor:
    """Undoes the normalisation: image [3, H, W] -> picture [H, W, 3] in 0..1."""
    mean = torch.tensor(IMAGENET_MEAN)[:, None, None]
    std = torch.tensor(IMAGENET_STD)[:, None, None]
    return (image.detach().cpu() * std + mean).clamp(0, 1).permute(1, 2, 0)  # [H, W, 3]
