"""What can be checked: a solution, the probes for it, and the mistakes that are known.

A mistake is an edit of the package's own source: the text that is replaced, and what stands there
when the mistake is made. Running the edited source shows what an attempt with this mistake does. So
there is no second copy of a solution, and an edit that no longer fits the source is an error.
"""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import torch
from torch import nn

from .observing import CONSTRUCTION, Key, Observations, Probe, Raised, observe, same

Edit = tuple[str, str]


@dataclass(frozen=True)
class Mistake:
    """A mistake that learners make.

    Args:
        name: what the answer calls it.
        hint: where to look.
        stronger: what to think about, still not the code.
        edits: what makes the mistake out of the solution's module.
        sign: a property among the observations that tells this mistake by itself.
        always: whether it does so even where something else shows first.
    """

    name: str
    hint: str
    stronger: str
    edits: tuple[Edit, ...] = ()
    sign: str | None = None
    always: bool = False


@dataclass(frozen=True)
class Task:
    """Something that a learner can write.

    Args:
        solution: the package's class or function.
        probes: what is tried.
        mistakes: the known ones.
        arguments: makes the constructor's arguments; None for a function.
    """

    solution: Callable
    probes: tuple[Probe, ...]
    mistakes: tuple[Mistake, ...]
    arguments: Callable[[], dict] | None = None

    @property
    def name(self) -> str:
        """The solution's."""
        return self.solution.__name__

    @cached_property
    def reference(self) -> nn.Module | None:
        """The model whose parameters every attempt gets: large random ones hide no mistake."""
        if self.arguments is None:
            return None
        torch.manual_seed(0)
        model = self.solution(**self.arguments())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if not name.startswith("backbone."):
                    parameter.add_(torch.randn_like(parameter), alpha=0.2)
        return model

    def observe(self, attempt: Callable, by_name: bool = True) -> Observations:
        """What the probes show of an attempt; `by_name` is about parameters of other names."""
        return observe(attempt, self.probes, self.arguments, self.reference, by_name)

    @cached_property
    def expected(self) -> Observations:
        """What they show of the solution."""
        return self.observe(self.solution)

    @cached_property
    def wrong(self) -> list[tuple[Mistake, Observations]]:
        """What they show of each mistake that is an edit."""
        return [
            (mistake, self.observe(edited(self.solution, mistake.edits)))
            for mistake in self.mistakes
            if mistake.edits
        ]

    def differences(self, found: Observations) -> list[Key]:
        """Where something else was found than expected."""
        return [key for key in self.expected if differ(found, self.expected, key)]

    def name_mistake(self, found: Observations, told: Key | None = None) -> Mistake | None:
        """The mistake that explains what was found, if there is one.

        A property may tell it by itself, if it is the one that is `told`. Otherwise it must lead to
        the same observations wherever it changes any, and change what is `told`; that of several
        which changes the most is taken. Where parameters are missing or added, those alone may tell
        it, because the numbers then are random.
        """
        wrong = set(self.differences(found))
        seen = {path for _, path in wrong & set(found)}
        for mistake in self.mistakes:
            path = f"[{mistake.sign!r}]"
            if path in seen and (told is None or told[1] == path or mistake.always):
                return mistake
        parameters = [(CONSTRUCTION, f"parameters {what}") for what in ("missing", "added")]
        best, most = None, 0
        for mistake, observations in self.wrong:
            changed = self.differences(observations)
            alike = [key for key in changed if not differ(found, observations, key)]
            if any(key in changed for key in parameters):
                explains = not any(differ(found, observations, key) for key in parameters)
            else:
                needed = [key for key in changed if not self.is_border(key)] or changed
                explains = set(needed) <= set(alike) and raises_nowhere_else(found, wrong, changed)
                explains = explains and (told is None or told in changed)
            if explains and len(alike) > most:
                best, most = mistake, len(alike)
        return best

    def is_border(self, key: Key) -> bool:
        """Whether an observation is of a border case."""
        return key[0] != CONSTRUCTION and self.probes[key[0]].border


def raises_nowhere_else(found: Observations, wrong: set, changed: list) -> bool:
    """Whether an attempt does what it does beyond a mistake without an error.

    One that fails everywhere says nothing about a mistake that fails somewhere.
    """
    return not any(is_error(found.get(key)) for key in wrong.difference(changed))


def is_error(leaf: Any) -> bool:
    """Whether an observation is an error."""
    return isinstance(leaf, Raised)


def differ(left: Observations, right: Observations, key: Key) -> bool:
    """Whether two tables hold different things under a key."""
    if key not in left or key not in right:
        return (key in left) != (key in right)
    return not same(left[key], right[key])


@cache
def edited(solution: Callable, edits: tuple[Edit, ...]) -> Callable:
    """The solution as it is after edits of its module's source.

    Raises:
        ValueError: the text to be replaced does not stand in the source exactly once.
    """
    original = sys.modules[solution.__module__]
    source = inspect.getsource(original)
    for old, new in edits:
        if source.count(old) != 1:
            raise ValueError(
                f"expected once in {original.__name__}, found {source.count(old)}: {old}"
            )
        source = source.replace(old, new)
    module = ModuleType(original.__name__)
    module.__package__, module.__file__ = original.__package__, original.__file__
    exec(compile(source, f"<edited {solution.__name__}>", "exec"), module.__dict__)
    return getattr(module, solution.__name__)
