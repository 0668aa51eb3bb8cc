from torch import nn

from detr_steps import Step0


# From Keras: Conv2D with names, "same" padding, Sequential.
def Conv2D(in_channels, filters, kernel_size):
    return nn.Conv2d(in_channels, filters, kernel_size, padding="same")


class MyStep1(Step0):
    levels = ()

    def __init__(self, emb_dim=256, **kwargs):
        # build the backbone alone, then put the top on it
        super(MyStep1, self).__init__(**kwargs, emb_dim=emb_dim)
        c5_channels = self._channels(self.backbone.layer4)
        self.fpn = nn.Sequential()
        self.fpn.add_module("c5_reduced", Conv2D(c5_channels, emb_dim, 1))
        self.fpn.add_module("p5", Conv2D(emb_dim, emb_dim, 3))
        self.emb_dim = emb_dim

    @staticmethod
    def _channels(stage):
        """The channels of the last batch norm of the stage."""
        last = None
        for module in stage.modules():
            if isinstance(module, nn.BatchNorm2d):
                last = module.num_features
        return last

    def forward(self, images):
        if not hasattr(images, "is_floating_point") or not images.is_floating_point():
            raise TypeError("images: floats, please (divide by 255)")
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            raise ValueError("images: [B, 3, H, W], please")
        return self.fpn(self.backbone(images))
