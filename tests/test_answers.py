"""Answers of people who had seen the pages alone: right ones pass, wrong ones do not.

Each was written before the checker had been tried on it. The first line of a wrong one, a file of
`answers`, says what its mistake is; the others are right ones with a mistake made in them, in
`answers/slips`.
"""

import tomllib
from pathlib import Path

import pytest
from learner import run

from detr_steps.exercises import check

FOLDER = Path(__file__).parent / "answers"
SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.py"))}
SLIPS = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8"))["slip"]
    for path in sorted(FOLDER.glob("slips/*.toml"))
}
NAMED_AT_LEAST = 0.6  # of the wrong ones, in each exercise


def of_exercise(kind, exercise):
    """The sources of an exercise's right or wrong answers."""
    return {
        name: source
        for name, source in SOURCES.items()
        if name.startswith(f"{kind}_{exercise}_") and name.count("_") == exercise.count("_") + 2
    }


def slipped(answer, edits):
    """A right answer with a mistake made in it."""
    source = SOURCES[answer]
    for old, new in edits:
        assert source.count(old) == 1, (answer, old)
        source = source.replace(old, new)
    return source


def wrong_answers(exercise):
    """What is wrong with each wrong answer, and its source."""
    files = [(text.partition("\n")[0], text) for text in of_exercise("wrong", exercise).values()]
    return files + [(s["what"], slipped(s["answer"], s["edits"])) for s in SLIPS[exercise]]


def answers_to(exercise):
    """A class of tests, so that one process has all answers to an exercise, which is quicker."""

    class Tests:
        @pytest.mark.parametrize("name", of_exercise("right", exercise))
        def test_a_right_answer_passes(self, name):
            answer = check(run(SOURCES[name])[-1], exercise)
            assert answer.passed, answer

        @pytest.mark.slow
        def test_wrong_answers_are_rejected_and_most_of_them_by_name(self):
            pairs = [
                (what, check(run(source)[-1], exercise)) for what, source in wrong_answers(exercise)
            ]
            assert not [what for what, answer in pairs if answer.passed]
            named = [answer for _, answer in pairs if answer.mistake]
            assert len(named) >= NAMED_AT_LEAST * len(pairs)

    return Tests


for name in SLIPS:
    globals()[f"Test_{name}"] = answers_to(name)


def test_there_are_enough_of_them():
    assert sum(name.startswith("right") for name in SOURCES) >= 150
    assert sum(len(wrong_answers(exercise)) for exercise in SLIPS) >= 300
    assert len(SLIPS) == 14 and all(len(of_exercise("right", one)) >= 3 for one in SLIPS)
