"""How a result is related to the expected one is found out by calculation."""

import pytest
import torch
from torch import Tensor

from detr_steps.exercises.relations import FUNCTIONS, in_ranges, relate

EXPECTED = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0))
SQUARE = EXPECTED[:, :4, :4]
OTHER = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(1))
CASES = {  # the result, what is expected, the name, part of the sentence
    "a factor": (3 * EXPECTED, EXPECTED, "a factor too much or too little", "3 times"),
    "a sign": (-EXPECTED, EXPECTED, "sign turned", "sign"),
    "an offset": (EXPECTED + 0.5, EXPECTED, "a constant too much or too little", "0.5 larger"),
    "a similarity": (1 - EXPECTED, EXPECTED, "1 minus what is expected", "1 minus"),
    "nothing": (0 * EXPECTED, EXPECTED, "0 everywhere", "0 everywhere"),
    "an order of axes": (EXPECTED.mT, EXPECTED, "axes in another order", "[0, 2, 1]"),
    "exchanged axes": (SQUARE.mT, SQUARE, "axes exchanged", "Axes 1 and 2"),
    "a shape": (EXPECTED.flatten(1), EXPECTED, "the right numbers in another shape", "shape"),
    "too many": (EXPECTED, EXPECTED[:, :3], "too many along an axis", "first 3 along axis 1"),
    "too few": (EXPECTED[:, 2:], EXPECTED, "too few along an axis", "last 3 along axis 1"),
    "one entry": (EXPECTED[1], EXPECTED, "an axis left out", "entry 1"),
    "a sum": (EXPECTED.sum(1), EXPECTED, "summed up", "sum over axis 1"),
    "a mean": (EXPECTED.mean(0), EXPECTED, "averaged", "mean over axis 0"),
    "the reverse": (EXPECTED.flip(1), EXPECTED, "in reverse order", "axis 1"),
    "another order": (
        EXPECTED[:, [1, 0, 2, 4, 3]],
        EXPECTED,
        "in another order along an axis",
        "at 0 belongs to 1",
    ),
    "the same for all": (
        EXPECTED[:1].expand_as(EXPECTED),
        EXPECTED,
        "the same for all along an axis",
        "axis 0",
    ),
    "something added": (
        EXPECTED + OTHER,
        EXPECTED,
        "something added that does not belong there",
        "pos had been added",
    ),
    "something else": (OTHER, EXPECTED, "something else in its place", "expected as pos"),
    "a part": (
        torch.cat((EXPECTED[:2], OTHER[2:])),
        EXPECTED,
        None,
        "0 to 1 is right, 2 to 3 is not",
    ),
    "masks": (EXPECTED < 0, EXPECTED >= 0, "True and False exchanged", "exchanged"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_relation_is_found(case):
    found, expected, name, text = CASES[case]
    relation = relate(found, expected, {"pos": OTHER})
    assert relation.name == name and text in relation.text, relation


INVERSE = {
    "the logarithm": "the exponential",
    "the exponential": "the logarithm",
    "the square": "the square root",
    "the square root": "the square",
    "the reciprocal": "the reciprocal",
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_too_many_or_too_few_is_found(name):
    numbers = EXPECTED if name in ("the ReLU", "the absolute value") else OTHER + 0.1
    other = FUNCTIONS[name](numbers)
    assert relate(other, numbers, {}).name == f"{name} too much"
    known = {f"{name} left out", f"{INVERSE.get(name)} too much"}  # which are the same
    assert relate(numbers, other, {}).name in known


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (torch.rand(3, 4), torch.rand(3, 4)),
        (torch.tensor(2.0), torch.tensor(1.0)),  # any two numbers have a factor
        (torch.full((3, 4), torch.nan), torch.rand(3, 4)),
        (torch.zeros(0, 4), torch.rand(3, 4)),
        (torch.rand(3, 4) < 0.5, torch.rand(3, 4)),
        (EXPECTED.double(), EXPECTED),  # it is the type that differs
    ],
)
def test_where_there_is_none_nothing_is_said(found: Tensor, expected: Tensor):
    assert relate(found, expected, {}) is None


def test_numbers_are_put_into_words():
    assert in_ranges([0, 1, 2, 7]) == "0 to 2, 7"
    assert in_ranges([0, 2, 4, 6, 8]) == "0, 2, 4, 6, ..."
