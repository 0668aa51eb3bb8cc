"""The work: each mutant is written into a copy of the project, where its tests run."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from .covering import FOLDER, Known
from .mutants import ROOT, Definition, Mutant
from .server import PASSED, TOO_LONG

STAGES = (3.0, 20.0)  # seconds of tests, from the first on
FEW_LINES = 30  # of the package, that are run by a test of what a file holds
LEAST = 15.0  # seconds that tests may take beside what they are known to
SLOWER = 4  # times: how much longer they may take than in the measured run


class KnownTests:
    """Which tests may notice a mutant, and in which order they are tried."""

    def __init__(self):
        known = Known.read()
        self.seconds, self.runs = known.seconds, known.runs
        self.names = list(self.seconds)
        parts = (tests for part in self.runs.values() for tests in part["lines"].values())
        self.reach = Counter(self.names[number] for tests in parts for number in tests)  # lines
        self.broken: set[str] = set()  # are no more, or fail without a mutant, too
        self.sound: set[tuple[str, str]] = set()  # passed without one, by the kind of server
        self.noticed: dict[str, set[str]] = defaultdict(set)  # a mutant, by file

    def running(self, mutant: Mutant) -> set[str]:
        """The tests that run its line; where that is not known, its function or file.

        Of what a file holds outside of functions, also some in files that import from it: to read a
        constant runs no line.
        """
        place, lines = mutant.definition.place, mutant.lines
        known = self.runs.get(place) if mutant.definition.name else None
        if not known:
            file = mutant.definition.file
            parts = (part for name, part in self.runs.items() if name.startswith(f"{file}:"))
            return self.names_of(parts) | self.importing(file)
        if not lines or known["fingerprint"] != mutant.definition.fingerprint:
            return self.names_of([known])
        return self.names_of([known], lines)

    @cached_property
    def texts(self) -> dict[str, str]:
        """What stands in each file of tests."""
        paths = {test.partition("::")[0]: ROOT / test.partition("::")[0] for test in self.names}
        return {one: path.read_text("utf-8") for one, path in paths.items() if path.exists()}

    def importing(self, file: str) -> set[str]:
        """The tests in files that import from a file of the package, and run few lines of all."""
        folder, _, module = file.removesuffix(".py").replace("/", ".").rpartition(".")
        line = rf"^(?:from|import) {folder}(?:\.{module}\b| import .*\b{module}\b)"
        found = {one for one, text in self.texts.items() if re.search(line, text, re.M)}
        few = (test for test in self.names if self.reach[test] <= FEW_LINES)
        return {test for test in few if test.partition("::")[0] in found}

    def names_of(self, parts: Iterable[dict], lines: Container[int] | None = None) -> set[str]:
        """The tests that run these lines of parts of a file."""
        return {
            self.names[number]
            for part in parts
            for line, tests in part["lines"].items()
            if lines is None or int(line) in lines
            for number in tests
        }

    def of(self, mutant: Mutant) -> list[str]:
        """The tests that run a mutant, in the order of their time and of how much else they run.

        A test that noticed another mutant of the file counts as ten times as fast.
        """
        found = self.running(mutant) - self.broken
        noticed = self.noticed[mutant.definition.file]
        cost = {test: self.seconds[test] * max(1, self.reach[test]) for test in found}
        return sorted(found, key=lambda test: (cost[test] / (10 if test in noticed else 1), test))

    def stages(self, mutant: Mutant) -> Iterable[list[str]]:
        """The tests in parts, as most mutants are noticed by the first few."""
        total, part, limits = 0.0, [], list(STAGES)
        for test in self.of(mutant):
            while limits and total + self.seconds[test] > limits[0]:
                if part:
                    yield by_file(part)
                part = []
                limits.pop(0)
            if not limits:
                return
            total += self.seconds[test]
            part.append(test)
        if part:
            yield by_file(part)


def by_file(tests: list[str]) -> list[str]:
    """The same tests, those of one file together, as they share what they prepare."""
    files = [test.partition("::")[0] for test in tests]
    return [test for file in dict.fromkeys(files) for test in tests if test.startswith(f"{file}::")]


class Worker:
    """A copy of the project, and the two servers that run tests in it."""

    def __init__(self, number: int, tests: KnownTests):
        self.tests = tests
        self.folder = FOLDER / f"copy{number}"
        copy_project(self.folder)
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "OMP_NUM_THREADS": "1",
        }
        self.servers = {
            kind: subprocess.Popen(
                [sys.executable, "-m", "tests.mutation.server", kind],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=(FOLDER / f"{kind}{number}.log").open("w", encoding="utf-8"),
                text=True,
            )
            for kind in ("collected", "fresh")
        }
        for kind, server in self.servers.items():
            line = server.stdout.readline()
            if not line:
                raise RuntimeError(f"no server: see {FOLDER / f'{kind}{number}.log'}")
            if kind == "collected":
                tests.broken |= {*tests.names} - {*json.loads(line)}

    def close(self) -> None:
        """Ends the servers."""
        for server in self.servers.values():
            server.stdin.close()
            server.wait()

    def ask(self, kind: str, definition: Definition, tests: list[str]) -> dict[str, str]:
        """What comes of tests in the copy as it is."""
        seconds = LEAST + SLOWER * sum(self.tests.seconds[test] for test in tests)
        job = {"tests": tests, "file": definition.file, "name": definition.name}
        server = self.servers[kind]
        server.stdin.write(json.dumps(job | {"seconds": seconds}) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    def notices(self, mutant: Mutant) -> bool:
        """Whether a test fails on a mutant, or does not end."""
        definition = mutant.definition
        kind = "collected" if mutant.lines else "fresh"
        for tests in self.tests.stages(mutant):
            while tests:
                with written(self.folder / definition.file, mutant.code):
                    found = self.ask(kind, definition, tests)
                if found["outcome"] == PASSED:
                    break
                test = found["test"]
                if found["outcome"] == TOO_LONG or not test:
                    return True
                if self.passes(kind, definition, test):
                    self.tests.noticed[definition.file].add(test)
                    return True
                self.tests.broken.add(test)
                tests = [one for one in tests if one != test]
        return False

    def passes(self, kind: str, definition: Definition, test: str) -> bool:
        """Whether a test passes on the package as it is."""
        if (kind, test) not in self.tests.sound:
            if self.ask(kind, definition, [test])["outcome"] != PASSED:
                return False
            self.tests.sound.add((kind, test))
        return True


@contextmanager
def written(file: Path, code: str):
    """Inside of the block the file holds the code."""
    before = file.read_bytes()
    file.write_text(code, encoding="utf-8")
    try:
        yield
    finally:
        file.write_bytes(before)


def copy_project(folder: Path) -> None:
    """The tracked files, with the package compiled so that no time of a file counts."""
    shutil.rmtree(folder, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*compiling, "detr_steps"], cwd=folder, check=True)
