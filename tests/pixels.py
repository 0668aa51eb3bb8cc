"""Pictures compared pixel by pixel."""

from io import BytesIO

import numpy as np
from PIL import Image

CHANGED = 48  # of 255: a pixel that differs by more is another one
MOST_CHANGED = 20  # such pixels, as numbers that differ in their last digits may draw


def changed(old: bytes, new: bytes, by: int) -> np.ndarray:
    """Which pixels of two PNG files differ by more than `by` of 255: bool [H, W].

    Of pictures of different sizes, all of the first one's.
    """
    first, second = (
        np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int) for png in (old, new)
    )
    if first.shape != second.shape:
        return np.ones(first.shape[:2], dtype=bool)
    return np.abs(first - second).max(-1) > by


def is_redrawn(old: bytes, new: bytes) -> bool:
    """Whether the same code may have drawn both pictures, on any machine."""
    return changed(old, new, CHANGED).sum() <= MOST_CHANGED
