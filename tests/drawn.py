"""What the property tests of matching and loss draw: predictions of every layer, and targets."""

from typing import NamedTuple

import torch
from conftest import small_resnet
from hypothesis import strategies as st

from detr_steps import Step8

TINY = {  # its own predictions are not asked for, but it is built for every example
    "backbone": small_resnet(),
    "emb_dim": 4,
    "nhead": 1,
    "enc_layers": 0,
    "dec_layers": 1,
    "dim_feedforward": 1,
}
WEIGHTS = st.floats(0.25, 8.0, width=16)


class Case(NamedTuple):
    """A model, predictions of L layers for B images, and their targets.

    Args:
        model: a Step8 that was built with `weights`.
        weights: its costs and weights by name.
        class_logits: [L, B, N, C+1].
        bbox_pred: [L, B, N, 4].
        targets: labels and boxes of each image.
    """

    model: torch.nn.Module
    weights: dict[str, float]
    class_logits: torch.Tensor
    bbox_pred: torch.Tensor
    targets: list[dict[str, torch.Tensor]]

    @property
    def layers(self) -> list[dict[str, torch.Tensor]]:
        """The predictions, layer by layer."""
        return [
            {"class_logits": logits, "bbox_pred": boxes}
            for logits, boxes in zip(self.class_logits, self.bbox_pred, strict=True)
        ]

    @property
    def outputs(self) -> dict:
        """The predictions as `forward` returns them."""
        *auxiliary, last = self.layers
        return {**last, "aux_outputs": auxiliary}

    def match_all(self):
        """The pairs of every layer and image."""
        return self.model.match_layers(self.layers, self.targets)

    def loss(self) -> torch.Tensor:
        """The loss of all layers."""
        return self.model.compute_loss(self.outputs, self.targets)

    def terms(self) -> list[dict[str, torch.Tensor]]:
        """What the loss is made of, layer by layer."""
        return self.model.loss_terms(self.outputs, self.targets)


def random_numbers(*shape: int, coarse: bool, generator: torch.Generator) -> torch.Tensor:
    """Uniform in 0..1; coarse ones are quarters, so that many are equal, and 0 and 1 are met."""
    if coarse:
        return torch.randint(5, shape, generator=generator).double() / 4
    return torch.rand(shape, generator=generator, dtype=torch.float64)


@st.composite
def cases(draw, coarse=None, least=0, dtype=torch.float64) -> Case:
    """Up to 3 layers, 3 images, 5 queries, 4 classes, and as many objects as there are queries.

    Args:
        draw: Hypothesis's.
        coarse: whether the numbers are quarters, so that costs tie; None for either.
        least: objects in every image.
        dtype: of the predictions.
    """
    layers, images = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    queries, classes = draw(st.integers(max(1, least), 5)), draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(least, min(queries, 4)), min_size=images, max_size=images))
    coarse = draw(st.booleans()) if coarse is None else coarse
    weights = {name: draw(WEIGHTS) for name in ("cost_class", "cost_bbox", "cost_giou")}
    weights |= {name: draw(WEIGHTS) for name in ("w_class", "w_bbox", "w_giou")}
    weights["no_object_weight"] = draw(st.sampled_from([0.125, 0.5, 1.0, 2.0]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))

    def numbers(*shape):
        return random_numbers(*shape, coarse=coarse, generator=generator)

    model = Step8(num_classes=classes, num_queries=queries, **TINY, **weights)
    targets = [
        {
            "labels": torch.randint(classes, (size,), generator=generator),
            "boxes": numbers(size, 4).to(dtype),
        }
        for size in sizes
    ]
    logits = 4 * numbers(layers, images, queries, classes + 1).to(dtype) - 2
    return Case(model, weights, logits, numbers(layers, images, queries, 4).to(dtype), targets)


def rearranged(targets: list[dict], orders: list[list[int]]) -> list[dict]:
    """The same objects, those of each image in another order."""
    return [
        {key: value[order] for key, value in target.items()}
        for target, order in zip(targets, orders, strict=True)
    ]


def plain_cost(case: Case, layer: int, image: int) -> list[list[float]]:
    """The matching cost of every query and object, written out."""
    weights, target = case.weights, case.targets[image]
    rows = []
    for logits, box in zip(
        case.class_logits[layer, image], case.bbox_pred[layer, image].tolist(), strict=True
    ):
        probabilities = logits.exp() / logits.exp().sum()
        rows.append([])
        for label, other in zip(target["labels"].tolist(), target["boxes"].tolist(), strict=True):
            distance = sum(abs(x - y) for x, y in zip(box, other, strict=True))
            cost = -weights["cost_class"] * probabilities[label].item()
            cost += weights["cost_bbox"] * distance
            rows[-1].append(cost - weights["cost_giou"] * plain_giou(box, other))
    return rows


def plain_giou(a: list[float], b: list[float]) -> float:
    """GIoU of two boxes (cx, cy, w, h), written out."""
    inner, outer = 1.0, 1.0
    for axis in range(2):
        low_a, high_a = a[axis] - a[axis + 2] / 2, a[axis] + a[axis + 2] / 2
        low_b, high_b = b[axis] - b[axis + 2] / 2, b[axis] + b[axis + 2] / 2
        inner *= max(0.0, min(high_a, high_b) - max(low_a, low_b))
        outer *= max(high_a, high_b) - min(low_a, low_b)
    union = a[2] * a[3] + b[2] * b[3] - inner
    return (inner / union if union else 0.0) - ((outer - union) / outer if outer else 0.0)
