"""Clocks: two contestants in turn, a matrix product beside them, and a process's peak memory."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch

SIDE = 1024  # of the square matrices whose product tells the machine's rate


@dataclass(frozen=True)
class Times:
    """Seconds of both contestants and of the matrix product, run by run."""

    ours: list[float]
    theirs: list[float]
    product: list[float]

    @property
    def ratio(self) -> float:
        """The median of the ratios of neighbours in time: below 1, Step8 is faster."""
        return median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the largest of these ratios."""
        ratios = [a / b for a, b in zip(self.ours, self.theirs, strict=True)]
        return min(ratios), max(ratios)

    def reached(self, multiply_adds: float) -> float:
        """The share of the machine's matrix-product rate that Step8 reaches."""
        floors = [multiply_adds / SIDE**3 * product for product in self.product]
        return median(floor / ours for floor, ours in zip(floors, self.ours, strict=True))


def clock(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def in_turn(ours: Callable, theirs: Callable, pairs: int) -> Times:
    """A B A B ..., after one run of each that does not count."""
    left, right = torch.rand(2, SIDE, SIDE)
    works = (ours, theirs, lambda: left @ right)
    return Times(*rounds_of(works, pairs))


def rounds_of(works: Sequence[Callable], rounds: int) -> list[list[float]]:
    """Seconds of each work, round by round: A B C A B C ..., after one run that does not count."""
    for work in works:
        work()
    times = [[clock(work) for work in works] for _ in range(rounds)]
    return [list(column) for column in zip(*times, strict=True)]


def convolution_share(work: Callable[[], object]) -> float:
    """The share of its time that `work` spends in convolutions, forward and backward."""
    with torch.profiler.profile() as profiler:
        work()
    seconds = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    convolutions = sum(spent for name, spent in seconds.items() if "convolution" in name)
    return convolutions / sum(seconds.values())


def exponent(sizes: list[float], seconds: list[float]) -> float:
    """The slope of a line through the logarithms: 1 grows in proportion, 2 with the square."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def peak_memory(work: Callable[..., None], *arguments) -> int:
    """Bytes that `work` adds to the peak of a fresh process, which has only imported things."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(added_to_peak, (work, *arguments))


def added_to_peak(work: Callable[..., None], *arguments) -> int:
    """The rise of this process's peak of resident memory over `work`."""
    before = peak()
    work(*arguments)
    return peak() - before


def peak() -> int:
    """The most bytes of memory that this process has had so far."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux `getrusage` begins with what the parent process had
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource  # Windows has none

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def python(*arguments: str) -> None:
    """Runs this Python in a process of its own."""
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
