"""What can be checked: a solution, and the probes for it."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from .editing import edited
from .limited import TimeUp
from .mistakes import MISTAKES, Mistake
from .observing import (
    CONSTRUCTION,
    Key,
    Matcher,
    Observations,
    Probe,
    build_seeded,
    flatten,
    is_trained,
    observe_class,
    observe_function,
    same,
)
from .roles import Results, agree, first_results, match_roles
from .transfer import Match, match_in_order, match_parameters


@dataclass(frozen=True)
class Task:
    """Something that a learner can write.

    Args:
        solution: the package's class or function.
        probes: what is tried.
        arguments: makes the constructor's arguments; None for a function.
        parts: what adds something to a result, in words -> which parameters silence it, a pattern.
        variants: other cases, in words -> the constructor's arguments that make them.
        silent: the reference's parameters that are zero, a pattern; "" is none.
        paired: how many known mistakes are tried two at a time.
    """

    solution: Callable
    probes: tuple[Probe, ...]
    arguments: Callable[[], dict] | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, dict] = field(default_factory=dict)
    silent: str = ""
    paired: int = 12

    @property
    def name(self) -> str:
        """The solution's."""
        return self.solution.__name__

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        """The known ones."""
        return MISTAKES[self.name]

    @cached_property
    def reference(self) -> nn.Module:
        """The model whose parameters a class gets: large random ones hide no mistake."""
        torch.default_generator.manual_seed(0)
        model = self.solution(**self.arguments())
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if not name.startswith("backbone."):
                    parameter.add_(torch.randn_like(parameter), alpha=0.2)
                if self.silent and re.search(self.silent, name):
                    parameter.zero_()
        return model

    @cached_property
    def views(self) -> dict[str, "Task"]:
        """The task where a part adds nothing, or in another case, by words: one small probe."""
        probes = (replace(self.probes[0], gradients=False),)
        view = partial(replace, self, probes=probes, parts={}, variants={})
        arguments = {
            words: partial(change, self.arguments, some) for words, some in self.variants.items()
        }
        return {words: view(arguments=made) for words, made in arguments.items()} | {
            f"where {words} adds nothing": view(silent=some) for words, some in self.parts.items()
        }

    def observe(
        self,
        attempt: Callable,
        matcher: Matcher = match_parameters,
        only: Collection[int] | None = None,
    ) -> Observations:
        """What the probes show of an attempt.

        Args:
            attempt: a class or function.
            matcher: says which of its parameters is which of the reference's.
            only: the numbers of the probes to be tried; None for all.
        """
        probes = {i: one for i, one in enumerate(self.probes) if only is None or i in only}
        if self.arguments is None:
            return observe_function(attempt, probes)
        return observe_class(attempt, probes, self.arguments, self.reference, matcher)

    def numbers(self, model: nn.Module) -> Results:
        """The numbers that come out of a model of double precision in the first probe."""
        probe = self.probes[0]
        leaves = flatten(probe.run(model.eval(), *map(as_double, probe.inputs())))
        return {path: leaf for path, leaf in leaves if isinstance(leaf, Tensor)}

    def run(self, model: nn.Module) -> Results:
        """Those of them that have a gradient."""
        return {path: leaf for path, leaf in self.numbers(model).items() if is_trained(leaf)}

    def matchers(self) -> Iterator[Matcher]:
        """Ways to find out which parameter is which: by name, by what they do, and by order."""
        yield match_parameters
        if self.arguments is not None:
            yield partial(self.match_roles, self.solution)
            yield match_in_order

    def first_results(self, attempt: Callable) -> list[Results | None]:
        """What an attempt gives whatever part each parameter plays; [] if that cannot be told."""
        try:
            model = build_seeded(attempt, self.arguments)
            return first_results(self.reference, model, self.numbers)
        except TimeUp:
            raise
        except BaseException:  # a learner's, also an exit
            return []

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
    def wrong(self) -> list["Wrong"]:
        """Each mistake that is an edit, made."""
        return [Wrong(self, mistake) for mistake in self.mistakes if mistake.edits]

    def differences(self, found: Observations) -> list[Key]:
        """Where something else was found than expected, remarks left out."""
        keys = (key for key in self.expected if not self.is_remark(key))
        return [key for key in keys if differ(found, self.expected, key)]

    def remarks(self, found: Observations) -> list[Mistake]:
        """What is to be said of an answer although it is right."""
        keys = (key for key in self.expected if self.is_remark(key))
        paths = {path for key in keys if differ(found, self.expected, key) for path in key[1:]}
        return [one for one in self.mistakes if one.sign and f"[{one.sign!r}]" in paths]

    def is_border(self, key: Key) -> bool:
        """Whether an observation is of a border case."""
        return key[0] != CONSTRUCTION and self.probes[key[0]].border

    def is_remark(self, key: Key) -> bool:
        """Whether an observation is worth a remark alone."""
        return key[0] != CONSTRUCTION and self.probes[key[0]].remark


class Wrong:
    """A mistake that was made: the edited solution, and what is found of it when it is asked for.

    Args:
        task: in which.
        mistake: which one.
    """

    def __init__(self, task: Task, mistake: Mistake):
        self.task, self.mistake = task, mistake
        self.seen: dict[int, Observations] = {}
        self.changed: dict[int, list[Key]] = {}

    @cached_property
    def solution(self) -> Callable:
        """The edited solution.

        Raises:
            ValueError: an edit does not fit the source.
        """
        return edited(self.task.solution, self.mistake.edits)

    def shows(self, number: int) -> Observations:
        """What a probe shows of it, or its construction."""
        if number not in self.seen:
            only = () if number == CONSTRUCTION else (number,)
            for key, leaf in self.task.observe(self.solution, only=only).items():
                self.seen.setdefault(key[0], {})[key] = leaf
            self.seen.setdefault(number, {})
        return self.seen[number]

    @cached_property
    def first_results(self) -> list[Results | None]:
        """As `Task.first_results` says."""
        return self.task.first_results(self.solution)

    def may_be(self, results: list[Results | None]) -> bool:
        """Whether an attempt with these first results may make this mistake alone."""
        return any(agree(one, made) for one in results for made in self.first_results[:1])

    def changes(self, number: int) -> list[Key]:
        """Where a probe shows something else than expected, remarks left out."""
        if number not in self.changed:
            made, expected = self.shows(number), self.task.expected
            keys = [key for key in expected if key[0] == number and not self.task.is_remark(key)]
            self.changed[number] = [key for key in keys if differ(made, expected, key)]
        return self.changed[number]

    @cached_property
    def found(self) -> Observations:
        """What all probes show of it."""
        numbers = (CONSTRUCTION, *range(len(self.task.probes)))
        return {key: leaf for number in numbers for key, leaf in self.shows(number).items()}


def change(arguments: Callable[[], dict], changes: Mapping) -> dict:
    """Arguments of a constructor, some of them changed."""
    return {**arguments(), **changes}


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
