"""Step8 for a laptop's CPU, in two sizes: "small" for scenes, "medium" for photographs."""

from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet, conv1x1

from ..step8_set_loss import Step8


class PointwiseBlock(BasicBlock):
    """A residual block whose two convolutions are 1x1: a cell does not look at its neighbours."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample=None, *args):
        super().__init__(inplanes, planes, stride, downsample, *args)
        self.conv1, self.conv2 = conv1x1(inplanes, planes, stride), conv1x1(planes, planes)


BACKBONES: dict[str, dict[str, tuple[int, int, int, int]]] = {
    "small": {"widths": (16, 32, 64, 128), "strides": (1, 2, 1, 1)},
    "medium": {"widths": (24, 48, 96, 128), "strides": (1, 2, 2, 1)},
}


class SmallResNet(ResNet):
    """A torchvision ResNet of one block a stage, the last two of them `PointwiseBlock`.

    Args:
        widths: channels of the four stages.
        strides: of the four stages, after a stem of stride 4.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int],
        strides: tuple[int, int, int, int] = (1, 2, 1, 1),
    ):
        super().__init__(BasicBlock, [1, 1, 1, 1], num_classes=1)
        self.inplanes = widths[0]
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        blocks = (BasicBlock, BasicBlock, PointwiseBlock, PointwiseBlock)
        for i, (block, width, stride) in enumerate(zip(blocks, widths, strides, strict=True), 1):
            setattr(self, f"layer{i}", self._make_layer(block, width, 1, stride))
        self.fc = nn.Linear(widths[-1], 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def small_detr(num_classes: int, step: type[Step8] = Step8, **changes) -> Step8:
    """0.4 M parameters, 16 queries, and 16x16 tokens for an image of 128x128 pixels.

    The receptive field of a token is 67x67 pixels, so that only the encoder sees a larger object as
    a whole. The temperature of 20 suits a map of 16 cells; Step 3 shows what 10000 does on a short
    row.
    """
    arguments: dict[str, Any] = {
        "backbone": SmallResNet(**BACKBONES["small"]),
        "emb_dim": 64,
        "num_queries": 16,
        "nhead": 4,
        "enc_layers": 3,
        "dec_layers": 3,
        "dim_feedforward": 128,
        "dropout": 0.0,
        "temperature": 20.0,
    }
    return step(num_classes=num_classes, **arguments | changes)


def medium_detr(num_classes: int, step: type[Step8] = Step8, **changes) -> Step8:
    """0.8 M parameters, and a token for every 16x16 pixels of a photograph."""
    arguments = {
        "backbone": SmallResNet(**BACKBONES["medium"]),
        "emb_dim": 96,
        "enc_layers": 2,
        "dim_feedforward": 256,
    }
    return small_detr(num_classes, step, **arguments | changes)
