import torch
import torch.nn.functional as F
from torch import nn, pi

from detr_steps import Step2


class MyStep3(Step2):
    """Positions as an einsum; no module of its own."""

    def __init__(self, temperature=10000.0, **kwargs):
        super().__init__(**kwargs)
        n, d = self.queries.shape
        if d % 4:
            raise ValueError(f"the width {d} is no multiple of 4")
        self.query_pos = nn.Parameter(torch.randn(n, d) * d**-0.5)
        speed = torch.tensor([temperature ** (-4 * k / d) for k in range(d // 4)])
        self.register_buffer("speed", speed, persistent=False)

    def sines(self, keep):
        """keep [B, h, w], 1 on the image -> [B, D, h, w]"""
        phases = []
        for axis in (1, 2):
            t = keep.cumsum(axis)
            total = keep.sum(axis, keepdim=True)
            phases.append(2 * pi * t / (total + 1e-6))
        phase = torch.einsum("abhw,k->bakhw", torch.stack(phases), self.speed)
        return torch.stack((phase.sin(), phase.cos()), dim=3).flatten(1, 3)

    def forward(self, images, padding_mask=None):
        out = super().forward(images)
        b, _, h, w = out["features"].shape
        keep = torch.ones(b, h, w, device=images.device)
        if padding_mask is not None:
            padded = F.interpolate(padding_mask.float()[:, None], size=(h, w), mode="nearest")
            out["padding_mask"] = padded[:, 0] == 1
            keep = 1 - padded[:, 0]
        out["pos_emb"] = self.sines(keep)
        out["query_pos"] = self.query_pos
        return out
