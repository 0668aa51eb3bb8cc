import torch
from torch import nn


class Branch(nn.Module):
    def __init__(self, c, d):
        super().__init__()
        self.squeeze = nn.Conv2d(c, d, kernel_size=1)
        self.smooth = nn.Conv2d(d, d, kernel_size=3, stride=1, padding=1)


def enlarge(m, h, w):
    # nearest by hand: cell i of the fine map takes cell floor(i * coarse / fine)
    rows = torch.arange(h, device=m.device) * m.shape[-2] // h
    cols = torch.arange(w, device=m.device) * m.shape[-1] // w
    return m[:, :, rows][:, :, :, cols]


class MyFPN(nn.Module):
    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        self.branches = nn.ModuleDict({f"level{k}": Branch(c, emb_dim) for k, c in in_channels.items()})

    def forward(self, features):
        branches = list(self.branches.values())
        sums = [b.squeeze(f) for b, f in zip(branches, features)]
        for i in range(len(sums) - 2, -1, -1):
            h, w = sums[i].shape[-2:]
            sums[i] = sums[i] + enlarge(sums[i + 1], h, w)
        return [b.smooth(m) for b, m in zip(branches, sums)]
