"""A process that forks a child for each run of tests, so that nothing is loaded twice.

Its first line is a list of the tests that it has collected. Then it reads jobs from its input, a
line of JSON each: the `tests` to run until one fails, and the `seconds` that they may take. It
answers each by a line. There are two such processes:

- `python -m tests.mutation.server collected` has imported the package and all tests. A child gives
  the function that a job names by `file` and `name` the code that its file has now.
- `python -m tests.mutation.server fresh` has imported the libraries alone. A child imports the
  package: for what is computed at import, as constants, defaults and decorators.
"""

import contextlib
import gc
import importlib
import inspect
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType

import pytest

MEMORY = 10 * 2**30  # bytes; a mutant may ask for all there is
PASSED, FAILED, TOO_LONG = "passed", "failed", "too long"
OPTIONS = ["-x", "-q", "-s", "-o", "addopts="]
OPTIONS += [word for name in ("cacheprovider", "xdist", "nbval") for word in ("-p", f"no:{name}")]


class FirstFailure:
    """A plugin of pytest that remembers which test failed."""

    test = ""

    def pytest_runtest_logreport(self, report):
        """Called by pytest."""
        if report.failed and not self.test:
            self.test = report.nodeid


class Collected(FirstFailure):
    """A plugin of pytest that answers jobs in place of running the tests that were collected."""

    def __init__(self, answers: int):
        self.answers = answers

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        """Called by pytest."""
        items = {item.nodeid: item for item in session.items}

        def run(job: dict) -> bool:
            replace_code(job["file"], job["name"])
            chosen = [items[test] for test in job["tests"]]
            for item, following in zip(chosen, [*chosen[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.test:
                    return False
            return True

        serve(run, self, self.answers, list(items))
        return True


def replace_code(file: str, name: str) -> None:
    """Gives an imported function the code that its file has now."""
    code = compile(Path(file).read_text(encoding="utf-8"), file, "exec")
    function = function_of(file, name)
    function.__code__ = next(one for one in codes(code) if one.co_qualname == name)


def function_of(file: str, name: str) -> FunctionType:
    """The function or method that a file defines under a name, without its decorators."""
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = vars(found)[part]
    for wrapper in ("fget", "func", "__func__"):  # a property, a cached one, a class method
        found = getattr(found, wrapper, found)
    return inspect.unwrap(found)


def codes(code: CodeType) -> list[CodeType]:
    """The code of all functions in some code."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return inner + [one for part in inner for one in codes(part)]


def in_child(
    run: Callable[[dict], bool], failure: FirstFailure, job: dict, folder: str, answer: int
) -> None:
    """Runs a job where its output is not seen, with a folder for its files; writes the result."""
    os.setsid()
    os.environ |= {"TMPDIR": folder, "PYTEST_DEBUG_TEMPROOT": folder}
    tempfile.tempdir = folder
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    outcome = PASSED if run(job) else FAILED
    os.write(answer, json.dumps({"outcome": outcome, "test": failure.test}).encode())


def forked(run: Callable[[dict], bool], failure: FirstFailure, job: dict) -> dict[str, str]:
    """What came of a job in a child of this process."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return in_time(partial(in_child, run, failure, job, folder), job["seconds"])


def in_time(work: Callable[[int], None], seconds: float) -> dict[str, str]:
    """What work in a child of this process has written to its pipe, if it ends in time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(writing)
        finally:
            os._exit(0)
    os.close(writing)
    end, ended = time.monotonic() + seconds, False
    while not ended and time.monotonic() < end:
        time.sleep(0.01)
        ended = os.waitpid(child, os.WNOHANG) != (0, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # also what a test has started and left
    if not ended:
        os.waitpid(child, 0)
    answer = os.read(reading, 2**16) if ended else b""
    os.close(reading)
    if not ended:
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


def serve(
    run: Callable[[dict], bool], failure: FirstFailure, answers: int, tests: Sequence[str] = ()
) -> None:
    """Says which tests it has collected, and answers jobs until the input ends."""
    gc.collect()
    gc.freeze()  # else each child writes to all that it shares with this process
    with os.fdopen(answers, "w") as lines:
        print(json.dumps(tests), file=lines, flush=True)
        for line in sys.stdin:
            print(json.dumps(forked(run, failure, json.loads(line))), file=lines, flush=True)


def main(kind: str) -> None:
    """Becomes one of the two processes; its output is for answers alone."""
    answers = os.dup(1)
    os.dup2(2, 1)
    if kind == "collected":
        pytest.main([*OPTIONS, "tests"], plugins=[Collected(answers)])
    else:
        load_libraries(Path.cwd() / "tests")
        failure = FirstFailure()
        serve(
            lambda job: not pytest.main([*OPTIONS, *job["tests"]], plugins=[failure]),
            failure,
            answers,
        )


if __name__ == "__main__":
    main(sys.argv[1])
