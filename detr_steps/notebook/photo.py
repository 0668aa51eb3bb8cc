"""One real photograph, in which the notebooks look at a model's inner numbers.

The portrait of Grace Hopper is a public-domain photograph of the US Navy; matplotlib ships it.
"""

from matplotlib import cbook
from PIL import Image
from torch import Tensor

from ..training.normalisation import prepare

PHOTO_OBJECTS = {  # drawn by hand, (cx, cy, w, h) in 0..1
    "person": (0.512, 0.519, 0.976, 0.962),
    "tie": (0.523, 0.707, 0.125, 0.067),
}


def load_photo(short_side: int = 640) -> Tensor:
    """The photo [1, 3, H, W], resized and normalised as DETR does (section 4).

    Args:
        short_side: pixels of the shorter side; the longer one is at most 1333.
    """
    with Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as photo:
        return prepare(photo, short_side)
