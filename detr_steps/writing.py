"""Files that are written whole or not at all, and folders that are tried before the work."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

PROBE = 4096  # bytes, one block of most disks


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """The name of a new file, which takes the place of `file` if the block ends well.

    What was there stays until then, and nothing stays of a new file that is not complete. The
    ending is that of `file`. A device or a pipe is written to as it is.

    Raises:
        OSError: `file` is a folder, lies in none, or cannot be written. Where a library hides the
            system's error behind a RuntimeError, as PyTorch does, it is found.
    """
    check_name(file)
    if is_device(file):
        yield file
        return
    target = file.resolve()  # a link stays a link
    new = target.with_stem(f"{target.stem}.new")
    try:
        try:
            new.touch()  # what cannot be written fails here, and not after a minute
            yield new
            complete(new, target)
        finally:
            new.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        cause = system_error(error)
        if cause is None or str(cause.filename or new) != str(new):
            raise
        kept = "the one that was there is kept" if target.exists() else "nothing is left of it"
        raise OSError(f"{file}: could not be written: {cause.strerror or cause}; {kept}") from error


def check_name(file: Path) -> None:
    """Refuses what cannot be the name of a file."""
    if file.is_dir():
        raise IsADirectoryError(f"{file}: expected the name of a file, found a folder")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"{file}: expected an existing folder, found none")


def is_device(file: Path) -> bool:
    """Whether there is something that is no file on a disk, as /dev/null."""
    return file.exists() and not file.is_file()


def complete(new: Path, target: Path) -> None:
    """Brings a new file to the disk, and to its place, with the rights of the one before."""
    with new.open("rb+") as written:
        os.fsync(written.fileno())
    if target.exists():
        shutil.copymode(target, new)
    new.replace(target)


def system_error(error: BaseException | None) -> OSError | None:
    """The system's error behind the RuntimeErrors that were raised while it was handled."""
    while isinstance(error, RuntimeError):
        error = error.__context__
    return error if isinstance(error, OSError) else None


def write_text(file: Path, text: str) -> None:
    """Writes a text in UTF-8, whole or not at all; see `whole_file`."""
    with whole_file(file) as new:
        new.write_text(text, encoding="utf-8")


def check_folder(folder: Path, name: Path | None = None) -> None:
    """Tries whether a folder can be written, or made where it is missing; leaves no trace.

    Args:
        folder: the folder.
        name: what is to be written into it, which the error then names.

    Raises:
        OSError: it cannot.
    """
    place = folder
    try:
        while not place.exists():
            place = place.parent
        with TemporaryFile(dir=place) as file:
            file.write(bytes(PROBE))
            file.flush()
    except OSError as error:
        raise OSError(
            f"{name or folder}: expected a place that can be written, found {place}: "
            f"{error.strerror}"
        ) from error


def check_file(file: Path) -> None:
    """Tries whether a file can be written; its folder may be missing. Leaves no trace.

    Raises:
        OSError: it cannot.
    """
    if file.parent.is_dir():
        check_name(file)
    if not is_device(file):
        check_folder(file.resolve().parent, file)


def copy_folder(
    source: Path, place: Path, ignore: Callable[[str, list[str]], set[str]] | None = None
) -> None:
    """Copies a folder with all that is in it; no file stays that was copied in part.

    Args:
        source: the folder.
        place: where its content goes; what else is there stays.
        ignore: what is left out, see `shutil.copytree`.

    Raises:
        OSError: something cannot be written; the first one is named.
    """
    try:
        shutil.copytree(source, place, ignore=ignore, copy_function=copy_file, dirs_exist_ok=True)
    except shutil.Error as error:
        _, file, reason = error.args[0][0]
        raise OSError(f"{file}: could not be written: {reason}") from error


def copy_file(source: str | Path, place: str | Path) -> None:
    """Copies a file; removes what could be written of it, if that is not all."""
    try:
        shutil.copy(source, place)
    except BaseException:
        Path(place).unlink(missing_ok=True)
        raise
