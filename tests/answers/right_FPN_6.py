import torch
from torch import nn
from torch.nn import functional as F


def repeat_cells(x, height, width):
    """Nearest, by hand: cell r of the large map reads cell floor(r * small / large)."""
    h, w = x.shape[-2:]
    rows = (torch.arange(height, device=x.device).float() * (h / height)).floor().long().clamp(max=h - 1)
    columns = (torch.arange(width, device=x.device).float() * (w / width)).floor().long().clamp(max=w - 1)
    return x[:, :, rows][:, :, :, columns]


class OneByOne(nn.Module):
    """A 1x1 convolution is a Linear on the channels of every cell."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.linear = nn.Linear(c_in, c_out)

    def forward(self, x):
        return self.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ThreeByThree(nn.Module):
    """A 3x3 convolution is a Linear on the 9 * D numbers around every cell."""

    def __init__(self, dim):
        super().__init__()
        self.linear = nn.Linear(9 * dim, dim)

    def forward(self, x):
        b, _, h, w = x.shape
        around = F.unfold(x, kernel_size=3, padding=1)  # [B, D * 9, H * W]
        y = self.linear(around.transpose(1, 2))  # [B, H * W, D]
        return y.transpose(1, 2).reshape(b, -1, h, w)


class MyFPN(nn.Module):
    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        self.smooth = nn.ModuleList([ThreeByThree(emb_dim) for _ in in_channels])
        self.reduce = nn.ModuleList([OneByOne(c, emb_dim) for c in in_channels.values()])

    def forward(self, features):
        pyramid = []
        above = None
        for level in reversed(range(len(features))):
            m = self.reduce[level](features[level])
            if above is not None:
                m = m + repeat_cells(above, m.shape[2], m.shape[3])
            above = m
            pyramid.append(self.smooth[level](m))
        pyramid.reverse()
        return pyramid
