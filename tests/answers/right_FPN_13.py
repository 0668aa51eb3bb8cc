import torch.nn.functional as F
from torch import nn


class MyFPN(nn.Module):
    """[C_i ..] -> [P_i ..], in the manner of Detectron2: top-down, from the coarsest map."""

    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        lateral_convs, output_convs = [], []
        for level in sorted(in_channels, reverse=True):
            lateral_convs.append(nn.Conv2d(in_channels[level], emb_dim, kernel_size=1))
            output_convs.append(nn.Conv2d(emb_dim, emb_dim, kernel_size=3, stride=1, padding=1))
        self.lateral_convs = nn.ModuleList(lateral_convs)
        self.output_convs = nn.ModuleList(output_convs)

    def forward(self, features):
        results = []
        prev_features = None
        for x, lateral_conv, output_conv in zip(features[::-1], self.lateral_convs, self.output_convs):
            lateral_features = lateral_conv(x)
            if prev_features is not None:
                top_down_features = F.interpolate(prev_features, size=lateral_features.shape[-2:], mode="nearest")
                lateral_features = lateral_features + top_down_features
            prev_features = lateral_features
            results.insert(0, output_conv(prev_features))
        return results
