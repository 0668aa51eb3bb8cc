from detr_steps import Step0


class MyStep1(Step0):
    """Images [B, 3, H, W] -> P5 [B, D, H/32, W/32]."""

    levels = [5]

    def __init__(self, emb_dim=256, **kwargs):
        super().__init__(emb_dim=emb_dim, **kwargs)
        self.emb_dim = emb_dim  # later steps read it

    def forward(self, images):
        pyramid = super().forward(images)
        return pyramid[0]
