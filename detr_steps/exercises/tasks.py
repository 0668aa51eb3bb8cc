"""What can be checked: a solution, the probes for it, and the mistakes that are known.

A mistake is an edit of the package's own source: the text that is replaced, and what stands there
when the mistake is made. Running the edited source shows what an attempt with this mistake does. So
there is no second copy of a solution, and an edit that no longer fits the source is an error.
"""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import torch
from torch import nn

from .observing import (
    CONSTRUCTION,
    Key,
    Observations,
    Probe,
    Raised,
    observe_class,
    observe_function,
    same,
)

Edit = tuple[str, str]
PARAMETERS = {(CONSTRUCTION, f"parameters {which}") for which in ("missing", "added")}


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
class Wrong:
    """A mistake that was made.

    Args:
        mistake: which one.
        found: what the probes show of the edited solution.
        differences: where that is not what is expected.
    """

    mistake: Mistake
    found: Observations
    differences: list[Key]


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
    def reference(self) -> nn.Module:
        """The model whose parameters a class gets: large random ones hide no mistake."""
        torch.default_generator.manual_seed(0)
        model = self.solution(**self.arguments())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if not name.startswith("backbone."):
                    parameter.add_(torch.randn_like(parameter), alpha=0.2)
        return model

    def observe(self, attempt: Callable, by_name: bool = True) -> Observations:
        """What the probes show of an attempt; `by_name` is about parameters of other names."""
        if self.arguments is None:
            return observe_function(attempt, self.probes)
        return observe_class(attempt, self.probes, self.arguments, self.reference, by_name)

    @cached_property
    def expected(self) -> Observations:
        """What they show of the solution."""
        return self.observe(self.solution)

    @cached_property
    def wrong(self) -> list[Wrong]:
        """Each mistake that is an edit, made."""
        made = []
        for mistake in self.mistakes:
            if mistake.edits:
                found = self.observe(edited(self.solution, mistake.edits))
                made.append(Wrong(mistake, found, self.differences(found)))
        return made

    def differences(self, found: Observations) -> list[Key]:
        """Where something else was found than expected."""
        return [key for key in self.expected if differ(found, self.expected, key)]

    def name_mistake(self, found: Observations, shown: Key | None = None) -> Mistake | None:
        """The mistake that explains what was found, if there is one.

        Args:
            found: what the probes show of an attempt.
            shown: the difference that the learner gets to see; the mistake must explain it.
        """
        differences = set(self.differences(found))
        by_sign = self.mistake_by_sign(differences & set(found), shown)
        if by_sign:
            return by_sign
        counts = [self.count_explained(wrong, found, differences, shown) for wrong in self.wrong]
        most = max(counts, default=0)
        return self.wrong[counts.index(most)].mistake if most else None

    def mistake_by_sign(self, differences: set[Key], shown: Key | None) -> Mistake | None:
        """The first mistake whose sign differs, where that is what is shown or it counts always."""
        paths = {path for _, path in differences}
        for mistake in self.mistakes:
            path = f"[{mistake.sign!r}]"
            if path in paths and (shown is None or shown[1] == path or mistake.always):
                return mistake
        return None

    def count_explained(
        self, wrong: Wrong, found: Observations, differences: set[Key], shown: Key | None
    ) -> int:
        """How many differences a mistake explains; 0 if it cannot be the one that was made.

        It must lead to the same observations wherever it changes any, border cases left out, and
        change what is shown. An attempt that raises an error elsewhere as well is not explained.
        Where parameters are missing or added, those alone decide, because the numbers are random.
        """
        changed = set(wrong.differences)
        if changed & PARAMETERS:
            needed = PARAMETERS
        else:
            needed = {key for key in changed if not self.is_border(key)} or changed
            raised = any(isinstance(found.get(key), Raised) for key in differences - changed)
            if raised or (shown is not None and shown not in changed):
                return 0
        if any(differ(found, wrong.found, key) for key in needed):
            return 0
        return sum(not differ(found, wrong.found, key) for key in changed)

    def is_border(self, key: Key) -> bool:
        """Whether an observation is of a border case."""
        return key[0] != CONSTRUCTION and self.probes[key[0]].border


def differ(left: Observations, right: Observations, key: Key) -> bool:
    """Whether two tables hold different things under a key."""
    if key not in left or key not in right:
        return (key in left) != (key in right)
    return not same(left[key], right[key])


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
