from torch import Tensor

from detr_steps import Step0


class MyStep1(Step0):
    """Images [B, 3, H, W] -> P5 [B, D, H/32, W/32]."""

    levels = (5,)  # the hook: build nothing but P5

    def __init__(self, emb_dim: int = 256, **kwargs) -> None:
        kwargs["emb_dim"] = emb_dim
        super().__init__(**kwargs)
        self.emb_dim: int = self.fpn.output["p5"].out_channels

    def forward(self, images: Tensor) -> Tensor:
        (p5,) = super().forward(images)
        return p5
