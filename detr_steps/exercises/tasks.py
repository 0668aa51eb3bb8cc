"""What can be checked: a solution, the probes for it, and the mistakes that are known.

A mistake is an edit of the package's own source: the text that is replaced, and what stands there
when the mistake is made. Running the edited source shows what an attempt with this mistake does. So
there is no second copy of a solution, and an edit that no longer fits the source is an error.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from .observing import (
    CONSTRUCTION,
    Key,
    Matcher,
    Observations,
    Probe,
    Raised,
    build_seeded,
    flatten,
    is_trained,
    observe_class,
    observe_function,
    same,
)
from .roles import match_roles
from .transfer import Match, match_parameters

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
        solution: the edited one.
        found: what the probes show of the edited solution.
        differences: where that is not what is expected.
    """

    mistake: Mistake
    solution: Callable
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

    def observe(self, attempt: Callable, matcher: Matcher = match_parameters) -> Observations:
        """What the probes show of an attempt; `matcher` says which of its parameters is which."""
        if self.arguments is None:
            return observe_function(attempt, self.probes)
        return observe_class(attempt, self.probes, self.arguments, self.reference, matcher)

    def run(self, model: nn.Module) -> dict[str, Tensor]:
        """What comes out of a model of double precision in the first probe, with a gradient."""
        probe = self.probes[0]
        leaves = flatten(probe.run(model.eval(), *map(as_double, probe.inputs())))
        return {path: leaf for path, leaf in leaves if is_trained(leaf)}

    def matchers(self) -> Iterator[Matcher]:
        """Ways to find out which parameter is which: by name, by what they do, and by order.

        The last ones know what they do in a model that makes a known mistake.
        """
        yield match_parameters
        yield partial(self.match_roles, self.solution)
        yield partial(match_parameters, by_name=False)
        for wrong in self.wrong:
            yield partial(self.match_roles, wrong.solution)

    def match_roles(self, solution: Callable, reference: nn.Module, model: nn.Module) -> Match:
        """A match by what the parameters do in a model of the solution, or of an edited one.

        Raises:
            LookupError: the model does not compute what that one does.
        """
        try:
            known = build_seeded(solution, self.arguments)
            names = match_parameters(reference, known)
            same = not names.missing and not names.added
            match = match_roles(known, model, self.run) if same else None
        except Exception as error:  # of a mistake, or of the learner
            raise LookupError from error
        if match is None:
            raise LookupError
        return match

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
                solution = edited(self.solution, mistake.edits)
                found = self.observe(solution)
                made.append(Wrong(mistake, solution, found, self.differences(found)))
        return made

    def differences(self, found: Observations) -> list[Key]:
        """Where something else was found than expected, remarks left out."""
        keys = (key for key in self.expected if not self.is_remark(key))
        return [key for key in keys if differ(found, self.expected, key)]

    def remarks(self, found: Observations) -> list[Mistake]:
        """What is to be said of an answer although it is right."""
        keys = (key for key in self.expected if self.is_remark(key))
        paths = {path for key in keys if differ(found, self.expected, key) for path in key[1:]}
        return [one for one in self.mistakes if one.sign and f"[{one.sign!r}]" in paths]

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

    def is_remark(self, key: Key) -> bool:
        """Whether an observation is worth a remark alone."""
        return key[0] != CONSTRUCTION and self.probes[key[0]].remark

    def is_border(self, key: Key) -> bool:
        """Whether an observation is of a border case."""
        return key[0] != CONSTRUCTION and self.probes[key[0]].border


def as_double(thing: Any) -> Any:
    """Inputs, of double precision."""
    if isinstance(thing, (list, tuple)):
        return type(thing)(map(as_double, thing))
    if isinstance(thing, Tensor) and thing.is_floating_point():
        return thing.double()
    return thing


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
    return getattr(load(solution, source), solution.__name__)


def load(solution: Callable, source: str) -> ModuleType:
    """The module of the solution, as it is with another source."""
    original = sys.modules[solution.__module__]
    module = ModuleType(original.__name__)
    module.__package__, module.__file__ = original.__package__, original.__file__
    exec(compile(source, f"<edited {solution.__name__}>", "exec"), module.__dict__)
    return module
