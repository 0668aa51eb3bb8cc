from detr_steps import Step0


class MyStep1(Step0):
    levels = (5,)

    def __init__(self, emb_dim=256, **kwargs):
        super().__init__(emb_dim=emb_dim, **kwargs)
        self.emb_dim = emb_dim

    def forward(self, images):
        return super().forward(images)[0]
