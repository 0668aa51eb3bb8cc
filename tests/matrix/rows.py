"""The rows of the matrix: what differs from the project's own environment, and which tests run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .environments import Environment, Unavailable

# a processor, a number of threads or another torch changes numbers, and these tests hold numbers
NUMBERS = ["steps", "parity", "matching_and_loss", "positions_and_attention", "relations", "models"]
NUMBERS += ["attention_shares", "faults", "questions", "small_model", "scenes_and_batches", "film"]
NUMBERS += ["inference", "exported", "detectors", "findings", "huggingface", "coco"]
OFFLINE = ["commands", "detectors", "own_data", "pages", "lesson"]


def files(names: list[str]) -> list[str]:
    """Options of pytest that take the quick tests of these files, and all notebooks."""
    return [
        "-m",
        "not slow and not long",
        *(f"tests/test_{name}.py" for name in names),
        "notebooks",
    ]


USUAL = ["-m", "not slow and not long", "tests", "notebooks"]
USUAL += ["--ignore=tests/test_browser.py", "--ignore=tests/test_pages.py"]
SELECTIONS = {
    "all": ["-m", "not long", "tests", "notebooks"],
    "usual": USUAL,
    "no export": [
        *(*USUAL, "--ignore=tests/test_exported.py"),
        *("--ignore=tests/test_benchmarks.py", "--ignore=tests/test_commands.py"),
    ],
    "numbers": files(NUMBERS),
    "offline": files(OFFLINE),
    "rehearsal": ["tests/matrix/rehearsal.py"],
    "long": ["-m", "long", "tests/test_long_runs.py", "tests/test_extras.py"],
    "newcomer": ["-m", "long", "tests/test_newcomer.py"],
}
OPTIONS = ["-p", "tests.kernels", "--nbval", "-n", "2", "--dist", "loadscope", "-q"]
OPTIONS += ["-p", "no:cacheprovider"]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: what it is called on the command line.
        differs: what differs from the first row, in words.
        selection: which tests run, a key of `SELECTIONS`.
        variables: environment variables.
        threads: of each process; two processes run at a time.
        environment: what is installed, if it is not this Python's own environment.
        prefix: what the command line begins with, as a function that raises `Unavailable` where
            the machine cannot run it.
    """

    name: str
    differs: str
    selection: str = "numbers"
    variables: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    environment: Environment | None = None
    prefix: Callable[[], list[str]] = list

    def command(self, junit: Path, tests: list[str] | None = None) -> list[str]:
        """The command line that runs its tests, or others, and writes their results to a file."""
        python = self.environment.command() if self.environment else [sys.executable]
        inside = "/host" if python[0] == "bwrap" else ""
        words = [*OPTIONS, f"--junitxml={inside}{junit}", *(tests or SELECTIONS[self.selection])]
        return [*self.prefix(), *python, "-m", "pytest", *words]

    def surroundings(self) -> dict[str, str]:
        """All environment variables of its processes."""
        added = {"OMP_NUM_THREADS": str(self.threads), **self.variables}
        if self.threads > 1:
            added["OMP_WAIT_POLICY"] = "passive"  # two processes share the cores
        return {**os.environ, **added}


def cut_off() -> list[str]:
    """What starts a program in a network of its own, which has the loopback and no route."""
    start = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    rights = "-n" if os.geteuid() == 0 else "-rn"
    command = ["unshare", rights, *start]
    if any(shutil.which(name) is None for name in ("unshare", "ip")):
        raise Unavailable("no unshare or no ip")
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        raise Unavailable("the system allows no network namespace")
    return command


def needs(flag: str) -> Callable[[], list[str]]:
    """A prefix that asks for a processor with an instruction set."""

    def check() -> list[str]:
        info = Path("/proc/cpuinfo")
        if not info.exists() or f" {flag} " not in info.read_text(encoding="utf-8"):
            raise Unavailable(f"this processor has no {flag}")
        return []

    return check


def kernels(level: str) -> dict[str, str]:
    """Which vector instructions PyTorch's own kernels use."""
    return {"ATEN_CPU_CAPABILITY": level}


def onednn(level: str) -> dict[str, str]:
    """Up to which instruction set oneDNN goes."""
    return {"ONEDNN_MAX_CPU_ISA": level}


OLDEST = ("torch==2.11.0", "torchvision==0.26.0")
NO_BUILD_YET = ("onnxruntime", "openvino")  # for Python 3.15
ROWS = [
    Row(
        *("all", "nothing: one thread; 100 drawn examples of each kind", "all"),
        {"DETR_STEPS_EXAMPLES": "100"},
    ),
    Row(
        "default",
        "PyTorch without vector instructions, 2 threads",
        "numbers",
        kernels("default"),
        2,
    ),
    Row(
        *("avx2", "PyTorch and oneDNN with AVX2", "numbers", kernels("avx2") | onednn("AVX2")),
        prefix=needs("avx2"),
    ),
    Row(
        *("avx512", "PyTorch with AVX-512, 4 threads", "numbers", kernels("avx512"), 4),
        prefix=needs("avx512vl"),
    ),
    Row("sse41", "oneDNN up to SSE4.1", "numbers", onednn("SSE41")),
    Row("no-network", "a network without a route", "offline", prefix=cut_off),
    Row(
        "oldest",
        "torch 2.11.0, torchvision 0.26.0",
        "usual",
        environment=Environment("3.11", OLDEST),
    ),
    Row("3.12", "Python 3.12", "numbers", environment=Environment("3.12")),
    Row("3.13", "Python 3.13", "usual", environment=Environment("3.13", suite="trixie")),
    Row("3.14", "Python 3.14", "usual", environment=Environment("3.14", suite="sid")),
    Row(
        *("3.15", "Python 3.15, without ONNX Runtime and OpenVINO", "no export"),
        environment=Environment("3.15", without=NO_BUILD_YET, suite="sid"),
    ),
    Row("rehearsal", "nbclient in place of nbval, and pictures compared", "rehearsal"),
    Row("long", "2,000 steps, 500 sizes of images, and the extras one by one", "long"),
    Row("newcomer", "the README's commands in a bare Debian", "newcomer"),
]
