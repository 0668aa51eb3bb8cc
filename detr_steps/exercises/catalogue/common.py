"""What the probes of several steps share."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial

import torch
from torch import Tensor, nn

from ...training.small import SmallResNet
from ..observing import Probe
from ..tasks import Mistake

SIZES = {
    1: {"emb_dim": 24},
    2: {"num_classes": 5, "num_queries": 7},
    4: {"nhead": 2, "enc_layers": 2, "dim_feedforward": 20, "dropout": 0.1},
    5: {"dec_layers": 3},
}
SAME_IN_EVALUATION = "the same twice in evaluation mode"
DROPS_IN_TRAINING = "dropout acts in training mode"

DROPOUT_MISTAKES = (
    Mistake(
        "dropout in evaluation mode",
        "In evaluation mode two runs must give the same result.",
        "nn.Dropout follows train() and eval(). nn.functional.dropout must be given the mode.",
        sign=SAME_IN_EVALUATION,
        always=True,
    ),
    Mistake(
        "dropout left out",
        "The constructor gets `dropout`. In training mode it should make a difference.",
        "What do the layers that PyTorch ships do with this argument?",
        sign=DROPS_IN_TRAINING,
    ),
)


def arguments(step: int) -> dict:
    """Sizes that are quick to run, and differ, so that no axis is taken for another."""
    sizes = {key: value for n, added in SIZES.items() if n <= step for key, value in added.items()}
    return {"backbone": deepcopy(backbone()), **sizes}


@cache
def backbone() -> SmallResNet:
    """The smallest ResNet that goes from 96x160 pixels to 6x10 cells."""
    return SmallResNet((8, 8, 16, 16))


def make_arguments(step: int) -> partial:
    """`arguments` of a step, as a function to be called."""
    return partial(arguments, step)


def is_refused(argument: str, work: Callable, *given) -> bool:
    """Whether `work(*given)` ends in a TypeError or ValueError that names the argument."""
    try:
        work(*given)
    except Exception as error:
        return isinstance(error, (TypeError, ValueError)) and argument in str(error)
    return False


def random(*shape: int, seed: int = 0) -> Tensor:
    """Numbers in 0..1, the same at every call."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def images() -> tuple[Tensor]:
    """Two images that are wider than high."""
    return (random(2, 3, 96, 160),)


def padded_images() -> tuple[Tensor, Tensor]:
    """The first image is padded at the bottom, the second one at the right as well."""
    mask = torch.zeros(2, 96, 160, dtype=torch.bool)
    mask[0, 80:] = mask[1, 64:] = mask[1, :, 112:] = True
    return (*images(), mask)


def run_twice(
    model: nn.Module, *inputs, frozen: tuple[str, ...] = ("backbone",)
) -> dict[str, bool]:
    """Whether dropout acts, and only in training; modules in `frozen` stay in evaluation mode."""

    def alike() -> bool:
        with torch.no_grad():
            left, right = (model(*inputs) for _ in range(2))
        return all(torch.equal(left[key], right[key]) for key in ("mem", "class_logits"))

    evaluation = alike()
    model.train()
    for name in frozen:  # so that nothing but the dropout of this step makes a difference
        model.get_submodule(name).eval()
    return {SAME_IN_EVALUATION: evaluation, DROPS_IN_TRAINING: not alike()}


FORWARD = Probe("two images 96x160", inputs=images, gradients=True)
PADDED = Probe("two images with padding", inputs=padded_images)
TWICE = Probe("the same images twice, with and without dropout", run_twice, images)
