import torch
from detr_steps import Step0


class MyStep1(Step0):
    """Images [B, 3, H, W] -> P5 [B, D, H/32, W/32]."""

    @property
    def levels(self) -> list[int]:
        return [5]

    def __init__(self, emb_dim: int = 256, **kwargs) -> None:
        kwargs["emb_dim"] = emb_dim
        super().__init__(**kwargs)

    @property
    def emb_dim(self) -> int:
        *_, last = self.fpn.modules()  # the 3x3 convolution
        return last.out_channels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        (p5,) = super().forward(images)
        return p5
