"""Answers of people who had seen the pages alone: right ones pass, wrong ones do not.

Each file of `answers` was written before the checker had been tried on it. The first line of a
wrong one says what its mistake is.
"""

import inspect
from pathlib import Path

import pytest

from detr_steps.exercises import check
from detr_steps.exercises.catalogue import TASKS

FILES = sorted((Path(__file__).parent / "answers").glob("*.py"))
NAMED = 0.75  # of the wrong ones, at first sight


def check_file(path):
    """The check of the last class or function in a file that is called my."""
    _, task = path.stem.rpartition("_")[0].split("_", 1)
    namespace = {"__name__": "learner"}
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), namespace)
    kinds = inspect.isclass, inspect.isfunction
    own = [
        thing
        for name, thing in namespace.items()
        if name.lower().startswith("my") and any(kind(thing) for kind in kinds)
    ]
    return check(own[-1], task)


def test_there_are_right_and_wrong_answers_to_nearly_every_exercise():
    tried = {path.stem.rpartition("_")[0].split("_", 1)[1] for path in FILES}
    assert set(TASKS) - tried <= {"ResNetFPN", "Step0", "TransformerDecoderWithIntermediates"}
    for kind in ("right", "wrong"):
        assert sum(path.stem.startswith(kind) for path in FILES) >= 24


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.stem.startswith("right")], ids=lambda p: p.stem
)
def test_a_right_answer_passes(path):
    answer = check_file(path)
    assert answer.passed, answer


def test_wrong_answers_are_rejected_and_most_of_them_by_name():
    answers = [check_file(path) for path in FILES if path.stem.startswith("wrong")]
    assert not any(answer.passed for answer in answers)
    assert sum(answer.mistake is not None for answer in answers) >= NAMED * len(answers)
