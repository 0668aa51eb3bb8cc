import math

import torch
from torch import nn


class MyPositionEmbedding(nn.Module):
    """Everything in plain Python: count, angle, sine, cosine."""

    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        self.D = emb_dim
        self.half = emb_dim // 2
        self.tau = temperature

    def wave(self, angle):
        """One angle -> half of the channels, as a list."""
        values = []
        for k in range(self.half // 2):
            slow = angle / self.tau ** (2 * k / self.half)
            values.append(math.sin(slow))
            values.append(math.cos(slow))
        return values

    def forward(self, features, padding_mask=None):
        B, _, H, W = features.shape
        if padding_mask is None:
            padded = [[[False] * W for _ in range(H)] for _ in range(B)]
        else:
            padded = padding_mask.tolist()
        images = []
        for b in range(B):
            rows = [[0] * W for _ in range(H)]
            columns = [[0] * W for _ in range(H)]
            for j in range(W):
                count = 0
                for i in range(H):
                    if not padded[b][i][j]:
                        count += 1
                    rows[i][j] = count
            for i in range(H):
                count = 0
                for j in range(W):
                    if not padded[b][i][j]:
                        count += 1
                    columns[i][j] = count
            cells = []
            for i in range(H):
                line = []
                for j in range(W):
                    theta_y = 2 * math.pi * rows[i][j] / (rows[H - 1][j] + 1e-6)
                    theta_x = 2 * math.pi * columns[i][j] / (columns[i][W - 1] + 1e-6)
                    line.append(self.wave(theta_y) + self.wave(theta_x))
                cells.append(line)
            images.append(cells)
        table = torch.tensor(images, dtype=features.dtype, device=features.device)  # [B, H, W, D]
        return table.permute(0, 3, 1, 2).contiguous()
