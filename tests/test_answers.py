"""Answers of people who had seen the pages alone: right ones pass, wrong ones do not.

Each was written before the checker had been tried on it. The first line of a wrong one, a file of
`answers`, says what its mistake is; the others are right ones with a mistake made in them, `SLIPS`.
"""

from pathlib import Path

import pytest
from learner import run
from slips import SLIPS

from detr_steps.exercises import check
from detr_steps.exercises.catalogue import TASKS

FILES = {path.stem: path for path in sorted((Path(__file__).parent / "answers").glob("*.py"))}
RIGHT = {name: path.read_text(encoding="utf-8") for name, path in FILES.items() if "right" in name}
WRONG = {name: path.read_text(encoding="utf-8") for name, path in FILES.items() if "wrong" in name}
NAMED = 0.75  # of the wrong ones, at first sight


def task_of(name):
    """The exercise of an answer, from the name of its file."""
    return name.rpartition("_")[0].partition("_")[2]


def changed(name, edits):
    """A right answer with a mistake made in it."""
    source = RIGHT[name]
    for old, new in edits:
        assert source.count(old) == 1
        source = source.replace(old, new)
    return source


def wrong_answers():
    """The exercise and the source of each wrong answer."""
    files = [(task_of(name), source) for name, source in WRONG.items()]
    return files + [(task_of(name), changed(name, edits)) for name, _, edits in SLIPS]


def test_there_are_right_and_wrong_answers_to_nearly_every_exercise():
    tried = {task_of(name) for name in FILES}
    assert set(TASKS) - tried <= {"ResNetFPN", "Step0", "TransformerDecoderWithIntermediates"}
    assert len(RIGHT) >= 24 and len(wrong_answers()) >= 24


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes(name):
    answer = check(run(RIGHT[name])[-1], task_of(name))
    assert answer.passed, answer


def test_wrong_answers_are_rejected_and_most_of_them_by_name():
    answers = [check(run(source)[-1], task) for task, source in wrong_answers()]
    assert not any(answer.passed for answer in answers)
    assert sum(answer.mistake is not None for answer in answers) >= NAMED * len(answers)
