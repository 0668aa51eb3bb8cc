"""Which tests run which line, and how long each takes: one run of all tests, under coverage."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from coverage import CoverageData
from coverage.exceptions import DataError

from .mutants import ROOT, definitions, files, owners

FOLDER = ROOT / "build" / "mutation"
COVERAGE, TIMES = FOLDER / "coverage", FOLDER / "times.xml"
TESTS = FOLDER / "tests.json"
SLOW = 10.0  # seconds, of tests that are never asked about a mutant
SETTINGS = """
[run]
source_pkgs = detr_steps
patch = fork, _exit
parallel = true
context = ${{PYTEST_CURRENT_TEST-}}
data_file = {data}
"""


@dataclass
class Known:
    """What measured runs have found.

    `runs` holds, for each definition, by "file:name", its fingerprint, and the tests of its lines
    by their number in the order of `seconds`.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    runs: dict[str, dict] = field(default_factory=dict)

    @classmethod
    def read(cls) -> "Known":
        """What is known; nothing before the first run."""
        return cls(**json.loads(TESTS.read_text(encoding="utf-8"))) if TESTS.exists() else cls()

    def add(self, seconds: dict[str, float], runs: dict[str, dict]) -> None:
        """Adds what a run has found, where a definition has not changed; else it replaces it."""
        self.seconds |= seconds
        for place, new in runs.items():
            old = self.runs.get(place)
            if old and old["fingerprint"] == new["fingerprint"]:
                for line, tests in new["lines"].items():
                    old["lines"][line] = sorted({*old["lines"].get(line, ()), *tests})
            else:
                self.runs[place] = new

    def write(self) -> None:
        """Keeps it for the next time."""
        TESTS.write_text(json.dumps({"seconds": self.seconds, "runs": self.runs}), encoding="utf-8")


def measure(workers: int, paths: list[str]) -> None:
    """Runs tests, but for those that are known to be slow, and writes down what they run.

    Args:
        workers: processes.
        paths: files of tests whose results are added to what is known; all tests if none.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("coverage*"):
        old.unlink()
    settings = FOLDER / "settings.ini"  # pytest-cov removes what is called coverage.*
    settings.write_text(SETTINGS.format(data=COVERAGE), encoding="utf-8")
    known = Known.read()
    options = f"-q --cov --cov-config={settings} --cov-context=test --cov-report= -n {workers}"
    slow = [f"--deselect={test}" for test, time in known.seconds.items() if time > SLOW]
    command = [sys.executable, "-m", "pytest", *(paths or ["tests"]), *options.split(), *slow]
    # what a test starts reads the settings anew, and the test's name with them
    environment = {"OMP_NUM_THREADS": "1", "COVERAGE_PROCESS_START": str(settings)}
    subprocess.run(
        [*command, "--dist=loadscope", f"--junitxml={TIMES}"],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
    )
    seconds = times(TIMES)
    numbers = {test: i for i, test in enumerate(known.seconds | seconds)}
    if not paths:
        known.runs = {}
    known.add(seconds, runs(measured(), numbers))
    known.write()


def measured() -> CoverageData:
    """What a measured run has left."""
    data = CoverageData(no_disk=True)  # on disk it would begin by erasing the file
    for part in FOLDER.glob("coverage*"):
        with contextlib.suppress(DataError):  # what a killed process has left may be a part
            other = CoverageData(str(part))
            other.read()
            data.update(other, map_path=str)
    return data


def times(file: Path) -> dict[str, float]:
    """Seconds of each test, by its name for pytest."""
    cases = ElementTree.parse(file).getroot().iter("testcase")
    return {
        test_name(case.get("classname"), case.get("name")): float(case.get("time"))
        for case in cases
    }


def test_name(place: str, name: str) -> str:
    """A test's name for pytest, of its place "tests.test_module.Class"."""
    folder, module, *classes = place.split(".")
    return "::".join([f"{folder}/{module}.py", *classes, name])


def runs(data: CoverageData, numbers: dict[str, int]) -> dict[str, dict]:
    """As in `Known`, of the tests that have a number."""
    paths = {Path(file).as_posix(): file for file in data.measured_files()}
    found = {}
    for file in files():
        of_line, defined = owners((ROOT / file).read_text(encoding="utf-8")), definitions(file)
        first = {name: line for line, name in sorted(of_line.items(), reverse=True)}
        lines = defaultdict(lambda: defaultdict(set))
        for name in (original for path, original in paths.items() if path.endswith(f"/{file}")):
            for line, contexts in data.contexts_by_lineno(name).items():
                owner = of_line.get(line, "")
                tests = {numbers.get(test_of(context)) for context in contexts}
                lines[owner][str(line - first.get(owner, 0))] |= tests - {None}
        for name, by_line in lines.items():
            found[defined[name].place] = {
                "fingerprint": defined[name].fingerprint,
                "lines": {line: sorted(tests) for line, tests in by_line.items()},
            }
    return found


def test_of(context: str) -> str:
    """The test of a context, which is "TEST|run" in pytest and "TEST (call)" in what it starts."""
    return re.split(r"\||  ?\((?:setup|call|teardown)\)", context.lstrip("|"))[0]
