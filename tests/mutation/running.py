"""The work: each mutant is written into a copy of the project, where its tests run."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

from .covering import FOLDER, TESTS
from .mutants import ROOT, Definition, Mutant
from .server import PASSED, TOO_LONG

STAGES = (4.0, 20.0, 90.0)  # seconds of tests: most mutants are noticed by the fastest tests
LEAST = 30.0  # seconds that tests may take beside what they are known to
SLOWER = 4  # times: how much longer they may take than in the measured run


class KnownTests:
    """Which tests may notice a mutant, fastest first."""

    def __init__(self):
        known = json.loads(TESTS.read_text(encoding="utf-8"))
        self.seconds, self.runs = known["seconds"], known["runs"]
        self.broken: set[str] = set()  # fail without a mutant, too
        self.sound: set[str] = set()  # have been seen to pass without one

    def of(self, definition: Definition) -> list[str]:
        """The tests of a definition; of all in the file where the definition runs at import."""
        file, name = definition.file, definition.name
        places = [place for place in self.runs if place.partition(":")[0] == file]
        if name:
            places = [f"{file}:{name}"]
        found = {test for place in places for test in self.runs.get(place, ())}
        return sorted(found - self.broken, key=lambda test: (self.seconds[test], test))

    def stages(self, definition: Definition) -> Iterable[tuple[list[str], float]]:
        """The tests in parts, each with the seconds that it takes."""
        tests, total, part = self.of(definition), 0.0, []
        limits = list(STAGES)
        for test in tests:
            if limits and total + self.seconds[test] > limits[0] and part:
                yield part, sum(self.seconds[test] for test in part)
                part = []
                while limits and total + self.seconds[test] > limits[0]:
                    limits.pop(0)
            if not limits:
                return
            total += self.seconds[test]
            part.append(test)
        if part:
            yield part, sum(self.seconds[test] for test in part)


class Worker:
    """A copy of the project, and a server that runs tests in it."""

    def __init__(self, number: int, tests: KnownTests):
        self.tests = tests
        self.folder = FOLDER / f"copy{number}"
        copy_project(self.folder)
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "tests.mutation.server"]
        self.server = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.server.stdout.readline()

    def close(self) -> None:
        """Ends the server."""
        self.server.stdin.close()
        self.server.wait()

    def ask(self, tests: list[str], seconds: float) -> dict[str, str]:
        """What comes of tests in the copy as it is."""
        job = {"tests": tests, "seconds": LEAST + SLOWER * seconds}
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def notices(self, mutant: Mutant) -> bool:
        """Whether a test fails on a mutant, or does not end."""
        for tests, seconds in self.tests.stages(mutant.definition):
            while tests:
                with written(self.folder / mutant.definition.file, mutant.code):
                    found = self.ask(tests, seconds)
                if found["outcome"] == PASSED:
                    break
                test = found["test"]
                if found["outcome"] == TOO_LONG or not test or self.passes(test):
                    return True
                self.tests.broken.add(test)
                tests = [one for one in tests if one != test]
        return False

    def passes(self, test: str) -> bool:
        """Whether a test passes on the package as it is."""
        if test not in self.tests.sound:
            if self.ask([test], self.tests.seconds.get(test, 10))["outcome"] != PASSED:
                return False
            self.tests.sound.add(test)
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
