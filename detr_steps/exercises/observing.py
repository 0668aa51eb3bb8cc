"""What a class or function does, as a flat table of observations that can be compared.

An observation is keyed by (probe, path): probe -1 is the construction. Paths look like
`['aux_outputs'][0]['bbox_pred']`, "gradient of queries", or a property in words.
"""

import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .limited import TimeUp
from .transfer import match_parameters

Key = tuple[int, str]
Observations = dict[Key, Any]
CONSTRUCTION = -1
RENAMED = "some parameters have other names"
HIDDEN = "some layers are in a plain list or dict"
PACKAGE = str(Path(__file__).parents[1])
UNCHANGED = "the inputs are left as they were"


@dataclass(frozen=True)
class Probe:
    """Something that is tried.

    Args:
        tried: what, in words.
        run: gets the model (or the function, or with `of_class` a function that builds the model)
            and the inputs; what it returns is observed.
        inputs: makes the inputs.
        gradients: whether the gradients of parameters and inputs are observed, too.
        of_class: whether `run` builds the model itself.
        border: whether this is a border case, in which the same mistake may show in several ways.
    """

    tried: str
    run: Callable = lambda thing, *inputs: thing(*inputs)
    inputs: Callable[[], tuple] = tuple
    gradients: bool = False
    of_class: bool = False
    border: bool = False


@dataclass(frozen=True)
class Raised:
    """An error; two are the same if their types are.

    Args:
        error: its type.
        text: its message.
        line: of the learner's code that led to it, if any did.
        own: whether the learner's code took part at all.
    """

    error: str
    text: str = ""
    line: str = ""
    own: bool = True

    def __eq__(self, other) -> bool:
        return isinstance(other, Raised) and self.error == other.error

    __hash__ = None


@dataclass(frozen=True)
class Kind:
    """What a container or an unknown object is."""

    name: str


def observe_error(error: BaseException) -> Raised:
    """An error and the last line of the learner's code that led to it."""
    if isinstance(error, TimeUp):
        raise error
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not is_library(frame.filename)]
    line = own[-1].line if own else ""
    return Raised(type(error).__name__, safely(str, error), line or "", bool(own))


def is_library(filename: str) -> bool:
    """Whether a file belongs to an installed library or to this package."""
    folders = (PACKAGE, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<frozen")
    return filename.startswith(folders)


def safely(function: Callable, *arguments) -> str:
    """What `function` returns, or the type of the first argument where it fails."""
    try:
        return function(*arguments)
    except Exception:
        return type(arguments[0]).__name__


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Nested dicts, lists and tuples -> (path, leaf), containers first."""
    if isinstance(value, Mapping):
        yield path, Kind("dict")
        for key, item in value.items():
            yield from flatten(item, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        yield path, Kind(f"list of {len(value)}")
        for i, item in enumerate(value):
            yield from flatten(item, f"{path}[{i}]")
    elif value is None or isinstance(value, (Tensor, bool, int, float, str, Raised)):
        yield path, value
    else:
        yield path, Kind(type(value).__name__)


def same(left: Any, right: Any) -> bool:
    """Whether two leaves are equal; tensors up to a thousandth of the largest number."""
    if not isinstance(left, Tensor) or not isinstance(right, Tensor):
        return type(left) is type(right) and left == right
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if not left.is_floating_point():
        return torch.equal(left, right)
    left, right = left.detach(), right.detach()
    finite = torch.cat([t.nan_to_num(posinf=0, neginf=0).flatten() for t in (left, right)])
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(left, right, rtol=0, atol=1e-3 * scale + 1e-7, equal_nan=True)


def observe(
    thing: Callable,
    probes: tuple[Probe, ...],
    arguments: Callable[[], dict] | None = None,
    reference: nn.Module | None = None,
    by_name: bool = True,
) -> Observations:
    """All that the probes show of a function, or of a class that is built with `arguments`.

    Args:
        thing: the function or class.
        probes: what to try.
        arguments: makes the constructor's arguments; None for a function.
        reference: the model whose parameters are copied into the one that is built.
        by_name: how parameters of other names are matched; see `match_parameters`.
    """
    seen: Observations = {}
    parameters: dict[str, nn.Parameter] = {}

    def build(**changes):
        torch.manual_seed(0)
        return thing(**arguments() | changes)

    if arguments is not None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = build()
        except BaseException as error:
            return {(CONSTRUCTION, ""): observe_error(error)}
        if not isinstance(model, nn.Module):
            return {(CONSTRUCTION, ""): Kind(type(model).__name__)}
        seen[CONSTRUCTION, ""] = Kind("nn.Module")
        match = match_parameters(reference, model, by_name)
        seen[CONSTRUCTION, "parameters missing"] = shapes_of(reference, match.missing)
        seen[CONSTRUCTION, "parameters added"] = shapes_of(model, match.added)
        parameters = {name: model.get_parameter(own) for name, own in match.pairs.items()}
        if any(name != own for name, own in match.pairs.items()):
            seen[CONSTRUCTION, RENAMED] = True
        if has_hidden_layers(model):
            seen[CONSTRUCTION, HIDDEN] = True

    for i, probe in enumerate(probes):
        if probe.of_class:
            subject = build
        elif arguments is not None:
            match.copy(reference, model)
            subject = model.eval()
        else:
            subject = thing
        for path, leaf in look(probe, subject, parameters):
            seen[i, path] = leaf
    return seen


def look(probe: Probe, subject: Callable, parameters: Mapping) -> Iterator[tuple[str, Any]]:
    """What one probe shows."""
    torch.manual_seed(0)
    inputs = probe.inputs()
    before = deepcopy(inputs)
    try:
        value = probe.run(subject, *inputs)
    except BaseException as error:
        yield "", observe_error(error)
        return
    leaves = list(flatten(value))
    yield from (
        (path, leaf.detach() if isinstance(leaf, Tensor) else leaf) for path, leaf in leaves
    )
    left, right = dict(flatten(before)), dict(flatten(inputs))
    yield UNCHANGED, all(same(left[path], right[path]) for path in left)
    if probe.gradients:
        given = {f"input {path}": leaf for path, leaf in flatten(inputs) if is_trained(leaf)}
        try:
            yield from gradients([leaf for _, leaf in leaves], {**given, **parameters})
        except Exception as error:
            yield "gradients", observe_error(error)


def is_trained(leaf: Any) -> bool:
    """Whether a leaf is a tensor with a gradient."""
    return isinstance(leaf, Tensor) and leaf.requires_grad


def gradients(results: list, of: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The gradients of a fixed random sum of all results; zeros where nothing arrives."""
    generator = torch.Generator().manual_seed(0)
    trained = [leaf for leaf in results if is_trained(leaf)]
    total = sum((leaf * torch.randn(leaf.shape, generator=generator)).sum() for leaf in trained)
    of = {name: tensor for name, tensor in of.items() if tensor.requires_grad}
    found = (
        torch.autograd.grad(total, list(of.values()), allow_unused=True)
        if trained
        else [None] * len(of)
    )
    for (name, tensor), gradient in zip(of.items(), found, strict=True):
        yield f"gradient of {name}", torch.zeros_like(tensor) if gradient is None else gradient


def has_hidden_layers(model: nn.Module) -> bool:
    """Whether a list or dict keeps layers where PyTorch does not find them."""
    return any(
        isinstance(item, nn.Module)
        for module in model.modules()
        for name, value in vars(module).items()
        if type(value) in (list, dict) and not name.startswith("_")
        for item in (value.values() if isinstance(value, dict) else value)
    )


def shapes_of(model: nn.Module, names: list[str]) -> str:
    """The shapes of parameters, in words that do not depend on their names."""
    shapes = sorted(str(list(model.get_parameter(name).shape)) for name in names)
    return ", ".join(shapes) or "none"
