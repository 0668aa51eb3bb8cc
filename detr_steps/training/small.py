"""A Step8 small enough for a laptop's CPU: 0.5 M parameters, for images of about 96 pixels."""

from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from ..step8_set_loss import Step8


class SmallResNet(ResNet):
    """A torchvision ResNet of one basic block a stage, by default with the last stride left out.

    Args:
        widths: channels of the four stages.
        strides: of the four stages, after a stem of stride 4.
    """

    def __init__(
        self,
        widths: tuple[int, int, int, int] = (16, 32, 64, 128),
        strides: tuple[int, int, int, int] = (1, 2, 2, 1),
    ):
        super().__init__(BasicBlock, [1, 1, 1, 1], num_classes=1)
        self.inplanes = widths[0]
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        for i, (width, stride) in enumerate(zip(widths, strides, strict=True), 1):
            setattr(self, f"layer{i}", self._make_layer(BasicBlock, width, 1, stride))
        self.fc = nn.Linear(widths[-1], 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def small_detr(num_classes: int, step: type[Step8] = Step8, **changes) -> Step8:
    """Step8 with a `SmallResNet`: 6x6 tokens for an image of 96x96, 12 queries, 2 decoder layers.

    The temperature of 20 suits a map of six cells; Step 3 shows what 10000 does on a short row.
    """
    arguments = {
        "backbone": SmallResNet(),
        "emb_dim": 64,
        "num_queries": 12,
        "nhead": 4,
        "enc_layers": 1,
        "dec_layers": 2,
        "dim_feedforward": 128,
        "dropout": 0.0,
        "temperature": 20.0,
    }
    return step(num_classes=num_classes, **arguments | changes)
