"""Steps 0 and 1: the pyramid, and one map of it."""

import warnings

import torch
from torch import Tensor

from ...step0_resnet_fpn import FPN, ResNetFPN, Step0
from ...step1_single_feature_map import Step1
from ..observing import Probe
from ..tasks import Mistake, Task
from .common import FORWARD, images, is_refused, make_arguments, probe_defaults, random

SILENT = "it is built without a warning"
IMAGES_REFUSED = "images that are no floats [B, 3, H, W] are refused"
PYRAMID_LEVELS = "return [conv(m) for conv, m in zip(self.output.values(), merged, strict=True)]"
CONV = "nn.Conv2d(emb_dim, emb_dim, 3, padding=1)"
OUTPUT = f'output = {{f"p{{i}}": {CONV} for i in in_channels}}'
ADD = 'merged[i] = merged[i] + F.interpolate(merged[i + 1], size=size, mode="nearest")'
TOP_DOWN = "for i in reversed(range(len(merged) - 1)):"
CHECKED = "check_images(images)\n        return super().forward(images)"
BACKBONE = "self.backbone = build_backbone(pretrained=pretrained, **backbone_args)"
PYRAMID = "self.fpn = FPN(in_channels, emb_dim)"


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


FPN_MISTAKES = (
    Mistake(
        "top-down path left out",
        "Do the fine levels know what the coarse ones know?",
        "Each level but the coarsest gets something from its coarser neighbour.",
        ((ADD, "pass"),),
    ),
    Mistake(
        "neighbour alone added",
        "How does what P5 knows get down to P2?",
        "What a level adds to the next finer one must include what it got itself. In which order?",
        ((TOP_DOWN, "for i in range(len(merged) - 1):"),),
    ),
    Mistake(
        "bottom-up in place of top-down",
        "Which level knows what there is, and which one where it is?",
        "The coarse maps are enlarged; the fine ones are never made smaller.",
        (
            (TOP_DOWN, "for i in range(len(merged) - 1):"),
            ("size = merged[i].shape[-2:]", "size = merged[i + 1].shape[-2:]"),
            (
                ADD,
                "merged[i + 1] = merged[i + 1] + F.interpolate(merged[i], size=size)",
            ),
        ),
    ),
    Mistake(
        "bilinear in place of nearest",
        "The paper enlarges in the simplest way.",
        "Look at the mode of the interpolation.",
        (('mode="nearest"', 'mode="bilinear"'),),
    ),
    Mistake(
        "doubled in place of fitted",
        "Try maps of 13, 7 and 4 rows: twice 7 is not 13.",
        "Interpolation takes either a factor or a size.",
        (("size=size", "scale_factor=2"),),
    ),
    Mistake(
        "3x3 before the sum",
        "In which order do the sum and the 3x3 convolution come?",
        "The 3x3 convolution is there to smooth what the sum has made.",
        (
            (TOP_DOWN, f"merged = {PYRAMID_LEVELS.removeprefix('return ')}\n        {TOP_DOWN}"),
            (PYRAMID_LEVELS, "return merged"),
        ),
    ),
    Mistake(
        "3x3 without padding",
        "Every level should keep its size.",
        "How many rows does a 3x3 convolution lose at each border?",
        (("emb_dim, 3, padding=1)", "emb_dim, 3)"),),
    ),
    Mistake(
        "3x3 left out",
        "Something is missing after the sum.",
        "Section 3 of the paper puts one more convolution on every merged map.",
        ((OUTPUT, "output = {}"), (PYRAMID_LEVELS, "return merged")),
    ),
    Mistake(
        "one 3x3 convolution for all levels",
        "How many 3x3 convolutions does the pyramid have?",
        "In a list or dict, the same module several times is one module.",
        (
            (
                OUTPUT,
                f"one = {CONV}\n        {OUTPUT.replace(CONV, 'one')}",
            ),
        ),
    ),
    Mistake(
        "levels in reverse order",
        "Which level should come first?",
        "What goes in finest first comes out finest first.",
        ((PYRAMID_LEVELS, f"{PYRAMID_LEVELS}[::-1]"),),
    ),
    Mistake(
        "width fixed at 256",
        "What does the constructor do with emb_dim?",
        "Is there a 256 in the body?",
        (
            (OUTPUT, OUTPUT.replace("emb_dim", "256")),
            ("nn.Conv2d(c, emb_dim, 1)", "nn.Conv2d(c, 256, 1)"),
        ),
    ),
)

BACKBONE_MISTAKES = (
    Mistake(
        "deprecated pretrained argument",
        "Building it prints warnings. What do they say?",
        "torchvision has had `weights` in place of `pretrained` since 0.13.",
        sign=SILENT,
    ),
    Mistake(
        "width fixed at 256",
        "What does the pyramid do with emb_dim?",
        "Follow emb_dim from this constructor to the one of FPN.",
        ((PYRAMID, "self.fpn = FPN(in_channels)"),),
    ),
    Mistake(
        "classifier kept",
        "Which parts of a ResNet are there for ImageNet's 1000 classes alone?",
        "Parameters were added: the last layers of a ResNet make no map.",
        ((PYRAMID, f"{PYRAMID}\n        self.fc = nn.Linear(in_channels[5], 1000)"),),
    ),
    Mistake(
        "max pooling left out",
        "The maps are twice as large as they should be.",
        "Between the first convolution and the first stage something halves the map.",
        ((BACKBONE, f"{BACKBONE}\n        self.backbone.maxpool = nn.Identity()"),),
    ),
    Mistake(
        "pyramid left out",
        "These maps come out of the ResNet as they are.",
        "What should go over C2 to C5 before they are returned?",
        (
            (
                "return self.fpn([",
                "return ([",
            ),
        ),
    ),
)

STEP0_MISTAKES = (
    Mistake(
        "bad images accepted",
        "What happens with bytes in place of floats, or with one image without a batch axis?",
        "`detr_steps.inputs` has a check for this, with a message that helps.",
        sign=IMAGES_REFUSED,
    ),
    Mistake(
        "one level in place of all",
        "Step 0 returns the whole pyramid.",
        "One map is the idea of Step 1.",
        ((CHECKED, f"{CHECKED}[-1]"),),
    ),
    Mistake(
        "levels in reverse order",
        "Which level should come first?",
        "The pyramid is [P2, P3, P4, P5].",
        ((CHECKED, f"{CHECKED}[::-1]"),),
    ),
    Mistake(
        "a dict in place of a list",
        "What type does the pyramid have?",
        "A list needs no names: its order says which level is which.",
        (
            (
                CHECKED,
                CHECKED.replace(
                    "super().forward(images)", "dict(enumerate(super().forward(images)))"
                ),
            ),
        ),
    ),
    Mistake(
        "images normalised again",
        "The backbone gets other numbers than it was given.",
        "Images come in normalised already. Nothing is to be done to them.",
        (
            (
                CHECKED,
                CHECKED.replace("forward(images)", "forward(images / 255)"),
            ),
        ),
    ),
)

SUPER = "(p5,) = super().forward(images)"
STEP1_MISTAKES = (
    Mistake(
        "levels that nobody reads",
        "Which parameters does the result depend on?",
        "P5 never looks at the finer levels, so they need not be built. See the hook `levels`.",
        (("levels = (5,)", "levels = (2, 3, 4, 5)"), ("(p5,) =", "*_, p5 =")),
    ),
    Mistake(
        "width fixed at 256",
        "What does the pyramid do with emb_dim?",
        "Follow emb_dim from this constructor to the parent's.",
        (("super().__init__(emb_dim=emb_dim, **kwargs)", "super().__init__(**kwargs)"),),
    ),
    Mistake(
        "finest level in place of the coarsest",
        "How large is the map that DETR wants?",
        "H / 32 by W / 32 is the coarsest level, not the finest.",
        (("levels = (5,)", "levels = (2,)"),),
    ),
    Mistake(
        "finest level in place of the coarsest",
        "How large is the map that DETR wants?",
        "The pyramid's list begins with the finest level.",
        (("levels = (5,)", "levels = (2, 3, 4, 5)"), ("(p5,) =", "p5, *_ =")),
    ),
    Mistake(
        "a list in place of the map",
        "What type should the result have?",
        "A list of one map is not a map.",
        (("return p5", "return [p5]"),),
    ),
    Mistake(
        "3x3 left out",
        "P5 is more than the lateral 1x1 convolution.",
        "The pyramid puts a 3x3 convolution on every level, also on the coarsest.",
        ((SUPER, 'p5 = self.fpn.lateral["p5"](self.backbone(images))'),),
    ),
    Mistake(
        "C5 in place of P5",
        "How many channels should the map have?",
        "C5 comes from the backbone; P5 has gone through the pyramid.",
        ((SUPER, "p5 = self.backbone(images)"),),
    ),
    Mistake(
        "emb_dim not kept",
        "The steps that follow ask the model for its width.",
        "Keep the argument under its own name.",
        (("self.emb_dim = emb_dim", "pass"),),
    ),
    Mistake(
        "averaged over the cells",
        "The result should still be a map.",
        "A classifier averages over all places. A detector must not: where is half of its answer.",
        (("return p5", "return p5.mean((2, 3))"),),
    ),
)


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
        FPN_MISTAKES,
        lambda: {"in_channels": {3: 8, 4: 12, 5: 16}, "emb_dim": 20},
    ),
    Task(
        ResNetFPN,
        (
            Probe("two images 96x160", inputs=images),
            Probe("building it with a backbone's name", built_silently, of_class=True),
            probe_defaults(emb_dim=256),
        ),
        BACKBONE_MISTAKES,
        lambda: {"backbone": "resnet18", "emb_dim": 24},
    ),
    Task(
        Step0,
        (Probe("two images 96x160", inputs=images), Probe("images that are wrong", refuses_images)),
        STEP0_MISTAKES,
        make_arguments(1),
    ),
    Task(
        Step1,
        (FORWARD, Probe("its width", width), probe_defaults(emb_dim=256)),
        STEP1_MISTAKES,
        make_arguments(1),
    ),
)
