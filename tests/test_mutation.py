"""Mutation testing itself: which mutants there are, and that one is noticed and another is not."""

import json
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import pytest

from tests.mutation import mutants as making
from tests.mutation import running
from tests.mutation.covering import Known
from tests.mutation.covering import test_of as name_in_context
from tests.mutation.mutants import Definition, Mutant, definitions, files, mutants, statements
from tests.mutation.results import ROOMS, Results, Survivor, room, table
from tests.mutation.running import KnownTests, by_file, written
from tests.mutation.server import function_of

CODE = '''"""A module."""

LIMIT = 3


class Counter:
    def __init__(self, start: int | None = None):
        self.start = start

    def is_low(self, *, number: int) -> "bool | None":
        return self.start + number < LIMIT


def unused():
    return -1
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A package of one module, in place of ours."""
    monkeypatch.setattr(making, "ROOT", tmp_path)
    (tmp_path / "module.py").write_text(CODE, encoding="utf-8")
    return "module.py"


def test_each_token_that_computes_has_a_mutant_and_annotations_have_none(module):
    found = [*mutants(module, definitions(module).values())]
    changes = {(one.definition.name, one.before, one.after) for one in found}
    assert changes == {
        ("", "LIMIT = 3", "LIMIT = 4"),
        (
            "Counter.is_low",
            "return self.start + number < LIMIT",
            "return self.start - number < LIMIT",
        ),
        (
            "Counter.is_low",
            "return self.start + number < LIMIT",
            "return self.start + number <= LIMIT",
        ),
        ("unused", "return -1", "return 1"),
        ("unused", "return -1", "return - 2"),
    }
    assert {one.before for one in found if not one.lines} == {"LIMIT = 3"}


def test_definitions_share_the_lines_of_a_file(module):
    assert set(definitions(module)) == {"", "Counter.__init__", "Counter.is_low", "unused"}
    lines = [line for one in definitions(module).values() for line in one.source.split("\n")]
    assert sorted(lines) == sorted(CODE.splitlines())


def test_a_statement_is_known_by_its_lines_from_the_first_of_its_function():
    code = """
@decorated
def function(a):
    if (a and
            not a):
        return [
            1]
    return 2
"""
    assert statements(code) == {4: (2, 3), 5: (2, 3), 6: (4, 5), 7: (4, 5), 8: (6,)}


def test_only_another_source_is_run_again(tmp_path):
    results, definition = Results(tmp_path), Definition("detr_steps/inputs.py", "kind", "one")
    survivor = Survivor("detr_steps/inputs.py", "kind", "a < b", "a <= b")
    results.add(definition, 5, [survivor])
    results.keep([definition])
    again = Results(tmp_path)
    assert again.is_known(definition) and again.survivors == [survivor]
    assert not again.is_known(Definition("detr_steps/inputs.py", "kind", "two"))


def test_a_reason_stays_with_its_survivor_and_goes_with_it(tmp_path):
    results, definition = Results(tmp_path), Definition("detr_steps/inputs.py", "kind", "one")
    explained = Survivor("detr_steps/inputs.py", "kind", "a < b", "a <= b", 'they "differ"')
    results.add(definition, 5, [explained])
    results.keep([definition])
    results = Results(tmp_path)
    results.add(definition, 5, [Survivor("detr_steps/inputs.py", "kind", "a < b", "a <= b")])
    assert results.survivors == [explained]
    assert "| steps, inputs, inference | 5 | 1 | 100.0 % | 97 % | 0 |" in table(results)
    results.add(definition, 5, [])
    assert not results.survivors
    results.keep([])
    assert not results.rows


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("detr_steps/step4_encoder.py", "steps, inputs, inference"),
        ("detr_steps/inference/ready.py", "steps, inputs, inference"),
        ("detr_steps/official.py", "training, official"),
        ("detr_steps/training/scenes.py", "training, official"),
        ("detr_steps/commands.py", "the rest"),
        ("detr_steps/notebook/steps.py", "the rest"),
    ],
)
def test_each_file_belongs_to_a_room(file, name):
    assert room(file) == name


def mutant_in(name: str, *lines: int, source: str = "") -> Mutant:
    """A mutant on these lines of a function."""
    return Mutant(Definition("f.py", name, source), "a", "b", "", lines)


@pytest.fixture
def tests():
    """Four known tests, and which of them run two lines of a function and one of another."""
    tests = KnownTests.__new__(KnownTests)
    tests.seconds = {"a.py::a": 1.0, "b.py::b": 1.5, "a.py::c": 2.5, "b.py::d": 200.0}
    tests.names, tests.broken = list(tests.seconds), set()
    tests.reach = dict.fromkeys(tests.names, 1)
    fingerprint = Definition("f.py", "g", "").fingerprint
    tests.runs = {
        "f.py:g": {"fingerprint": fingerprint, "lines": {"1": [3, 2, 1, 0], "2": [2]}},
        "f.py:h": {"fingerprint": fingerprint, "lines": {"0": [1], "3": []}},
    }
    tests.noticed = {"f.py": {"b.py::b"}, "h.py": {"a.py::c"}}
    return tests


def test_the_fastest_tests_come_first_and_the_slowest_not_at_all(tests):
    mutant = mutant_in("g", 1)
    assert list(tests.stages(mutant)) == [["b.py::b", "a.py::a"], ["a.py::c"]]
    tests.noticed["f.py"] = {"a.py::c"}
    assert list(tests.stages(mutant)) == [["a.py::c"], ["a.py::a", "b.py::b"]]
    tests.broken = {"a.py::c"}
    assert list(tests.stages(mutant)) == [["a.py::a", "b.py::b"]]
    tests.reach["a.py::a"] = 20  # it runs much else
    assert list(tests.stages(mutant)) == [["b.py::b", "a.py::a"]]
    assert list(tests.stages(mutant_in("h", 3))) == []


def test_the_tests_of_a_mutant_run_its_line_or_its_function_or_its_file(tests):
    assert tests.running(mutant_in("g", 2, 3)) == {"a.py::c"}
    assert tests.running(mutant_in("g")) == set(tests.seconds)  # its default or decorator
    assert tests.running(mutant_in("h", 3)) == set()
    assert tests.running(mutant_in("h", 3, source="another")) == {"b.py::b"}
    assert tests.running(mutant_in("", 3)) == set(tests.seconds)
    assert tests.running(mutant_in("new", 3)) == set(tests.seconds)


@pytest.mark.parametrize(
    ("line", "imports"),
    [
        ("from detr_steps.training.small import a", True),
        ("from detr_steps.training import large, small", True),
        ("import detr_steps.training.small", True),
        ("from detr_steps.training import smaller", False),
        ("from detr_steps.training.smaller import small", False),
        ("a = 'detr_steps.training.small'", False),
    ],
)
def test_who_imports_a_file_may_read_what_it_holds(tests, tmp_path, monkeypatch, line, imports):
    monkeypatch.setattr(running, "ROOT", tmp_path)
    (tmp_path / "a.py").write_text(f"import os\n{line}\n")
    found = tests.importing("detr_steps/training/small.py")
    assert found == ({"a.py::a", "a.py::c"} if imports else set())
    tests.reach["a.py::a"] = running.FEW_LINES + 1
    assert "a.py::a" not in tests.importing("detr_steps/training/small.py")


def test_tests_of_one_file_run_together():
    assert by_file(["a.py::a", "b.py::b", "a.py::c"]) == ["a.py::a", "a.py::c", "b.py::b"]


def test_a_context_names_its_test():
    assert name_in_context("tests/test_a.py::test_b[1]|run") == "tests/test_a.py::test_b[1]"
    assert name_in_context("tests/test_a.py::test_b (call)") == "tests/test_a.py::test_b"
    assert name_in_context("") == ""


MODULE = """
import functools

FACTOR = 2


class Number:
    @staticmethod
    @functools.lru_cache
    def double(number):
        return FACTOR * number

    @property
    def one(self):
        return super().__hash__() * 0 + 1
"""
TESTS = """
import time
from module import Number

def test_two():
    assert Number.double(Number().one) == 2

def test_other(tmp_path):
    (tmp_path / "a").write_text("kept by pytest")

def test_sleep():
    time.sleep(60)
"""


def test_every_function_of_the_package_can_be_given_another_code():
    count = 0
    for file in files():
        for name in filter(None, definitions(file)):
            function = function_of(file, name)
            assert isinstance(function, FunctionType) and function.__qualname__ == name, (
                file,
                name,
            )
            count += 1
    assert count > 500


def test_what_a_run_of_new_tests_finds_is_added():
    known = Known({"a": 1.0, "b": 2.0}, {"f.py:g": {"fingerprint": "1", "lines": {"1": [0]}}})
    new = {"f.py:g": {"fingerprint": "1", "lines": {"1": [2], "3": [2]}}}
    known.add({"c": 3.0}, new | {"f.py:h": {"fingerprint": "2", "lines": {"0": [2]}}})
    assert list(known.seconds) == ["a", "b", "c"]
    assert known.runs["f.py:g"]["lines"] == {"1": [0, 2], "3": [2]}
    assert known.runs["f.py:h"]["lines"] == {"0": [2]}
    known.add({}, {"f.py:g": {"fingerprint": "another", "lines": {"7": [1]}}})
    assert known.runs["f.py:g"]["lines"] == {"7": [1]}


@pytest.mark.parametrize("name", ROOMS)
def test_enough_of_the_mutants_that_change_something_are_noticed(name):
    assert Results().scores()[name] >= ROOMS[name]


@pytest.mark.parametrize("kind", ["collected", "fresh"])
def test_a_server_tells_a_passed_test_from_a_failed_one_and_from_one_that_does_not_end(
    tmp_path, kind
):
    package = tmp_path / "module.py"
    package.write_text(MODULE, encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "files").mkdir()
    (tmp_path / "tests" / "test_double.py").write_text(TESTS, encoding="utf-8")
    program = (
        f"import sys; sys.path.append({str(Path.cwd())!r}); from tests.mutation import server; "
        f"server.main({kind!r})"
    )
    server = subprocess.Popen(
        [sys.executable, "-B", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "TMPDIR": str(tmp_path / "files")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(*names, seconds=60, function="Number.double"):
        tests = [f"tests/test_double.py::{name}" for name in names]
        job = {"tests": tests, "seconds": seconds, "file": "module.py", "name": function}
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    def changed(before, after):
        return written(package, MODULE.replace(before, after))

    failed = {"outcome": "failed", "test": "tests/test_double.py::test_two"}
    collected = json.loads(server.stdout.readline())
    assert len(collected) == (3 if kind == "collected" else 0)
    assert ask("test_two", "test_other")["outcome"] == "passed"
    with changed("FACTOR * number", "FACTOR - number"):
        assert ask("test_other", "test_two") == failed
    with changed("* 0 + 1", "* 0 - 1"):
        assert ask("test_two", function="Number.one") == failed
    with changed("FACTOR = 2", "FACTOR = 3"):  # computed at import
        assert (ask("test_two") == failed) == (kind == "fresh")
    assert ask("test_two")["outcome"] == "passed"
    assert ask("test_sleep", seconds=2)["outcome"] == "too long"
    assert not list((tmp_path / "files").iterdir())
    server.stdin.close()
    assert server.wait(timeout=20) == 0
