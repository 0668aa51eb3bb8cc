"""What the probes of several steps share."""

import inspect
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...training.small import SmallResNet
from ..observing import About, Probe, flatten, same

SIZES = {
    1: {"emb_dim": 24},
    2: {"num_classes": 5, "num_queries": 7},
    3: {"temperature": 50.0},
    4: {"nhead": 2, "enc_layers": 2, "dim_feedforward": 20, "dropout": 0.1},
    5: {"dec_layers": 3},
}
DROPPED = "how many numbers go through dropout"
SPREAD = "how much results vary in training mode"
MODES_KEPT = "the model stays in training mode"
STRUCTURE = "the results in training mode"
SAME_IN_TRAINING = "the same twice in training mode"
NO_MASK = "no mask in the result where none was given"
APART = "no two object queries start alike"
SAME_IN_EVALUATION = "the same twice in evaluation mode"
DROPS_IN_TRAINING = "dropout acts in training mode"


def arguments(step: int) -> dict:
    """Sizes that are quick to run, and differ, so that no axis is taken for another."""
    sizes = {key: value for n, added in SIZES.items() if n <= step for key, value in added.items()}
    return {"backbone": deepcopy(backbone()), **sizes}


@cache
def backbone() -> SmallResNet:
    """The smallest ResNet that goes from 96x160 pixels to 6x10 cells; always the same one."""
    with torch.random.fork_rng(devices=[]):  # whoever asks first
        torch.manual_seed(0)
        return SmallResNet((8, 8, 16, 16))


def make_arguments(step: int) -> partial:
    """`arguments` of a step, as a function to be called."""
    return partial(arguments, step)


MEANT = (TypeError, ValueError, AssertionError)  # errors that one raises on purpose


def is_refused(work: Callable, *given, kinds: tuple = MEANT) -> bool:
    """Whether `work(*given)` ends in an error of these kinds, in whatever words."""
    try:
        work(*given)
    except Exception as error:
        return isinstance(error, kinds)
    return False


def random(*shape: int, seed: int = 0) -> Tensor:
    """Numbers in 0..1, the same at every call."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def images() -> tuple[Tensor]:
    """Two images that are wider than high."""
    return (random(2, 3, 96, 160),)


def padded_images() -> tuple[Tensor, Tensor]:
    """The first image is padded at the bottom, the second one at the right as well.

    Padding begins inside of cells of 8 pixels: the nearest pixel says another thing than most do.
    """
    mask = torch.zeros(2, 96, 160, dtype=torch.bool)
    mask[0, 66:] = mask[1, 50:] = mask[1, :, 98:] = True
    return (*images(), mask)


def train_alone(model: nn.Module, frozen: tuple[str, ...]) -> None:
    """Training mode, but for the parts of earlier steps."""
    model.train()
    for name in frozen:
        model.get_submodule(name).eval()


def run_twice(
    model: nn.Module, *inputs, frozen: tuple[str, ...] = ("backbone",)
) -> dict[str, bool]:
    """Whether dropout acts, and only in training; modules in `frozen` stay in evaluation mode."""

    def alike() -> bool:
        with torch.no_grad():
            left, right = (model(*inputs) for _ in range(2))
        return all(torch.equal(left[key], right[key]) for key in ("mem", "class_logits"))

    evaluation = alike()
    train_alone(model, frozen)
    return {SAME_IN_EVALUATION: evaluation, DROPS_IN_TRAINING: not alike()}


def train_twice(model: nn.Module, *inputs) -> dict[str, bool]:
    """Whether training mode gives the same twice, where there is no dropout."""
    train_alone(model, ("backbone",))
    with torch.no_grad():
        left, right = (dict(flatten(model(*inputs))) for _ in range(2))
    return {SAME_IN_TRAINING: all(same(left[path], right[path]) for path in left)}


def vary(
    model: nn.Module, *inputs, frozen: tuple[str, ...] = ("backbone",), key: str = "mem"
) -> dict[str, Any]:
    """What dropout does: how many numbers go through it, and how much a result varies.

    The inputs are many copies of one image.
    """
    train_alone(model, frozen)
    with torch.no_grad(), CountedDropout() as dropout:
        values = model(*inputs)[key]
    dropped = [f"{number} with probability {p:g}" for p, number in sorted(dropout.counts.items())]
    return {DROPPED: ", ".join(dropped), SPREAD: About(float(values.std(0).mean()), 0.025)}


class CountedDropout(TorchFunctionMode):
    """Counts the numbers that go through dropout while it is entered, by its probability."""

    def __init__(self):
        super().__init__()
        self.counts: Counter = Counter()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Runs a function of tensors, and notes what it drops."""
        kwargs = kwargs or {}
        if function in DROPPING:
            probability, number = DROPPING[function](*args, **kwargs)
            self.counts.update({probability: number} if probability else {})
        return function(*args, **kwargs)


def in_dropout(input, p=0.5, training=True, *_, **__) -> tuple[float, int]:
    """The probability of `F.dropout`, and how many numbers go through it."""
    return training and p, input.numel()


def in_attention(query, key, value, attn_mask=None, dropout_p=0.0, *_, **__) -> tuple[float, int]:
    """The same of `F.scaled_dot_product_attention`."""
    return dropout_p, query[..., 0].numel() * key.shape[-2]


def in_multi_head_attention(*args, **kwargs) -> tuple[float, int]:
    """The same of `F.multi_head_attention_forward`, whose queries and keys are [N, B, D]."""
    given = inspect.signature(F.multi_head_attention_forward).bind(*args, **kwargs)
    given.apply_defaults()
    query, key, heads, probability, training = (
        given.arguments[name] for name in ("query", "key", "num_heads", "dropout_p", "training")
    )
    return training and probability, query[..., 0].numel() * heads * len(key)


DROPPING = {
    F.dropout: in_dropout,
    F.scaled_dot_product_attention: in_attention,
    F.multi_head_attention_forward: in_multi_head_attention,
}


def many_copies() -> tuple[Tensor]:
    """The same small image 512 times."""
    return (random(1, 3, 48, 48).expand(512, -1, -1, -1),)


def train_shapes(model: nn.Module, *inputs) -> dict[str, dict]:
    """What comes out in training mode: the shape of every result."""
    train_alone(model, ("backbone",))
    with torch.no_grad():
        leaves = flatten(model(*inputs))
    return {STRUCTURE: {path: str(getattr(leaf, "shape", leaf)) for path, leaf in leaves}}


def start_apart(build: Callable) -> dict[str, bool]:
    """Whether each object query gives answers of its own before any training."""
    with torch.no_grad():
        results = build().eval()(*images())
    numbers = [results["class_logits"][0], results.get("query_pos")]
    return {APART: all(len(x.unique(dim=0)) == len(x) for x in numbers if x is not None)}


def defaults(build: Callable, expected: dict[str, float]) -> dict[str, Any]:
    """The defaults of a constructor's arguments; one that it does not name counts as expected."""
    known = inspect.signature(build.args[0].__init__).parameters
    found = expected | {name: known[name].default for name in expected if name in known}
    return {
        f"default of {name}": float(value) if isinstance(value, int | float) else str(value)
        for name, value in found.items()
    }


def keeps_modes(model: nn.Module, *inputs, method: str = "forward") -> dict[str, bool]:
    """Whether all parts that were in training mode still are after a method has run."""
    model = deepcopy(model).train()  # batch norms change in training mode
    with torch.no_grad():
        getattr(model, method)(*inputs)
    return {MODES_KEPT: all(module.training for module in model.modules())}


def alone(run: Callable, weights: tuple[str, ...], weight: str) -> Callable:
    """A probe's `run` of a model that is built with one of its weights 1 and the others 0."""
    values = {**dict.fromkeys(weights, 0.0), weight: 1.0}
    return lambda build, *inputs: run(build(**values), *inputs)


def without_mask(model: nn.Module, *inputs) -> dict[str, bool]:
    """Whether later steps can ask for the mask by its key."""
    return {NO_MASK: "padding_mask" not in model(*inputs)}


def probe_defaults(**expected: float) -> Probe:
    """A probe of the defaults of these arguments."""
    return Probe("its default arguments", partial(defaults, expected=expected), of_class=True)


FORWARD = Probe("two images 96x160", inputs=images, gradients=True)
PADDED = Probe("two images with padding", inputs=padded_images)
TWICE = Probe("the same images twice, with and without dropout", run_twice, images)
NO_DROPOUT = Probe("the same images twice in training mode", train_twice, images)
VARY = Probe("512 copies of an image in training mode", vary, many_copies)
SHAPES = Probe("two images in training mode", train_shapes, images)
MODES = Probe("a run in training mode", keeps_modes, images)
UNPADDED = Probe(
    "two images with a mask that marks nothing",
    inputs=lambda: (*images(), torch.zeros(2, 96, 160, dtype=torch.bool)),
)
MASKLESS = Probe("two images without a mask", without_mask, images)
START = Probe("the object queries at the start", start_apart, of_class=True)
