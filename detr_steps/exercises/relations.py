"""How two tensors that ought to be the same are related: found out by calculation."""

from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from typing import Any, NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .observing import same

MOST_AXES = 5  # of which all orders are tried
ENOUGH = 4  # numbers; fewer are related by chance
MANY = 12  # different numbers; fewer are in any order by chance
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "the softmax over the last axis": lambda x: x.softmax(-1),
    "the softmax over the last axis but one": lambda x: x.softmax(-2),
    "the sigmoid": torch.sigmoid,
    "the ReLU": torch.relu,
    "the logarithm": torch.log,
    "the exponential": torch.exp,
    "the square": torch.square,
    "the square root": torch.sqrt,
    "the absolute value": torch.abs,
    "the reciprocal": torch.reciprocal,
    "the cosine": torch.cos,
    "the sine": torch.sin,
}


class Relation(NamedTuple):
    """What one tensor has to do with another.

    Args:
        name: of the mistake that leads to it; None where it only says where the mistake is.
        text: a sentence.
    """

    name: str | None
    text: str


def name_of(relation: Relation | None) -> str | None:
    """The name of the mistake that leads to a relation, where there is one."""
    return relation.name if relation else None


def relate(found: Tensor, expected: Tensor, others: Mapping[str, Any]) -> Relation | None:
    """What the one has to do with the other, where something is found.

    Args:
        found: the learner's.
        expected: what it ought to be.
        others: further things that are expected, by name.
    """
    if not found.numel() or not expected.numel():
        return None
    if found.dtype == torch.bool or expected.dtype == torch.bool:
        if found.dtype == expected.dtype and torch.equal(found, ~expected):
            return Relation("True and False exchanged", "True and False are exchanged.")
        return None
    left, right = found.detach().double(), expected.detach().double()
    if left.shape != right.shape:
        return next(of_other_shape(left, right), None)
    if left.numel() < ENOUGH or not left.isfinite().all() or alike(left, right):
        return None  # those that are alike differ in their type alone
    return next(of_same_shape(left, right, others), None)


def alike(left: Tensor, right: Tensor) -> bool:
    """Whether two tensors are the same, and say something: one that is flat is like any other."""
    return left.shape == right.shape and same(left.float(), right.float())


def of_other_shape(found: Tensor, expected: Tensor) -> Iterator[Relation]:
    """Relations of tensors of different shapes."""
    for order in orders(found):
        if alike(found.permute(order), expected):
            yield Relation(
                "axes in another order",
                f"The numbers are right, the axes are in another order: {list(order)} is needed.",
            )
    if found.numel() == expected.numel() and alike(found.reshape(expected.shape), expected):
        yield Relation(
            "the right numbers in another shape", "The numbers are right, their shape is not."
        )
    if found.dim() == expected.dim():
        yield from of_other_length(found, expected)
    if found.dim() == expected.dim() - 1:
        for index in range(expected.shape[0]):
            if alike(found, expected[index]):
                yield Relation(
                    "an axis left out",
                    f"This is entry {index} of axis 0 alone; that axis is missing.",
                )
    for axis in range(expected.dim()):
        if alike(found, expected.sum(axis)):
            yield Relation("summed up", f"This is the sum over axis {axis} of what is expected.")
        if alike(found, expected.mean(axis)):
            yield Relation("averaged", f"This is the mean over axis {axis} of what is expected.")


def of_other_length(found: Tensor, expected: Tensor) -> Iterator[Relation]:
    """Relations of tensors of which one has more along an axis."""
    for axis, (ours, theirs) in enumerate(zip(found.shape, expected.shape, strict=True)):
        if ours > theirs:
            if alike(found.narrow(axis, 0, theirs), expected):
                yield Relation(
                    "too many along an axis",
                    f"The first {theirs} along axis {axis} are right, the others too many.",
                )
            if alike(found.narrow(axis, ours - theirs, theirs), expected):
                yield Relation(
                    "too many along an axis",
                    f"The last {theirs} along axis {axis} are right, the others too many.",
                )
        if ours < theirs and alike(found, expected.narrow(axis, 0, ours)):
            yield Relation(
                "too few along an axis",
                f"These are the first {ours} along axis {axis}; the others are missing.",
            )
        if ours < theirs and alike(found, expected.narrow(axis, theirs - ours, ours)):
            yield Relation(
                "too few along an axis",
                f"These are the last {ours} along axis {axis}; the others are missing.",
            )


def of_same_shape(found: Tensor, expected: Tensor, others: Mapping[str, Any]) -> Iterator[Relation]:
    """Relations of tensors of the same shape, the simplest first."""
    yield from linear(found, expected)
    for name, other in others.items():
        if isinstance(other, Tensor) and other.shape == expected.shape:
            other = other.double()
            if alike(found, other):
                yield Relation(
                    "something else in its place", f"This is what is expected as {name}."
                )
            if alike(found, expected + other):
                yield Relation(
                    "something added that does not belong there",
                    f"It is as if {name} had been added.",
                )
            if alike(found, expected - other):
                yield Relation(
                    "something missing from a sum", f"It is as if {name} were missing from a sum."
                )
    yield from moved(found, expected)
    known = {n: f for n, f in FUNCTIONS.items() if found.dim() > ("but one" in n)}
    for name, function in known.items():
        if alike(found, function(expected)):
            yield Relation(f"{name} too much", f"Yours is {name} of what is expected.")
    for name, function in known.items():
        if alike(function(found), expected):
            yield Relation(f"{name} left out", f"What is expected is {name} of yours.")
    for axis in range(found.dim()):
        if found.shape[axis] > 1 and is_flat(found, axis) and not is_flat(expected, axis):
            yield Relation(
                "the same for all along an axis",
                f"Yours is the same for all {found.shape[axis]} along axis {axis}.",
            )
    yield from partly(found, expected)


def linear(found: Tensor, expected: Tensor) -> Iterator[Relation]:
    """A factor, a sign, an offset."""
    norm = (expected * expected).sum()
    if norm > 0 and found.abs().sum() > 0:
        factor = float((found * expected).sum() / norm)
        if alike(found, factor * expected):
            if abs(factor + 1) < 1e-3:
                yield Relation("sign turned", "The sign is turned.")
            else:
                yield Relation(
                    "a factor too much or too little",
                    f"Yours is {factor:.3g} times as large as expected, everywhere.",
                )
    offset = float((found - expected).mean())
    if offset and alike(found, expected + offset):
        yield Relation(
            "a constant too much or too little",
            f"Yours is {abs(offset):.3g} {'larger' if offset > 0 else 'smaller'}, everywhere.",
        )
    if alike(found, 1 - expected):
        yield Relation("1 minus what is expected", "Yours is 1 minus what is expected.")
    if not found.abs().sum() and expected.abs().sum():
        yield Relation("0 everywhere", "Yours is 0 everywhere.")


def moved(found: Tensor, expected: Tensor) -> Iterator[Relation]:
    """The right numbers in other places."""
    if len(found.abs().unique()) < MANY:
        return
    for order in orders(found):
        if order != tuple(range(found.dim())) and alike(found.permute(order), expected):
            a, b = [axis for axis, other in enumerate(order) if axis != other][:2]
            yield Relation("axes exchanged", f"Axes {a} and {b} are exchanged.")
    for axis, length in enumerate(found.shape):
        if length == 1:
            continue
        if alike(found.flip(axis), expected):
            yield Relation("in reverse order", f"It is in reverse order along axis {axis}.")
        places = places_along(found, expected, axis)
        if places:
            first = next(i for i, place in enumerate(places) if i != place)
            text = f"The numbers are right, but in another order along axis {axis}: what stands at "
            text += f"{first} belongs to {places[first]}."
            yield Relation("in another order along an axis", text)


def orders(tensor: Tensor) -> Iterator[tuple[int, ...]]:
    """All orders of a tensor's axes."""
    if 1 < tensor.dim() <= MOST_AXES:
        yield from permutations(range(tensor.dim()))


def places_along(found: Tensor, expected: Tensor, axis: int) -> list[int] | None:
    """Where each slice along an axis belongs, if all belong somewhere else."""
    left, right = (x.movedim(axis, 0).reshape(x.shape[axis], -1) for x in (found, expected))
    if len(left) > 512 or not left.isfinite().all() or not right.isfinite().all():
        return None
    rows, columns = linear_sum_assignment(torch.cdist(left, right).numpy())
    if not alike(left[torch.from_numpy(rows)], right[torch.from_numpy(columns)]):
        return None
    return columns.tolist()


def is_flat(tensor: Tensor, axis: int) -> bool:
    """Whether nothing changes along an axis."""
    first = tensor.narrow(axis, 0, 1).expand_as(tensor)
    return same(tensor.float(), first.float())


def partly(found: Tensor, expected: Tensor) -> Iterator[Relation]:
    """Where along an axis the numbers are right, if they are somewhere."""
    for axis, length in enumerate(found.shape):
        right = [i for i in range(length) if alike(found.select(axis, i), expected.select(axis, i))]
        if right and len(right) < length:
            wrong = [i for i in range(length) if i not in right]
            yield Relation(
                None, f"Along axis {axis}, {in_ranges(right)} is right, {in_ranges(wrong)} is not."
            )


def in_ranges(numbers: list[int]) -> str:
    """Numbers in words: "0 to 3, 7"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    words = [f"{p[0]} to {p[-1]}" if len(p) > 1 else str(p[0]) for p in parts]
    return ", ".join(words[:4]) + (", ..." if len(words) > 4 else "")
