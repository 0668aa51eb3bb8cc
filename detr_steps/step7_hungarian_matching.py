"""Step 7: which query answers for which object, by the cheapest one-to-one assignment.

Sources: Carion et al. 2020, section 3.1 and appendix A.2; Rezatofighi et al. 2019, "Generalized
Intersection over Union", equation 1; Kuhn 1955, "The Hungarian Method".
"""

from collections.abc import Mapping, Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .arguments import check_arguments
from .inputs import check_boxes, check_costs, check_targets, read_layers
from .step6_auxiliary_outputs import Step6

Pairs = tuple[Tensor, Tensor]  # query index [M] and target index [M] of an image


def box_cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Boxes [..., 4] (cx, cy, w, h) -> their corners (x1, y1, x2, y2), in the same unit."""
    check_boxes(boxes=boxes)
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat((centre - half, centre + half), -1)


def area(top_left: Tensor, bottom_right: Tensor) -> Tensor:
    """Corners [..., 2] and [..., 2] -> area of the box [...]; 0 if they are in the wrong order."""
    width, height = (bottom_right - top_left).clamp(min=0).unbind(-1)
    return width * height


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, 0 where both are 0, as for two boxes without area."""
    return part / whole.masked_fill(whole < torch.finfo(whole.dtype).tiny, 1)


def intersection_and_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    """Corners [..., N, 4] and [..., M, 4] -> areas of intersection and union, each [..., N, M]."""
    boxes1, boxes2 = boxes1[..., :, None, :], boxes2[..., None, :, :]  # all pairs: [..., N, M, 4]
    top_left = torch.maximum(boxes1[..., :2], boxes2[..., :2])  # [..., N, M, 2]
    bottom_right = torch.minimum(boxes1[..., 2:], boxes2[..., 2:])  # [..., N, M, 2]
    intersection = area(top_left, bottom_right)  # [..., N, M]
    areas1 = area(boxes1[..., :2], boxes1[..., 2:])  # [..., N, 1]
    areas2 = area(boxes2[..., :2], boxes2[..., 2:])  # [..., 1, M]
    return intersection, areas1 + areas2 - intersection


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """IoU of all pairs: corners [..., N, 4] and [..., M, 4] -> [..., N, M] in 0..1."""
    check_boxes(axes="[..., N, 4]", boxes1=boxes1, boxes2=boxes2)
    intersection, union = intersection_and_union(boxes1, boxes2)
    return ratio(intersection, union)


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """GIoU of all pairs: corners [..., N, 4] and [..., M, 4] -> [..., N, M] in -1..1.

    GIoU = IoU - (hull - union) / hull, where the hull is the smallest box around both. In
    float32 it is right for sides from 1e-19 to 4e18; smaller boxes count as boxes without area.
    """
    check_boxes(axes="[..., N, 4]", boxes1=boxes1, boxes2=boxes2)
    intersection, union = intersection_and_union(boxes1, boxes2)
    boxes1, boxes2 = boxes1[..., :, None, :], boxes2[..., None, :, :]  # all pairs: [..., N, M, 4]
    top_left = torch.minimum(boxes1[..., :2], boxes2[..., :2])  # [..., N, M, 2]
    bottom_right = torch.maximum(boxes1[..., 2:], boxes2[..., 2:])  # [..., N, M, 2]
    hull = area(top_left, bottom_right)  # [..., N, M]
    return ratio(intersection, union) - ratio(hull - union, hull)


class Step7(Step6):
    """Matches queries and objects one to one; a query that is left over stands for "no object".

    Args:
        cost_class: weight of the class cost, -p(class of the object): a finite number, at least 0.
        cost_bbox: weight of the L1 distance of the boxes (cx, cy, w, h): a finite number, at
            least 0.
        cost_giou: weight of the GIoU cost, -GIoU: a finite number, at least 0.
        **kwargs: arguments of the steps before.
    """

    def __init__(
        self, *, cost_class: float = 2.0, cost_bbox: float = 5.0, cost_giou: float = 2.0, **kwargs
    ):
        check_arguments(cost_class=cost_class, cost_bbox=cost_bbox, cost_giou=cost_giou)
        super().__init__(**kwargs)
        self.cost_class, self.cost_bbox, self.cost_giou = cost_class, cost_bbox, cost_giou

    def match(
        self, outputs: Mapping[str, Tensor], targets: Sequence[Mapping[str, Tensor]]
    ) -> list[Pairs]:
        """Matches the last layer's predictions.

        Args:
            outputs: what `forward` returns: class_logits [B, N, C+1] and bbox_pred [B, N, 4].
            targets: B dicts, labels int64 [M] in 0..C-1 and boxes [M, 4] as (cx, cy, w, h) in 0..1.

        Returns:
            For each image (query index [M], target index [M]), int64, on the CPU, sorted by query.

        Raises:
            TypeError, ValueError: an output or a target is not as above, or an image has more
                objects than there are queries.
        """
        layers = read_layers(outputs, self.num_classes)
        return self.match_layers(layers[-1:], targets)[0]

    @torch.no_grad()
    def match_layers(
        self, layers: Sequence[Mapping[str, Tensor]], targets: Sequence[Mapping[str, Tensor]]
    ) -> list[list[Pairs]]:
        """Predictions of L layers -> pairs of each layer and image, by a single copy to the CPU."""
        class_logits = torch.stack([layer["class_logits"] for layer in layers])  # [L, B, N, C+1]
        bbox_pred = torch.stack([layer["bbox_pred"] for layer in layers])  # [L, B, N, 4]
        check_targets(targets, *class_logits.shape[1:3], self.num_classes)
        labels = pad_sequence([target["labels"] for target in targets], batch_first=True)  # [B, M]
        boxes = pad_sequence([target["boxes"] for target in targets], batch_first=True)  # [B, M, 4]
        cost = self.pair_costs(
            class_logits, bbox_pred, labels.to(bbox_pred.device), boxes.to(bbox_pred)
        )
        cost = cost.cpu()  # one copy for all layers and images: each copy would wait for the GPU
        check_costs(cost, class_logits, bbox_pred)
        return [
            [self.assign(c[:, : len(t["labels"])]) for c, t in zip(layer, targets, strict=True)]
            for layer in cost
        ]

    def pair_costs(
        self, class_logits: Tensor, bbox_pred: Tensor, labels: Tensor, boxes: Tensor
    ) -> Tensor:
        """Cost of every query for every object of its own image: [L, B, N, M], lower is better."""
        columns = labels[None, :, None]  # [1, B, 1, M]
        prob = class_logits.softmax(-1).take_along_dim(columns, -1)  # [L, B, N, M]
        l1 = torch.cdist(bbox_pred, boxes[None], p=1)  # [L, B, N, M]
        giou = self.pair_giou(bbox_pred, boxes)  # [L, B, N, M]
        return -self.cost_class * prob + self.cost_bbox * l1 - self.cost_giou * giou

    def pair_giou(self, boxes1: Tensor, boxes2: Tensor) -> Tensor:
        """Hook: GIoU of all pairs, (cx, cy, w, h) [..., N, 4] and [..., M, 4] -> [..., N, M]."""
        return generalized_box_iou(box_cxcywh_to_xyxy(boxes1), box_cxcywh_to_xyxy(boxes2))

    @staticmethod
    def assign(cost: Tensor) -> Pairs:
        """Cost [N, M] -> the cheapest one-to-one assignment: query index [M], target index [M]."""
        query, target = linear_sum_assignment(cost.numpy())
        return torch.from_numpy(query), torch.from_numpy(target)
