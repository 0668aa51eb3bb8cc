"""Places where nothing can be written, as tests meet them on any machine, also as administrator."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def no_room_for_more_than(size: int) -> Iterator[None]:
    """Inside of the block the system refuses to write a file beyond so many bytes."""
    import resource  # Unix alone

    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@contextmanager
def read_only_folder() -> Iterator[Path]:
    """A folder that whoever runs the block may read, but not write."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        administrator = os.geteuid() == 0  # who may write everywhere
        if administrator:
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if administrator:
                os.seteuid(0)
            Path(folder).chmod(0o755)
