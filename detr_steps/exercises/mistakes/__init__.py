"""The mistakes that learners make, as data: the TOML files beside this one.

    [[mistake]]
    of = "Step4"  # the exercise, or a list of them; "any" is any
    name = "positions on values"  # what the answer calls it
    hint = "What should a value carry?"  # where to look
    stronger = "Two of the three get positions."  # what to think about, still not the code
    edits = [["TransformerEncoderLayer.forward", "value=tokens", "value=query"]]

An edit makes the mistake in the package's own source: a definition, what stands there exactly once,
and what stands there when the mistake is made. In place of `edits` there may be

    sign = "dropout acts in training mode"  # a property among the observations that tells it
    always = true  # the sign does so even where something else shows first
    error = "^KeyError"  # an error whose type and text match this pattern

A mistake without any of them is recognised by code, in `general`.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

ANY = "any"


class Edit(NamedTuple):
    """A change of a definition's source.

    Args:
        definition: as "Step4.encode".
        old: what stands there exactly once.
        new: what is to stand there.
    """

    definition: str
    old: str
    new: str


@dataclass(frozen=True)
class Mistake:
    """A mistake that learners make; see above for what its parts are."""

    name: str
    hint: str
    stronger: str
    edits: tuple[Edit, ...] = ()
    sign: str | None = None
    always: bool = False
    error: str | None = None


def load_mistakes() -> dict[str, tuple[Mistake, ...]]:
    """The mistakes of each exercise, in the order of the files."""
    found: dict[str, list[Mistake]] = {}
    for file in sorted(files(__name__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            for parts in tomllib.loads(file.read_text(encoding="utf-8"))["mistake"]:
                of = parts.pop("of")
                edits = tuple(Edit(*edit) for edit in parts.pop("edits", ()))
                for exercise in [of] if isinstance(of, str) else of:
                    found.setdefault(exercise, []).append(Mistake(**parts, edits=edits))
    return {exercise: tuple(mistakes) for exercise, mistakes in found.items()}


MISTAKES = load_mistakes()


def named(name: str, exercise: str = ANY) -> Mistake:
    """The first mistake of this name."""
    return next(mistake for mistake in MISTAKES[exercise] if mistake.name == name)
