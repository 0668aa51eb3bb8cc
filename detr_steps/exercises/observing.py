"""What a class or function does, as a flat table of observations that can be compared.

An observation is keyed by (probe, path): probe -1 is the construction. Paths look like
`['aux_outputs'][0]['bbox_pred']`, "gradient of queries", or a property in words.
"""

import math
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from .limited import TimeUp
from .transfer import Match

Matcher = Callable[[nn.Module, nn.Module], Match]  # of a reference and a model
Key = tuple[int, str]
Observations = dict[Key, Any]
CONSTRUCTION = -1
OWN_NAMES = "parameters have names of their own"
SHARED = "some list holds the same layer several times"
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
        remark: whether a difference is worth a remark alone; the answer may pass all the same.
    """

    tried: str
    run: Callable = lambda thing, *inputs: thing(*inputs)
    inputs: Callable[[], tuple] = tuple
    gradients: bool = False
    of_class: bool = False
    border: bool = False
    remark: bool = False


@dataclass(frozen=True)
class About:
    """A number that depends on chance; two are the same if they are close.

    Args:
        value: the number.
        tolerance: relative to the larger of two numbers.
    """

    value: float
    tolerance: float

    def __eq__(self, other) -> bool:
        if not isinstance(other, About):
            return False
        return abs(self.value - other.value) <= self.tolerance * max(self.value, other.value)

    __hash__ = None

    def __str__(self) -> str:
        return f"about {self.value:.2g}"


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
class TypeName:
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
        yield path, TypeName("dict")
        for key, item in value.items():
            yield from flatten(item, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        yield path, TypeName(f"list of {len(value)}")
        for i, item in enumerate(value):
            yield from flatten(item, f"{path}[{i}]")
    elif value is None or isinstance(value, (Tensor, bool, int, float, str, Raised, About)):
        yield path, value
    else:
        yield path, TypeName(type(value).__name__)


def same(left: Any, right: Any) -> bool:
    """Whether two leaves are equal; numbers up to a thousandth, of a tensor's largest one."""
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-3, abs_tol=1e-7)
    if not isinstance(left, Tensor) or not isinstance(right, Tensor):
        return type(left) is type(right) and left == right
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if not left.is_floating_point():
        return torch.equal(left, right)
    if torch.equal(left, right):
        return True  # most are: this spares them the work below
    left, right = left.detach(), right.detach()
    finite = torch.cat([t.nan_to_num(posinf=0, neginf=0).flatten() for t in (left, right)])
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(left, right, rtol=0, atol=1e-3 * scale + 1e-7, equal_nan=True)


def observe_function(function: Callable, probes: Mapping[int, Probe]) -> Observations:
    """All that probes, by number, show of a function."""
    return observe_probes(probes, lambda probe: function, {})


def observe_class(
    cls: type,
    probes: Mapping[int, Probe],
    arguments: Callable[[], dict],
    reference: nn.Module,
    matcher: Matcher,
) -> Observations:
    """All that the probes show of a class of modules.

    Args:
        cls: the class.
        probes: what to try, by number.
        arguments: makes the constructor's arguments.
        reference: the model whose parameters are copied into the one that is built.
        matcher: finds out which of its parameters are which of the reference's.
    """
    build = partial(build_seeded, cls, arguments)
    model = try_to_build(build)
    if not isinstance(model, nn.Module):
        return {(CONSTRUCTION, ""): model}
    match = matcher(reference, model)

    def prepare(probe: Probe) -> Callable:
        if probe.of_class:
            return build
        match.copy(reference, model)
        return model.eval()

    translate = partial(match.translate, reference=reference)
    construction = observe_construction(model, reference, match)
    return construction | observe_probes(probes, prepare, dict(model.named_parameters()), translate)


def build_seeded(cls: type, arguments: Callable[[], dict], **changes) -> Any:
    """A model whose random numbers are always the same; `changes` are other arguments."""
    torch.default_generator.manual_seed(0)
    return cls(**arguments() | changes)


def try_to_build(build: Callable) -> Any:
    """A model, or what came in place of one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = build()
        if isinstance(model, nn.Module):
            model.eval()  # fails where Module.__init__ was not called, or it holds itself
    except BaseException as error:
        return observe_error(error)
    return model if isinstance(model, nn.Module) else TypeName(type(model).__name__)


def observe_construction(model: nn.Module, reference: nn.Module, match: Match) -> Observations:
    """How a model's parameters compare with the reference's."""
    seen: Observations = {
        (CONSTRUCTION, ""): TypeName("nn.Module"),
        (CONSTRUCTION, "parameters missing"): shapes_of(reference, match.missing),
        (CONSTRUCTION, "parameters added"): shapes_of(model, match.added),
    }
    if any(left != right for left, right in match.pairs) or match.missing or match.added:
        seen[CONSTRUCTION, OWN_NAMES] = True
    if has_shared_layers(model):
        seen[CONSTRUCTION, SHARED] = True
    if has_hidden_layers(model):
        seen[CONSTRUCTION, HIDDEN] = True
    return seen


def observe_probes(
    probes: Mapping[int, Probe],
    prepare: Callable[[Probe], Callable],
    parameters: Mapping[str, Tensor],
    translate: Callable[[Mapping], Mapping] = dict,
) -> Observations:
    """What each probe shows of what `prepare` makes ready for it.

    Args:
        probes: what to try, by number.
        prepare: gives the model or function for a probe.
        parameters: of the model, by name.
        translate: turns their gradients into those that are observed.
    """
    return {
        (i, path): leaf
        for i, probe in probes.items()
        for path, leaf in observe_probe(probe, prepare(probe), parameters, translate)
    }


def observe_probe(
    probe: Probe,
    subject: Callable,
    parameters: Mapping[str, Tensor],
    translate: Callable[[Mapping], Mapping],
) -> Iterator[tuple[str, Any]]:
    """What one probe shows."""
    torch.default_generator.manual_seed(0)
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
            found = gradients(dict(leaves), given | parameters)
            ours = {name: found[name] for name in parameters if name in found}
            inputs_alone = {name: found[name] for name in given}
            for name, gradient in (inputs_alone | translate(ours)).items():
                yield f"gradient of {name}", gradient
        except Exception as error:
            yield "gradients", observe_error(error)


def is_trained(leaf: Any) -> bool:
    """Whether a leaf is a tensor with a gradient."""
    return isinstance(leaf, Tensor) and leaf.requires_grad


def gradients(results: Mapping[str, Any], of: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradients of a fixed random sum of all results by name; zeros where nothing arrives."""
    trained = {path: leaf for path, leaf in results.items() if is_trained(leaf)}
    total = sum((leaf * random_like(leaf, path)).sum() for path, leaf in trained.items())
    of = {name: tensor for name, tensor in of.items() if tensor.requires_grad}
    found = [None] * len(of)
    if trained:
        found = torch.autograd.grad(total, list(of.values()), allow_unused=True)
    return {
        name: torch.zeros_like(tensor) if gradient is None else gradient
        for (name, tensor), gradient in zip(of.items(), found, strict=True)
    }


def random_like(leaf: Tensor, name: str) -> Tensor:
    """Random numbers of a leaf's shape that depend on its name, not on when it comes."""
    generator = torch.Generator().manual_seed(crc32(name.encode()))
    return torch.randn(leaf.shape, generator=generator)


def has_shared_layers(model: nn.Module) -> bool:
    """Whether a list or dict of modules holds one of them several times."""
    containers = (m for m in model.modules() if isinstance(m, (nn.ModuleList, nn.ModuleDict)))
    return any(len(set(m._modules.values())) < len(m._modules) for m in containers)


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
