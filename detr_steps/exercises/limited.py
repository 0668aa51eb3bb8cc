"""Running code that may never end, or take its whole process with it."""

import ctypes
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import torch


class TimeUp(BaseException):
    """Raised inside of code that ran too long; `except Exception` does not catch it."""


class Died(BaseException):
    """Raised where code ended its process; the text says how."""


def run_limited(work: Callable[[], Any], seconds: float) -> Any:
    """What `work` returns or raises, if it ends within `seconds`.

    Raises:
        TimeUp: it did not end.
        Died: it ended the process that it ran in.
    """
    result, error = (run_in_copy if can_be_copied() else run_in_thread)(work, seconds)
    if error is not None:
        raise error
    return result


def can_be_copied() -> bool:
    """Whether a copy of this process can do all that the process can.

    Beside a GPU a backward pass starts threads, and no copy has one after that, see PyTorch's wiki,
    "Autograd and Fork". On macOS the system's own libraries survive no copy.
    """
    if not hasattr(os, "fork") or sys.platform == "darwin":
        return False
    return not torch.accelerator.is_available()


def outcome_of(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """What `work` returns, and what it raises."""
    try:
        return work(), None
    except BaseException as error:  # `exit()` of a learner must not end the kernel
        return None, error


def run_in_copy(work: Callable[[], Any], seconds: float) -> tuple[Any, BaseException | None]:
    """The outcome of `work` in a copy of this process, which is ended with all that it does."""
    receiver, sender = Pipe(duplex=False)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # what waits there would be written by both
    with warnings.catch_warnings():
        # it warns of threads, which the copy leaves alone
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if not process:
        send_and_end(work, sender)
    sender.close()
    try:
        if not receiver.poll(seconds):
            raise TimeUp
        return pickle.loads(receiver.recv_bytes())
    except EOFError:
        raise Died(name_end(os.waitpid(process, 0)[1])) from None
    finally:
        receiver.close()
        end(process)


def send_and_end(work: Callable[[], Any], sender: Connection) -> None:
    """In the copy: sends the outcome of `work`, and goes no further."""
    outcome = outcome_of(work)
    try:
        content = pickle.dumps(outcome)
    except Exception as error:
        content = pickle.dumps((None, RuntimeError(f"cannot be handed over: {error}")))
    sender.send_bytes(content)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def name_end(status: int) -> str:
    """How a process ended, in words."""
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def end(process: int) -> None:
    """Ends a copy that still runs; it may have ended already."""
    try:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def run_in_thread(work: Callable[[], Any], seconds: float) -> tuple[Any, BaseException | None]:
    """The outcome of `work` in a thread, which works on every system.

    A thread that does not even react to `TimeUp` is left behind.
    """
    outcome: list = []
    thread = threading.Thread(target=lambda: outcome.append(outcome_of(work)), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        identity = ctypes.c_ulong(thread.ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(TimeUp))
        thread.join(1)
        raise TimeUp
    return outcome[0]
