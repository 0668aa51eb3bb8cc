"""Which tests run which function, and how long each takes: one run of all tests, under coverage."""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

from coverage import CoverageData

from .mutants import ROOT, files, owners

FOLDER = ROOT / "build" / "mutation"
COVERAGE, TIMES = FOLDER / "coverage", FOLDER / "times.xml"
TESTS = FOLDER / "tests.json"
SETTINGS = """
[run]
source_pkgs = detr_steps
patch = subprocess, fork, _exit
parallel = true
context = ${{PYTEST_CURRENT_TEST-}}
data_file = {data}
"""


def measure(workers: int) -> None:
    """Runs all tests, and writes down what they run."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("coverage*"):
        old.unlink()
    settings = FOLDER / "coverage.ini"
    settings.write_text(SETTINGS.format(data=COVERAGE), encoding="utf-8")
    options = f"-q --cov --cov-config={settings} --cov-context=test --cov-report= -n {workers}"
    command = [sys.executable, "-m", "pytest", "tests", *options.split(), "--dist=loadscope"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, f"--junitxml={TIMES}"], cwd=ROOT, env=environment, check=True)
    write_tests()


def write_tests() -> None:
    """Makes one small file of what a measured run has left."""
    data = CoverageData(str(COVERAGE))
    for part in FOLDER.glob("coverage.*"):
        if part.suffix != ".ini":
            other = CoverageData(str(part))
            other.read()
            data.update(other, map_path=str)
    seconds = times(TIMES)
    tests = {"seconds": seconds, "runs": runs(data, set(seconds))}
    TESTS.write_text(json.dumps(tests), encoding="utf-8")


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


def runs(data: CoverageData, known: set[str]) -> dict[str, list[str]]:
    """The tests that run each definition, by "file:name"."""
    found = defaultdict(set)
    measured = {Path(file): file for file in data.measured_files()}
    for file in files():
        of_line = owners((ROOT / file).read_text(encoding="utf-8"))
        for path, name in measured.items():
            if path.as_posix().endswith(f"/{file}"):
                for line, contexts in data.contexts_by_lineno(name).items():
                    found[f"{file}:{of_line.get(line, '')}"].update(map(test_of, contexts))
    return {place: sorted(tests & known) for place, tests in found.items()}


def test_of(context: str) -> str:
    """The test of a context, which is "TEST|run" in pytest and "TEST (call)" in what it starts."""
    return re.split(r"\||  ?\((?:setup|call|teardown)\)", context.lstrip("|"))[0]
