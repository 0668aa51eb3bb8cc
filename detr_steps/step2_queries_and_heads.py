"""Step 2: learned queries and two prediction heads, a set of N guesses instead of anchors.

Source: Carion et al. 2020, section 3.2 ("Prediction feed-forward networks").
"""

import torch
from torch import Tensor, nn

from .arguments import check_arguments
from .step1_single_feature_map import Step1


class Step2(Step1):
    """N learned queries; each is read by a class head and a box head.

    The forward path of all later steps is written here, once, as three hooks: `encode`, `decode`
    and `predict`.

    Args:
        num_classes: C, without "no object", which is index C: a whole number, at least 1.
        num_queries: N, the most objects that the model can find in an image: a whole number, at
            least 1.
        **kwargs: arguments of the steps before.
    """

    def __init__(self, *, num_classes: int = 80, num_queries: int = 100, **kwargs):
        check_arguments(num_classes=num_classes, num_queries=num_queries)
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.queries = nn.Parameter(torch.randn(num_queries, self.emb_dim))
        self.class_head = nn.Linear(self.emb_dim, num_classes + 1)
        self.bbox_head = nn.Sequential(
            nn.Linear(self.emb_dim, self.emb_dim),
            nn.ReLU(),
            nn.Linear(self.emb_dim, self.emb_dim),
            nn.ReLU(),
            nn.Linear(self.emb_dim, 4),
        )

    def forward(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Images [B, 3, H, W] -> class_logits [B, N, C+1], bbox_pred [B, N, 4] and the context.

        The context is a dict of everything that `encode` has made. `padding_mask` [B, H, W] is True
        on padding, and None without any; Step 3 starts to use it.
        """
        context = self.encode(images, padding_mask)
        hidden = self.decode(context)
        return {**self.predict(hidden), **context}

    def encode(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Hook: turns images [B, 3, H, W] into the context; here `features` [B, D, H', W']."""
        return {"features": super().forward(images)}

    def decode(self, context: dict[str, Tensor]) -> Tensor:
        """Hook: turns queries into hidden states [B, N, D]; here they stay the same, on purpose."""
        return self.queries.expand(len(context["features"]), -1, -1)  # [B, N, D]

    def predict(self, hidden: Tensor) -> dict[str, Tensor]:
        """Hook: turns hidden states [..., N, D] into predictions; boxes are in 0..1."""
        return {
            "class_logits": self.class_head(hidden),  # [..., N, C+1]
            "bbox_pred": self.bbox_head(hidden).sigmoid(),  # [..., N, 4]
        }
