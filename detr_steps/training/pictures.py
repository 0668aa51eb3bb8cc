"""Picture files of many kinds, as upright RGB."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, ImageOps

from ..reading import plain_file
from .normalisation import scale_to

MOST_PIXELS = 89_478_485  # where PIL warns: a quarter of a GiB in RGB. Twice as many PIL refuses
KNOWN = (  # not EPS, for example, which PIL hands to another program that runs what is in it
    "AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM", "SGI", "TGA",
    "TIFF", "WEBP",
)  # fmt: skip
OPENING = Lock()  # the filters of warnings are the process's own


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """A picture file of one of the `KNOWN` kinds, not decoded yet.

    Raises:
        ValueError: here or in the block the file cannot be read, or has more than `MOST_PIXELS`; it
            is named.
    """
    try:
        with open_header(plain_file(path)) as file:
            if file.width * file.height > MOST_PIXELS:
                raise ValueError(too_many_pixels(f"{file.width}x{file.height}"))
            yield file
    except Image.DecompressionBombError as error:
        reason = too_many_pixels("more than twice as many")
        raise ValueError(f"{path}: cannot be read as an image: {reason}") from error
    except Exception as error:  # PIL's decoders raise many classes on damage, struct.error as well
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path}: cannot be read as an image: {reason}") from error


def open_header(path: Path) -> Image.Image:
    """As `PIL.Image.open`, without the warning where `opened` raises an error."""
    Image.init()
    kinds = [kind for kind in KNOWN if kind in Image.OPEN]  # some builds of PIL lack AVIF
    with OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=kinds)


def too_many_pixels(found: str) -> str:
    """The error of a picture that would take too much memory."""
    return f"expected at most {MOST_PIXELS / 1e6:.0f} million pixels, found {found}"


def read_picture(path: Path, size: tuple[int, int] | None = None) -> Image.Image:
    """A picture in RGB, turned as its EXIF orientation says.

    Grey of 16 bits is taken as black to white from 0 to 65535, floating point from 0 to 1, or to
    255 where a value is above 1.

    Args:
        path: of the file.
        size: width and height that annotations give the picture. If these are the sizes before it
            is turned, and not those after, it stays as it is stored.

    Raises:
        ValueError: the file cannot be read, has more than `MOST_PIXELS`, or its numbers are no
            picture; it is named.
    """
    with opened(path) as file:
        upright = ImageOps.exif_transpose(file)
        as_stored = size == file.size and size != upright.size
        return as_rgb(file if as_stored else upright)


def check_shape(path: Path, size: tuple[int, int], short_side: int, least: int = 1) -> None:
    """Refuses a picture of which a model would see less than `least` pixels across.

    Args:
        path: of the picture, for the error.
        size: its width and height.
        short_side: see `Detector`.
        least: pixels of the shorter side of the resized picture.

    Raises:
        ValueError: the picture is too long and narrow.
    """
    if min(size) * scale_to(size, short_side) < least:
        found = "x".join(map(str, size))
        raise ValueError(f"{path}: expected an image that is less long and narrow, found {found}")


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
    pixels *= 255 / fitting[0]  # in place: a large picture takes eight bytes a pixel
    grey = pixels.round(out=pixels).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")
