import torch
from torch import nn

from detr_steps import Step0


class MyStep1(Step0):
    """Everything by hand: walk through the ResNet, then lateral and output of P5."""

    def __init__(self, emb_dim=256, **kwargs):
        super().__init__(emb_dim=emb_dim, **kwargs)  # builds four levels ...
        for level in ("p2", "p3", "p4"):  # ... of which three must go
            del self.fpn.lateral[level]
            del self.fpn.output[level]
        self.emb_dim = emb_dim

    def forward(self, images):
        if not torch.is_tensor(images):
            raise TypeError("images must be a tensor")
        if not images.is_floating_point():
            raise TypeError(f"images must be floats, not {images.dtype}")
        if images.dim() != 4 or images.shape[1] != 3 or images.numel() == 0:
            raise ValueError(f"images must be [B, 3, H, W], not {list(images.shape)}")
        net = self.backbone
        x = net.conv1(images)
        x = net.bn1(x)
        x = net.relu(x)
        x = net.maxpool(x)
        x = net.layer1(x)  # C2
        x = net.layer2(x)  # C3
        x = net.layer3(x)  # C4
        x = net.layer4(x)  # C5
        m5 = self.fpn.lateral["p5"](x)
        return self.fpn.output["p5"](m5)
