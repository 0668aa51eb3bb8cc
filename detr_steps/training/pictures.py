"""Picture files of any kind, as upright RGB."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def read_picture(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """A picture in RGB, turned as its EXIF orientation says.

    Grey of 16 bits is taken as black to white from 0 to 65535, floating point from 0 to 1, or to
    255 where a value is above 1.

    Args:
        path: of the file.
        size: width and height that annotations give the picture. If these are the sizes before it
            is turned, and not those after, it stays as it is stored.

    Raises:
        ValueError: the file cannot be read, or its numbers are no picture; it is named.
    """
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file)
            as_stored = size == file.size and size != upright.size
            return as_rgb(file if as_stored else upright)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: cannot be read as an image: {error}") from error


def as_rgb(picture: Image.Image) -> Image.Image:
    """A picture of any mode in RGB of 8 bits; see `read_picture`."""
    if not picture.mode.startswith(("I", "F")):
        return picture.convert("RGB")
    pixels = np.asarray(picture).astype(np.float64)
    if not np.isfinite(pixels).all():
        raise ValueError("expected finite pixels, found NaN or infinite ones")
    scales = (65535.0,) if picture.mode.startswith("I") else (1.0, 255.0)
    fitting = [scale for scale in scales if pixels.min() >= 0 and pixels.max() <= scale]
    if not fitting:
        found = f"{pixels.min():g} to {pixels.max():g}"
        raise ValueError(f"expected pixels from 0 to {scales[-1]:g}, found {found}")
    grey = (pixels * (255 / fitting[0])).round().astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
