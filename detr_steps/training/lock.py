"""One training run in a folder at a time."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from filelock import FileLock, Timeout

from ..writing import check_folder, write_text

LOCK, HOLDER = "run.lock", "run.holder"


@contextmanager
def one_run(folder: Path, accelerator: Accelerator) -> Iterator[None]:
    """Inside of the block, the folder belongs to this run, with all of its processes.

    Raises:
        OSError: the folder belongs to another run, which is told, or cannot be written.
    """
    with ExitStack() as held:
        problem = [""]
        if accelerator.is_main_process:
            try:
                held.enter_context(locked(folder))
            except OSError as error:
                problem = [str(error)]
        broadcast_object_list(problem)
        if problem[0]:
            raise OSError(problem[0])
        yield


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Inside of the block, no other process gets into this one with the same folder.

    The folder is made, and removed again if nothing was written into it. The system takes the lock
    back when the process ends, in whatever way.
    """
    check_folder(folder)
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    holder, lock = folder / HOLDER, folder / LOCK
    try:
        with FileLock(lock, timeout=0):
            since = datetime.now().isoformat(" ", "seconds")
            write_text(holder, f"process {os.getpid()} on {socket.gethostname()} since {since}")
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)
                if list(folder.iterdir()) == [lock]:
                    with suppress(OSError):  # Windows removes it later, by itself
                        lock.unlink()
    except Timeout as error:
        who = holder.read_text(encoding="utf-8") if holder.exists() else "a process that just began"
        raise OSError(
            f"{folder}: another run uses this folder: {who}; choose another one with --out, or wait"
        ) from error
    finally:
        for place in made:
            with suppress(OSError):  # it is in use
                place.rmdir()
