"""Running code that may never end."""

import ctypes
import threading
from collections.abc import Callable
from typing import Any


class TimeUp(BaseException):
    """Raised inside of code that ran too long; `except Exception` does not catch it."""


def run_limited(work: Callable[[], Any], seconds: float) -> Any:
    """What `work` returns or raises, if it ends within `seconds`.

    It runs in a thread of its own: that works on every system, and inside of a Jupyter kernel. One
    that does not even react to `TimeUp` is left behind.

    Raises:
        TimeUp: it did not end.
    """
    outcome: list = []

    def target() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as error:  # `exit()` of a learner must not end the kernel
            outcome.append((None, error))

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        identity = ctypes.c_ulong(thread.ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(TimeUp))
        thread.join(1)
        raise TimeUp
    ((result, error),) = outcome
    if error is not None:
        raise error
    return result
