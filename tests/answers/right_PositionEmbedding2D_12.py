import torch
from torch import einsum, nn, pi


class MyPositionEmbedding(nn.Module):
    """No cumsum: counting is a product with a triangle of ones."""

    def __init__(self, emb_dim=256, temperature=10000.0):
        super().__init__()
        self.dim = emb_dim
        freqs = [temperature ** (-2 * k / (emb_dim // 2)) for k in range(emb_dim // 4)]
        self.register_buffer("freqs", torch.tensor(freqs), persistent=False)

    def forward(self, features, padding_mask=None):
        b, c, h, w = features.shape
        kwargs = dict(dtype=features.dtype, device=features.device)
        keep = torch.ones(b, h, w, **kwargs)
        if padding_mask is not None:
            keep = 1 - padding_mask.to(keep)
        below = torch.ones(h, h, **kwargs).tril()
        right = torch.ones(w, w, **kwargs).triu()
        y = einsum("i j, b j w -> b i w", below, keep)
        x = einsum("b h j, j i -> b h i", keep, right)
        y = y / (einsum("b h w -> b w", keep)[:, None, :] + 1e-6)
        x = x / (einsum("b h w -> b h", keep)[:, :, None] + 1e-6)
        yx = torch.stack((y, x), dim=1) * 2 * pi  # [b, 2, h, w]
        phase = einsum("b a h w, k -> b a k h w", yx, self.freqs.to(features.dtype))
        pairs = torch.stack((phase.sin(), phase.cos()), dim=3)  # [b, a, k, 2, h, w]
        return pairs.reshape(b, self.dim, h, w)
