"""A process that has loaded the libraries, and forks a child for each run of tests.

To load them takes longer than most tests. It reads jobs from its input, a line of JSON each: the
`tests` to run until one fails, and the `seconds` that they may take. It answers each by a line.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

MEMORY = 10 * 2**30  # bytes; a mutant may ask for all there is
PASSED, FAILED, TOO_LONG = "passed", "failed", "too long"


class FirstFailure:
    """A plugin of pytest that remembers which test failed."""

    test = ""

    def pytest_runtest_logreport(self, report):
        """Called by pytest."""
        if report.failed and not self.test:
            self.test = report.nodeid


def run_tests(tests: list[str], answer: int) -> None:
    """In the child: runs tests until one fails, and writes what came of it."""
    import pytest

    os.setsid()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    failure = FirstFailure()
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:nbval"]
    code = pytest.main([*options, "-o", "addopts=", *tests], plugins=[failure])
    result = {"outcome": FAILED if code else PASSED, "test": failure.test}
    os.write(answer, json.dumps(result).encode())
    os._exit(0)


def forked(tests: list[str], seconds: float) -> dict[str, str]:
    """What came of tests in a child of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        run_tests(tests, writing)
    os.close(writing)
    end = time.monotonic() + seconds
    while time.monotonic() < end and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.01)
    in_time = time.monotonic() < end
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # also what a test has started and left
    if not in_time:
        os.waitpid(child, 0)
    answer = os.read(reading, 2**16) if in_time else b""
    os.close(reading)
    if not in_time:
        return {"outcome": TOO_LONG, "test": ""}
    return json.loads(answer) if answer else {"outcome": FAILED, "test": ""}  # it crashed


def load_libraries(folder: Path) -> None:
    """Imports all tests in a folder, and forgets what lies in the project: libraries stay."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    for file in sorted(folder.glob("*.py")):
        importlib.import_module(file.stem)
    del sys.path[0]
    for name in set(sys.modules) - before:
        place = getattr(sys.modules[name], "__file__", None) or ""
        if place.startswith(str(folder.parent)):
            del sys.modules[name]


def serve() -> None:
    """Answers jobs until the input ends."""
    load_libraries(Path.cwd() / "tests")
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(forked(job["tests"], job["seconds"])), flush=True)


if __name__ == "__main__":
    serve()
