# in the style of the official DETR: a body and an input_proj
from torch import nn
from torchvision.models._utils import IntermediateLayerGetter

from detr_steps import Step0


class MyStep1(Step0):
    levels = ()  # no pyramid, we have our own projection

    def __init__(self, emb_dim=256, **kwargs):
        super().__init__(emb_dim=emb_dim, **kwargs)
        convolutions = [m for m in self.backbone.layer4.modules() if isinstance(m, nn.Conv2d)]
        num_channels = convolutions[-1].out_channels  # 2048, or 512 for resnet18 and 34
        self.body = IntermediateLayerGetter(self.backbone, return_layers={"layer4": "0"})
        del self.backbone, self.fpn
        self.emb_dim = emb_dim
        self.input_proj = nn.Conv2d(num_channels, emb_dim, kernel_size=1)
        self.smooth = nn.Conv2d(emb_dim, emb_dim, kernel_size=3, padding=1)

    def forward(self, images):
        if images.dtype.is_floating_point is False:
            raise TypeError(f"images: expected floats, got {images.dtype}")
        if images.ndim != 4 or images.size(1) != 3 or len(images) == 0:
            raise ValueError(f"images: expected [B, 3, H, W], got {tuple(images.shape)}")
        xs = self.body(images)
        src = xs["0"]
        return self.smooth(self.input_proj(src))
