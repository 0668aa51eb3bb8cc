"""Files that users hand in, opened with care: plain files alone, of a size that is expected.

Nothing here waits for a pipe, reads a device without end, or fails without the file's name.
"""

import json
import stat
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .arguments import Range

MEBIBYTE = 2**20
MOST_TEXT = 64 * MEBIBYTE  # of a file of text, where its reader names no other limit
MOST_SIDE = 4096  # pixels: the longest short side that weights may ask for
SIDE = Range(f"a whole number of pixels in 1..{MOST_SIDE}", (int,), 1, MOST_SIDE)
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def plain_file(path: Path, most: int | None = None) -> Path:
    """The path, after a look at what lies there.

    Args:
        path: of a file, or of a link to one.
        most: bytes that it may have, or None for any number.

    Raises:
        OSError: there is nothing, or it cannot be looked at.
        ValueError: it is no plain file, or a longer one.
    """
    try:
        found = path.stat()
    except ValueError as error:  # a null character
        raise ValueError(f"{path!r}: expected the name of a file: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise ValueError(f"{path}: expected a plain file, found {kind}")
    if most is not None and found.st_size > most:
        sizes = [f"{size / MEBIBYTE:,.0f} MiB" for size in (most, found.st_size)]
        raise ValueError(f"{path}: expected a file of at most {sizes[0]}, found {sizes[1]}")
    return path


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; see `plain_file`.

    Raises:
        OSError, ValueError: as `plain_file`, or the text is no UTF-8.
    """
    try:
        return plain_file(path, most).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8 text: {error}") from error


def parsed(parse: Callable[[str], Any], text: str, form: str, place: str | Path) -> Any:
    """What a text says.

    Args:
        parse: what reads it.
        text: the text.
        form: what it is written in.
        place: where it stands, for errors.

    Raises:
        ValueError: it is written otherwise, or is nested deeper than Python follows.
    """
    try:
        return parse(text)
    except RecursionError as error:
        raise ValueError(f"{place}: expected {form}, found it nested too deep to read") from error
    except ValueError as error:
        raise ValueError(f"{place}: expected {form}: {error}") from error


def parse_json(text: str, place: str | Path) -> Any:
    """What a text in JSON says; see `parsed`."""
    return parsed(json.loads, text, "JSON", place)


def read_json(path: Path, most: int = MOST_TEXT) -> Any:
    """What a file in JSON says; see `read_text` and `parse_json`."""
    return parse_json(read_text(path, most), path)


def read_toml(path: Path) -> dict[str, Any]:
    """What a file in TOML says; see `read_text` and `parsed`."""
    return parsed(tomllib.loads, read_text(path), "TOML", path)


def one_line(text: object, most: int = 200) -> str:
    """A text, such as an error of a library, on one line of at most so many characters."""
    return " ".join(str(text).split())[:most]


def has_control(text: str) -> bool:
    """Whether a text holds characters that steer a terminal: a new line, an escape."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def check_class_names(names: object, place: str, count: int | None = None) -> None:
    """`names` is a list of names that can be printed, `count` of them; `place` begins the error.

    Raises:
        ValueError: it is something else.
    """
    expected = "a list of names" if count is None else f"a list of {count} names"
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(f"{place}: expected {expected}, found {names!r:.60}")
    for name in names:
        if not isinstance(name, str) or not name or has_control(name):
            raise ValueError(
                f"{place}: expected names without control characters, found {name!r:.60}"
            )
    if count not in (None, len(names)):
        raise ValueError(f"{place}: expected {expected}, found {len(names)}")


def check_side(side: object, place: str) -> None:
    """`side`, to which images' shorter side is resized, is a whole number of pixels.

    Raises:
        ValueError: it is something else, or above `MOST_SIDE`.
    """
    if not SIDE.holds(side):
        raise ValueError(f"{place}: expected {SIDE.text}, found {side!r:.60}")
