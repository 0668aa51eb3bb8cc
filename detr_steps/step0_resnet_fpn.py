"""Step 0: the classic start, a residual backbone and a feature pyramid.

Sources: He et al. 2015, "Deep Residual Learning"; Lin et al. 2017, "Feature Pyramid Networks",
section 3; DETR keeps this backbone (Carion et al. 2020, section 3.2).
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from .arguments import check_arguments, check_channels
from .backbone import build_backbone, stage_channels
from .inputs import check_fits_weights, check_images


class FPN(nn.Module):
    """Feature pyramid: lateral 1x1 convolutions, a top-down path, and a 3x3 convolution per level.

    Args:
        in_channels: channels of each backbone level, finest level first, as {2: 256, ..., 5: 2048}.
        emb_dim: D, the channels of every pyramid level: a whole number, at least 1.

    Raises:
        TypeError, ValueError: an argument is not as above.
    """

    def __init__(self, in_channels: Mapping[int, int], emb_dim: int = 256):
        check_channels(in_channels)
        check_arguments(emb_dim=emb_dim)
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
    """A ResNet whose stages C2 .. C5 feed an FPN.

    Args:
        pretrained: True or False: start from torchvision's ImageNet weights (downloaded), with
            frozen batch norm.
        emb_dim: D, the channels of every pyramid level: a whole number, at least 1.
        **backbone_args: further arguments of `build_backbone`: `backbone`, `dilation`,
            `norm_layer` and `trainable_layers`.
    """

    levels = (2, 3, 4, 5)  # hook: the pyramid levels that are built and returned

    def __init__(self, *, pretrained: bool = False, emb_dim: int = 256, **backbone_args):
        super().__init__()
        self.backbone = build_backbone(pretrained=pretrained, **backbone_args)
        in_channels = {level: stage_channels(self.backbone, level) for level in self.levels}
        self.fpn = FPN(in_channels, emb_dim)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] -> a map [B, D, H/2^i, W/2^i], rounded up, for each level i."""
        x, stages = images, {}
        for name, layer in self.backbone.named_children():
            x = layer(x)
            stages[name] = x
        return self.fpn([stages[f"layer{level - 1}"] for level in self.levels])


class Step0(ResNetFPN):
    """Step 0, the start of the series: checks the images and returns [P2, P3, P4, P5].

    Raises:
        TypeError, ValueError: `images` is not a float tensor [B, 3, H, W], or not of the model's
            dtype and device.
    """

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images [B, 3, H, W] -> [P2, P3, P4, P5], each [B, D, H/2^i, W/2^i], rounded up."""
        check_fits_weights(images, self.backbone.conv1.weight)
        check_images(images)
        return super().forward(images)
