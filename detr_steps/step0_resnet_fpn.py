"""Step 0: the classic start, a residual backbone and a feature pyramid.

Sources: He et al. 2015, "Deep Residual Learning"; Lin et al. 2017, "Feature Pyramid Networks",
section 3; DETR keeps this backbone (Carion et al. 2020, section 3.2).
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import ResNet, get_model
from torchvision.ops.misc import FrozenBatchNorm2d

from .folding import absorb_frozen_norms
from .inputs import check_backbone, check_images, check_trainable_layers


class FPN(nn.Module):
    """Feature pyramid: lateral 1x1 convolutions, a top-down path, and a 3x3 convolution a level.

    Args:
        in_channels: channels of each backbone level, finest level first, as {2: 256, ..., 5: 2048}.
        emb_dim: D, the channels of every pyramid level.
    """

    def __init__(self, in_channels: Mapping[int, int], emb_dim: int = 256):
        super().__init__()
        lateral = {f"p{i}": nn.Conv2d(c, emb_dim, 1) for i, c in in_channels.items()}
        output = {f"p{i}": nn.Conv2d(emb_dim, emb_dim, 3, padding=1) for i in in_channels}
        self.lateral, self.output = nn.ModuleDict(lateral), nn.ModuleDict(output)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """[C2 .. C5], each [B, C_i, H_i, W_i] -> [P2 .. P5], each [B, D, H_i, W_i]."""
        merged = [conv(c) for conv, c in zip(self.lateral.values(), features, strict=True)]
        for i in reversed(range(len(merged) - 1)):
            size = merged[i].shape[-2:]
            merged[i] = merged[i] + F.interpolate(merged[i + 1], size=size, mode="nearest")
        return [conv(m) for conv, m in zip(self.output.values(), merged, strict=True)]


class ResNetFPN(nn.Module):
    """A torchvision ResNet whose last stages feed an FPN.

    Args:
        pretrained: start from torchvision's ImageNet weights (downloaded), with frozen batch norm.
        emb_dim: D, the channels of every pyramid level.
        backbone: name of a torchvision ResNet, or a ready one, whose layers are then shared.
        dilation: dilate the last stage instead of striding it ("DC5", DETR section 4), so that
            C5 keeps stride 16.
        norm_layer: normalisation of a backbone given by name. Default: trainable batch norm from
            random weights, frozen batch norm with pretrained ones.
        trainable_layers: how many of the backbone's five parts are trained, counted from the last:
            layer4, layer3, layer2, layer1, stem. DETR trains 3.
    """

    levels = (2, 3, 4, 5)  # hook: the pyramid levels that are built and returned

    def __init__(
        self,
        pretrained: bool = False,
        emb_dim: int = 256,
        backbone: str | ResNet = "resnet50",
        dilation: bool = False,
        norm_layer: Callable[[int], nn.Module] | None = None,
        trainable_layers: int = 5,
    ):
        super().__init__()
        check_backbone(backbone, pretrained=pretrained, dilation=dilation, norm_layer=norm_layer)
        check_trainable_layers(trainable_layers)
        if isinstance(backbone, str):
            backbone = get_model(
                backbone,
                weights="IMAGENET1K_V1" if pretrained else None,
                norm_layer=norm_layer or (FrozenBatchNorm2d if pretrained else nn.BatchNorm2d),
                replace_stride_with_dilation=[False, False, dilation],
            )
            absorb_frozen_norms(backbone)
        layers = backbone.named_children()
        body = [(name, layer) for name, layer in layers if name not in ("avgpool", "fc")]
        self.backbone = nn.Sequential(OrderedDict(body))
        for part in [self.backbone[:4], *self.backbone[4:]][: 5 - trainable_layers]:
            part.requires_grad_(False)
        self.fpn = FPN({level: self._channels(level) for level in self.levels}, emb_dim)

    def _channels(self, level: int) -> int:
        stage = self.backbone.get_submodule(f"layer{level - 1}")
        return [m.out_channels for m in stage.modules() if isinstance(m, nn.Conv2d)][-1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] -> a map [B, D, H/2^i, W/2^i], rounded up, for each level i."""
        x, stages = images, {}
        for name, layer in self.backbone.named_children():
            x = layer(x)
            stages[name] = x
        return self.fpn([stages[f"layer{level - 1}"] for level in self.levels])


class Step0(ResNetFPN):
    """Step 0: the series' entrance, the pyramid [P2, P3, P4, P5] of a checked batch of images.

    Raises:
        TypeError, ValueError: `images` is not a float tensor [B, 3, H, W].
    """

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] -> [P2, P3, P4, P5], each [B, D, H/2^i, W/2^i], rounded up."""
        check_images(images)
        return super().forward(images)
