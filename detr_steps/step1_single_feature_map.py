"""Step 1: one map instead of a pyramid.

Source: Carion et al. 2020, section 3.2 ("Backbone", and the 1x1 convolution that opens
"Transformer encoder").
"""

from torch import Tensor

from .step0_resnet_fpn import Step0


class Step1(Step0):
    """Keeps P5 alone, and builds nothing for the other levels: P5 does not depend on them.

    Args:
        emb_dim: D, the channels of the map and of everything that follows: a whole number, at
            least 1, and from Step 3 on a multiple of 4.
        **kwargs: arguments of the steps before.
    """

    levels = (5,)

    def __init__(self, *, emb_dim: int = 256, **kwargs):
        super().__init__(emb_dim=emb_dim, **kwargs)
        self.emb_dim = emb_dim

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> P5 [B, D, H', W'], H' = H/32, W' = W/32, rounded up."""
        (p5,) = super().forward(images)
        return p5
