# I come from Keras: channels last, layers with names, build and call.
import torch
from torch import nn


class Conv2D(nn.Module):
    def __init__(self, in_filters, filters, kernel_size, padding="same", name=None):
        super().__init__()
        self.name = name
        self.conv = nn.Conv2d(in_filters, filters, kernel_size, padding=padding)

    def forward(self, x):  # [B, H, W, C]
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class ResizeLike(nn.Module):
    def forward(self, x, like):
        target = like.shape[1:3]
        x = nn.functional.interpolate(x.permute(0, 3, 1, 2), size=tuple(target), mode="nearest")
        return x.permute(0, 2, 3, 1)


class MyFPN(nn.Module):
    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        self.resize = ResizeLike()
        self.build(in_channels, emb_dim)

    def build(self, in_channels, filters):
        names = sorted(in_channels, reverse=True)  # coarsest first, as in my Keras model
        self.reduce = nn.ModuleList()
        self.smooth = nn.ModuleList()
        for i in names:
            self.reduce.append(Conv2D(in_channels[i], filters, 1, name=f"c{i}_reduced"))
            self.smooth.append(Conv2D(filters, filters, 3, padding="same", name=f"p{i}"))

    def call(self, inputs):
        outputs = []
        top = None
        for x, reduce, smooth in zip(reversed(inputs), self.reduce, self.smooth):
            x = reduce(x)
            if top is not None:
                x = torch.add(x, self.resize(top, like=x))
            top = x
            outputs.append(smooth(x))
        return outputs[::-1]

    def forward(self, features):
        channels_last = [f.permute(0, 2, 3, 1) for f in features]
        return [y.permute(0, 3, 1, 2) for y in self.call(channels_last)]
