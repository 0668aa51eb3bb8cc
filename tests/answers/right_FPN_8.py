from torch import nn


class MyFPN(nn.Module):
    """A pyramid is its finest level on top of a pyramid of the coarser ones."""

    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        (finest, channels), *coarser = in_channels.items()
        self.level = finest
        self.rest = MyFPN(dict(coarser), emb_dim) if coarser else None
        self.smooth = nn.Conv2d(emb_dim, emb_dim, (3, 3), padding=(1, 1))
        self.side = nn.Conv2d(channels, emb_dim, (1, 1))

    def both(self, features):
        """M of this level, and all P from this level on."""
        fine, *coarse = features
        m = self.side(fine)
        if self.rest is None:
            return m, [self.smooth(m)]
        above, outputs = self.rest.both(coarse)
        m = m + nn.Upsample(size=tuple(m.shape[-2:]), mode="nearest")(above)
        return m, [self.smooth(m), *outputs]

    def forward(self, features):
        return self.both(features)[1]
