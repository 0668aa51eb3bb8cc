# after detectron2/modeling/backbone/fpn.py
import torch.nn.functional as F
from torch import nn


class MyFPN(nn.Module):
    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        lateral_convs = []
        output_convs = []
        for stage, channels in in_channels.items():
            lateral_conv = nn.Conv2d(channels, emb_dim, kernel_size=1)
            output_conv = nn.Conv2d(emb_dim, emb_dim, kernel_size=3, stride=1, padding=1)
            for conv in (lateral_conv, output_conv):
                nn.init.kaiming_uniform_(conv.weight, a=1)
                nn.init.constant_(conv.bias, 0)
            self.add_module(f"fpn_lateral{stage}", lateral_conv)
            self.add_module(f"fpn_output{stage}", output_conv)
            lateral_convs.append(lateral_conv)
            output_convs.append(output_conv)
        # Place convs into top-down order (from low to high resolution)
        self.lateral_convs = lateral_convs[::-1]
        self.output_convs = output_convs[::-1]

    def forward(self, features):
        bottom_up_features = list(features)[::-1]
        results = []
        prev_features = self.lateral_convs[0](bottom_up_features[0])
        results.append(self.output_convs[0](prev_features))
        for idx in range(1, len(bottom_up_features)):
            lateral_features = self.lateral_convs[idx](bottom_up_features[idx])
            top_down_features = F.interpolate(prev_features, size=lateral_features.shape[2:], mode="nearest")
            prev_features = lateral_features + top_down_features
            results.insert(0, self.output_convs[idx](prev_features))
        return results
