"""Mutation testing itself: which mutants there are, and that one is noticed and another is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation import mutants as making
from tests.mutation.covering import test_of as name_in_context
from tests.mutation.mutants import Definition, definitions, mutants
from tests.mutation.results import Results, Survivor, room, table
from tests.mutation.running import KnownTests, written

CODE = '''"""A module."""

LIMIT = 3


class Counter:
    def __init__(self, start: int | None = None):
        self.start = start

    def is_low(self, number: int) -> "bool | None":
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
    found = mutants(module, definitions(module).values())
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


def test_definitions_share_the_lines_of_a_file(module):
    assert set(definitions(module)) == {"", "Counter.__init__", "Counter.is_low", "unused"}
    lines = [line for one in definitions(module).values() for line in one.source.split("\n")]
    assert sorted(lines) == sorted(CODE.splitlines())


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
    assert "| steps, inputs, inference | 5 | 80.0 % | 97 % | 1 | 0 |" in table(results)
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


def test_the_fastest_tests_come_first_and_the_slowest_not_at_all():
    tests = KnownTests.__new__(KnownTests)
    tests.seconds = {"a": 1.0, "b": 2.0, "c": 5.0, "d": 200.0}
    tests.runs, tests.broken = {"f.py:g": ["d", "c", "b", "a"]}, set()
    assert list(tests.stages(Definition("f.py", "g", ""))) == [(["a", "b"], 3.0), (["c"], 5.0)]
    assert tests.of(Definition("f.py", "", "")) == ["a", "b", "c", "d"]  # what runs at import
    assert list(tests.stages(Definition("f.py", "other", ""))) == []


def test_a_context_names_its_test():
    assert name_in_context("tests/test_a.py::test_b[1]|run") == "tests/test_a.py::test_b[1]"
    assert name_in_context("tests/test_a.py::test_b (call)") == "tests/test_a.py::test_b"
    assert name_in_context("") == ""


def test_a_server_tells_a_passed_test_from_a_failed_one_and_from_one_that_does_not_end(tmp_path):
    package = tmp_path / "module.py"
    package.write_text("def double(number):\n    return 2 * number\n", encoding="utf-8")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_double.py").write_text(
        "import time\nfrom module import double\n\n"
        "def test_two():\n    assert double(1) == 2\n\n"
        "def test_sleep():\n    time.sleep(60)\n",
        encoding="utf-8",
    )
    program = (
        f"import sys; sys.path.append({str(Path.cwd())!r}); from tests.mutation import server; "
        "server.serve()"
    )
    server = subprocess.Popen(
        [sys.executable, "-B", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(test, seconds):
        server.stdin.write(json.dumps({"tests": [test], "seconds": seconds}) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    assert server.stdout.readline() == "ready\n"
    two = "tests/test_double.py::test_two"
    assert ask(two, 60)["outcome"] == "passed"
    with written(package, "def double(number):\n    return 2 + number\n"):
        assert ask(two, 60) == {"outcome": "failed", "test": two}
    assert ask(two, 60)["outcome"] == "passed"
    assert ask("tests/test_double.py::test_sleep", 2)["outcome"] == "too long"
    server.stdin.close()
    assert server.wait(timeout=20) == 0
