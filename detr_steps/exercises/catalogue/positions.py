"""Step 3: positions."""

import torch

from ...step3_positional_encoding import PositionEmbedding2D, Step3
from ..observing import Probe
from ..tasks import Mistake, Task
from .common import (
    FORWARD,
    MASKLESS,
    NO_DROPOUT,
    NO_MASK,
    PADDED,
    START,
    make_arguments,
    probe_defaults,
    random,
)

Y = "y = 2 * math.pi * y / (y[:, -1:, :] + 1e-6)"
X = "x = 2 * math.pi * x / (x[:, :, -1:] + 1e-6)"
COUNT = "y, x = inside.cumsum(1), inside.cumsum(2)"
WAVES = "waves = torch.stack((angles.sin(), angles.cos()), -1)"
EXPONENT = "(4 * k / self.emb_dim)"
DTYPE = "dtype = torch.promote_types(features.dtype, torch.float32)"
EMBEDDED = 'self.position_embedding(context["features"], padding_mask)'
QUERY_POS = "self.query_pos = nn.Parameter(torch.randn_like(self.queries))"


def maps():
    """A map of 6 rows and 9 columns."""
    return (random(2, 5, 6, 9),)


def padded_maps():
    """The second map has two padded rows and three padded columns."""
    mask = torch.zeros(2, 6, 9, dtype=torch.bool)
    mask[1, 4:] = mask[1, :, 6:] = True
    return (*maps(), mask)


EMBEDDING_MISTAKES = (
    Mistake(
        "x and y swapped",
        "Which coordinate does the first half of the channels encode?",
        "DETR puts y first.",
        (("torch.stack((y, x), -1)", "torch.stack((x, y), -1)"),),
    ),
    Mistake(
        "sine and cosine swapped",
        "What stands in channel 0, what in channel 1?",
        "Sine on even channels, cosine on odd ones.",
        ((WAVES, "waves = torch.stack((angles.cos(), angles.sin()), -1)"),),
    ),
    Mistake(
        "sines and cosines in halves",
        "What stands in channel 0, what in channel 1?",
        "Sine and cosine take turns; they do not come one block after the other.",
        ((WAVES, "waves = torch.cat((angles.sin(), angles.cos()), -1)"),),
    ),
    Mistake(
        "exponent runs to 2",
        "How many channels turn so slowly that they are flat?",
        "The exponent of the temperature runs from 0 to 1 over the channels of one coordinate.",
        ((EXPONENT, "(8 * k / self.emb_dim)"),),
    ),
    Mistake(
        "exponent runs to 1/2",
        "How slow is the slowest wave?",
        "The exponent runs over the channels of one coordinate, not of both.",
        ((EXPONENT, "(2 * k / self.emb_dim)"),),
    ),
    Mistake(
        "coordinates not normalised",
        "What is the largest coordinate of a map with 6 rows?",
        "Coordinates are divided by the last one and multiplied by 2 pi, whatever the map's size.",
        ((Y, "pass"), (X, "pass")),
    ),
    Mistake(
        "coordinates not normalised",
        "What is the largest coordinate of a map with 6 rows?",
        "Coordinates count from 1, are divided by the last one and multiplied by 2 pi.",
        ((COUNT, "y, x = inside.cumsum(1) - 1, inside.cumsum(2) - 1"), (Y, "pass"), (X, "pass")),
    ),
    Mistake(
        "exponent runs to 2, coordinates not normalised",
        "How many channels are flat, and what is the largest coordinate?",
        "The exponent runs from 0 to 1, coordinates to 2 pi.",
        (
            (EXPONENT, "(8 * k / self.emb_dim)"),
            (COUNT, "y, x = inside.cumsum(1) - 1, inside.cumsum(2) - 1"),
            (Y, "pass"),
            (X, "pass"),
        ),
    ),
    Mistake(
        "2 pi forgotten",
        "Over how much of a wave does the fastest channel go?",
        "A whole image is one full turn: 2 pi.",
        ((Y, Y.replace("2 * math.pi * ", "")), (X, X.replace("2 * math.pi * ", ""))),
    ),
    Mistake(
        "counted from 0",
        "What is the coordinate of the first cell?",
        "A cumulative sum over unpadded cells gives 1 for the first one.",
        ((COUNT, "y, x = inside.cumsum(1) - 1, inside.cumsum(2) - 1"),),
    ),
    Mistake(
        "mask inverted",
        "Which cells count: those where the mask is True, or the others?",
        "True means padding.",
        (
            (
                DTYPE,
                f"padding_mask = None if padding_mask is None else ~padding_mask\n        {DTYPE}",
            ),
        ),
    ),
    Mistake(
        "mask inverted",
        "Which cells count: those where the mask is True, or the others?",
        "True means padding.",
        (("(~padding_mask)", "padding_mask"),),
    ),
    Mistake(
        "mask ignored",
        "Should a padded image get the same positions as without its padding?",
        "Rows and columns are counted over the unpadded cells alone.",
        ((DTYPE, f"padding_mask = None\n        {DTYPE}"),),
    ),
    Mistake(
        "sine and cosine of different wavelengths",
        "Do channels 0 and 1 turn equally fast?",
        "The two of a pair share one wavelength; from pair to pair it grows.",
        (
            (
                "k = torch.arange(self.emb_dim // 4,",
                "k = torch.arange(self.emb_dim // 2,",
            ),
            (EXPONENT, "(2 * k / self.emb_dim)"),
            (WAVES, "waves = torch.stack((angles[..., ::2].sin(), angles[..., 1::2].cos()), -1)"),
        ),
    ),
    Mistake(
        "channels last",
        "Which axis holds the channels?",
        "The embedding is added to a map [B, D, H', W'] later.",
        ((".permute(0, 3, 1, 2)", ""),),
    ),
)

STEP3_MISTAKES = (
    Mistake(
        "positions of pixels",
        "What gets a position: the pixels or the tokens?",
        "pos_emb has the size of the feature map.",
        ((EMBEDDED, "self.position_embedding(images)"),),
    ),
    Mistake(
        "query positions that do not learn",
        "Which parameters were added?",
        "A tensor is a parameter of a module only inside of nn.Parameter.",
        ((QUERY_POS, "self.query_pos = torch.randn_like(self.queries).detach()"),),
    ),
    Mistake(
        "queries and their positions are one",
        "Which parameters were added?",
        "What a query looks for and where it looks are two things that are learned apart.",
        ((QUERY_POS, "self.query_pos = self.queries"),),
    ),
    Mistake(
        "mask ignored",
        "Do the positions take the padding into account?",
        "The position embedding takes a mask as well.",
        ((EMBEDDED, 'self.position_embedding(context["features"])'),),
    ),
    Mistake(
        "mask inverted",
        "Which cells count?",
        "True means padding, before the resizing and after it.",
        (("resized.bool()", "~resized.bool()"),),
    ),
    Mistake(
        "mask not resized",
        "The mask is given in pixels. What is counted?",
        "The mask needs the size of the map, by nearest neighbour.",
        (('size = context["features"].shape[-2:]', "size = images.shape[-2:]"),),
    ),
    Mistake(
        "positions added to the map",
        "Are `features` still what Step 2 made?",
        "Positions are only put beside the map here. Attention will add them where they belong.",
        (
            (
                'context["query_pos"] = self.query_pos',
                'context["query_pos"] = self.query_pos\n'
                '        context["features"] = context["features"] + context["pos_emb"]',
            ),
        ),
    ),
    Mistake(
        "positions of the first image for all",
        "With padding every image has its own positions.",
        "pos_emb keeps the batch axis.",
        ((EMBEDDED, f"{EMBEDDED}[:1]"),),
    ),
    Mistake(
        "a mask where none was given",
        "What does a later step see that looks for the mask in the result?",
        "Put the key there only if there is a mask, since it is asked for by `in`.",
        sign=NO_MASK,
    ),
    Mistake(
        "query positions for every image",
        "How many axes has query_pos?",
        "It is [N, D], the same for every image.",
        (
            (
                'context["query_pos"] = self.query_pos',
                'context["query_pos"] = self.query_pos.expand(len(images), -1, -1)',
            ),
        ),
    ),
)

TASKS = (
    Task(
        PositionEmbedding2D,
        (
            Probe("a map of 6 rows and 9 columns", inputs=maps),
            Probe("two such maps, the second one padded", inputs=padded_maps),
            probe_defaults(emb_dim=256, temperature=10000),
        ),
        EMBEDDING_MISTAKES,
        lambda: {"emb_dim": 16, "temperature": 50.0},
    ),
    Task(
        Step3,
        (FORWARD, PADDED, MASKLESS, NO_DROPOUT, START, probe_defaults(temperature=10000)),
        STEP3_MISTAKES,
        make_arguments(3),
    ),
)
