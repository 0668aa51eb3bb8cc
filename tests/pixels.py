"""Pictures compared pixel by pixel."""

from io import BytesIO

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

CHANGED = 48  # of 255: a pixel that differs by more is another one
MOST_CHANGED = 20  # such pixels, as numbers that differ in their last digits may draw


def changed(old: bytes, new: bytes, by: int, reach: int = 0) -> np.ndarray:
    """Which pixels of two PNG files differ by more than `by` of 255: bool [H, W].

    With a `reach`, a pixel of either counts only where the other has none like it so many pixels
    around, so that a line may be moved. Of pictures of different sizes, all of the first one's.
    """
    first, second = (
        np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int) for png in (old, new)
    )
    if first.shape != second.shape:
        return np.ones(first.shape[:2], dtype=bool)
    return outside(first, second, by, reach) | outside(second, first, by, reach)


def outside(picture: np.ndarray, other: np.ndarray, by: int, reach: int) -> np.ndarray:
    """Which pixels are darker or lighter than all around that place in the other: bool [H, W]."""
    around = (2 * reach + 1, 2 * reach + 1, 1)
    low, high = minimum_filter(other, around), maximum_filter(other, around)
    return ((picture < low - by) | (picture > high + by)).any(-1)


def is_redrawn(old: bytes, new: bytes) -> bool:
    """Whether the same code may have drawn both pictures, on any machine."""
    return changed(old, new, CHANGED).sum() <= MOST_CHANGED
