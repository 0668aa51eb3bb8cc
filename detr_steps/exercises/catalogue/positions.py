"""Step 3: positions."""

import torch

from ...step3_positional_encoding import PositionEmbedding2D, Step3
from ..observing import Probe
from ..tasks import Task
from .common import (
    FORWARD,
    MASKLESS,
    MODES,
    NO_DROPOUT,
    PADDED,
    START,
    UNPADDED,
    make_arguments,
    probe_defaults,
    random,
)


def maps():
    """A map of 6 rows and 9 columns."""
    return (random(2, 5, 6, 9),)


def padded_maps():
    """The first map has a padded row, the second one two and three padded columns."""
    mask = torch.zeros(2, 6, 9, dtype=torch.bool)
    mask[0, 5:] = mask[1, 4:] = mask[1, :, 6:] = True
    return (*maps(), mask)


def two_sizes():
    """A map of 4 rows and 3 columns for one image, and the others."""
    return random(1, 5, 4, 3), *maps()


def two_runs(model, *features):
    """The results, one after the other."""
    return [model(some) for some in features]


TASKS = (
    Task(
        PositionEmbedding2D,
        (
            Probe("a map of 6 rows and 9 columns", inputs=maps),
            Probe("two such maps with padding", inputs=padded_maps),
            Probe("a map with a gradient", inputs=lambda: (maps()[0].requires_grad_(),)),
            Probe("a smaller map, and the first one again", two_runs, two_sizes),
            probe_defaults(emb_dim=256, temperature=10000),
        ),
        lambda: {"emb_dim": 16, "temperature": 50.0},
        paired=40,
    ),
    Task(
        Step3,
        (
            FORWARD,
            PADDED,
            UNPADDED,
            MASKLESS,
            NO_DROPOUT,
            MODES,
            START,
            probe_defaults(temperature=10000),
        ),
        make_arguments(3),
    ),
)
