"""The backbone of Step 0: a torchvision ResNet without its classifier."""

from collections import OrderedDict
from collections.abc import Callable

from torch import nn
from torchvision.models import ResNet, get_model
from torchvision.ops.misc import FrozenBatchNorm2d

from .arguments import check_arguments, check_backbone

CLASSIFIER = ("avgpool", "fc")


def build_backbone(
    *,
    backbone: str | ResNet = "resnet50",
    pretrained: bool = False,
    dilation: bool = False,
    norm_layer: Callable[[int], nn.Module] | None = None,
    trainable_layers: int = 5,
) -> nn.Sequential:
    """The layers of a ResNet from `conv1` to `layer4`, under torchvision's names.

    Args:
        backbone: name of a torchvision ResNet, or a ready one, whose layers are then shared.
        pretrained: True or False: start from torchvision's ImageNet weights (downloaded), with
            frozen batch norm.
        dilation: True or False: dilate the last stage instead of striding it ("DC5", DETR
            section 4), so that C5 keeps stride 16.
        norm_layer: normalisation of a backbone given by name. Default: trainable batch norm from
            random weights, frozen batch norm with pretrained ones.
        trainable_layers: how many of the five parts are trained, counted from the last: layer4,
            layer3, layer2, layer1, stem; a whole number in 0..5. DETR trains 3.

    Raises:
        TypeError, ValueError: an argument is not as above.
    """
    check_arguments(pretrained=pretrained, dilation=dilation, trainable_layers=trainable_layers)
    check_backbone(backbone, pretrained=pretrained, dilation=dilation, norm_layer=norm_layer)
    if isinstance(backbone, str):
        backbone = get_model(
            backbone,
            weights="IMAGENET1K_V1" if pretrained else None,
            norm_layer=norm_layer or (FrozenBatchNorm2d if pretrained else nn.BatchNorm2d),
            replace_stride_with_dilation=[False, False, dilation],
        )
    layers = [(name, layer) for name, layer in backbone.named_children() if name not in CLASSIFIER]
    body = nn.Sequential(OrderedDict(layers))
    stem, stages = body[:4], body[4:]
    for part in [stem, *stages][: 5 - trainable_layers]:
        part.requires_grad_(False)
    return body


def stage_channels(backbone: nn.Sequential, level: int) -> int:
    """How many channels C_level has, the output of the stage `layer{level - 1}`."""
    stage = backbone.get_submodule(f"layer{level - 1}")
    return [m.out_channels for m in stage.modules() if isinstance(m, nn.Conv2d)][-1]
