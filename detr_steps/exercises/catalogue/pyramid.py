"""Steps 0 and 1: the pyramid, and one map of it."""

import warnings

import torch
from torch import Tensor

from ...step0_resnet_fpn import FPN, ResNetFPN, Step0
from ...step1_single_feature_map import Step1
from ..observing import Probe
from ..tasks import Task
from .common import FORWARD, MODES, images, is_refused, make_arguments, probe_defaults, random

SILENT = "it is built without a warning"
IMAGES_REFUSED = "images that are no floats [B, 3, H, W] are refused"


def levels(*sizes: tuple[int, int]) -> list[Tensor]:
    """Maps of 8, 12 and 16 channels, the finest first."""
    return [random(2, 8 + 4 * i, *size, seed=i) for i, size in enumerate(sizes)]


def even() -> tuple[list[Tensor]]:
    """Each level half as large as the one before."""
    return (levels((16, 24), (8, 12), (4, 6)),)


def odd() -> tuple[list[Tensor]]:
    """Each level half as large as the one before, rounded up."""
    return (levels((13, 17), (7, 9), (4, 5)),)


def built_silently(build) -> dict:
    """Whether construction warns of nothing, with torchvision's `pretrained` left alone."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with torch.device("meta"):  # without numbers, which would take time
            build()
    return {SILENT: not caught}


def refuses_images(model) -> dict:
    """Whether bytes, and an image without a batch axis, end in an error that names `images`."""
    wrong = torch.zeros(2, 3, 64, 64, dtype=torch.uint8), torch.zeros(3, 64, 64)
    return {IMAGES_REFUSED: all(is_refused(model, bad) for bad in wrong)}


def width(model) -> int:
    """What later steps read."""
    return model.emb_dim


TASKS = (
    Task(
        FPN,
        (
            Probe("three maps, each half as large as the one before", inputs=even, gradients=True),
            Probe("three maps with an odd number of rows", inputs=odd),
            probe_defaults(emb_dim=256),
        ),
        lambda: {"in_channels": {3: 8, 4: 12, 5: 16}, "emb_dim": 20},
        paired=40,
    ),
    Task(
        ResNetFPN,
        (
            Probe("two images 96x160", inputs=images),
            Probe("building it with a backbone's name", built_silently, of_class=True),
            probe_defaults(emb_dim=256),
        ),
        lambda: {"backbone": "resnet18", "emb_dim": 24},
    ),
    Task(
        Step0,
        (Probe("two images 96x160", inputs=images), Probe("images that are wrong", refuses_images)),
        make_arguments(1),
    ),
    Task(
        Step1,
        (
            FORWARD,
            Probe("its width", width),
            MODES,
            Probe("images that are wrong", refuses_images),
            probe_defaults(emb_dim=256),
        ),
        make_arguments(1),
    ),
)
