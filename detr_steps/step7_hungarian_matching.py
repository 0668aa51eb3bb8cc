"""Step 7: which query answers for which object, by the cheapest one-to-one assignment.

Sources: Carion et al. 2020, section 3.1 and appendix A.2; Rezatofighi et al. 2019, "Generalized
Intersection over Union", equation 1; Kuhn 1955, "The Hungarian Method".
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .inputs import (
    check_outputs,
    check_predictions,
    check_target_values,
    check_targets,
    finite_images,
)
from .step6_auxiliary_outputs import Step6

Pairs = tuple[Tensor, Tensor]


def box_cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Boxes [..., 4] (cx, cy, w, h) -> their corners (x1, y1, x2, y2), in the same unit."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat((centre - size / 2, centre + size / 2), -1)


def pair_corners(boxes1: Tensor, boxes2: Tensor) -> tuple[Pairs, Pairs]:
    """Corners [..., N, 4] and [..., M, 4] -> (x1, y1) and (x2, y2) of both, ready for all pairs.

    These are [..., 2, N, 1] and [..., 2, 1, M]: with the pairs last, the processor gets long rows.
    """
    corners1 = boxes1.mT[..., :, None]  # [..., 4, N, 1]
    corners2 = boxes2.mT.contiguous()[..., None, :]  # [..., 4, 1, M]
    return corners1.split(2, -3), corners2.split(2, -3)


def area(top_left: Tensor, bottom_right: Tensor) -> Tensor:
    """Corners [..., 2, N, M] -> area of the boxes [..., N, M], 0 where the corners are crossed."""
    width, height = (bottom_right - top_left).clamp(min=0).unbind(-3)
    return width * height


def intersection_and_union(boxes1: Tensor, boxes2: Tensor) -> Pairs:
    """Corners [..., N, 4] and [..., M, 4] -> areas of intersection and union, each [..., N, M]."""
    (top_left1, bottom_right1), (top_left2, bottom_right2) = pair_corners(boxes1, boxes2)
    top_left = torch.maximum(top_left1, top_left2)  # [..., 2, N, M]
    bottom_right = torch.minimum(bottom_right1, bottom_right2)  # [..., 2, N, M]
    intersection = area(top_left, bottom_right)  # [..., N, M]
    both = area(top_left1, bottom_right1) + area(top_left2, bottom_right2)  # [..., N, M]
    return intersection, both - intersection


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, 0 where both are 0, as for two boxes without area."""
    return part / whole.clamp(min=torch.finfo(whole.dtype).tiny)


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """IoU of all pairs: corners [..., N, 4] and [..., M, 4] -> [..., N, M] in 0..1."""
    return ratio(*intersection_and_union(boxes1, boxes2))


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """GIoU of all pairs: corners [..., N, 4] and [..., M, 4] -> [..., N, M] in -1..1.

    GIoU = IoU - (hull - union) / hull, where the hull is the smallest box around both.
    """
    intersection, union = intersection_and_union(boxes1, boxes2)
    (top_left1, bottom_right1), (top_left2, bottom_right2) = pair_corners(boxes1, boxes2)
    top_left = torch.minimum(top_left1, top_left2)  # [..., 2, N, M]
    bottom_right = torch.maximum(bottom_right1, bottom_right2)  # [..., 2, N, M]
    hull = area(top_left, bottom_right)  # [..., N, M]
    return ratio(intersection, union) - ratio(hull - union, hull)


def to_host(*tensors: Tensor) -> list[Tensor]:
    """Copies all tensors, which share one float dtype, to the CPU in one transfer."""
    flat = torch.cat([tensor.flatten() for tensor in tensors]).cpu()
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


class Step7(Step6):
    """Matches queries and objects one to one; a query that is left over stands for "no object".

    Args:
        cost_class: weight of minus the probability of the object's class.
        cost_bbox: weight of the L1 distance of the boxes (cx, cy, w, h).
        cost_giou: weight of minus their GIoU.
        **kwargs: arguments of the steps before.
    """

    def __init__(
        self, cost_class: float = 2.0, cost_bbox: float = 5.0, cost_giou: float = 2.0, **kwargs
    ):
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
        check_outputs(outputs, self.num_classes)
        class_logits, bbox_pred = outputs["class_logits"][None], outputs["bbox_pred"][None]
        return self.match_layers(class_logits, bbox_pred, targets)[0]

    @torch.no_grad()
    def match_layers(
        self, class_logits: Tensor, bbox_pred: Tensor, targets: Sequence[Mapping[str, Tensor]]
    ) -> list[list[Pairs]]:
        """[L, B, N, C+1] and [L, B, N, 4] -> pairs of each layer and image, by one host copy."""
        check_targets(targets, *class_logits.shape[1:3])
        dtype = torch.promote_types(class_logits.dtype, torch.float32)
        class_logits, bbox_pred = class_logits.to(dtype), bbox_pred.to(dtype)
        labels, boxes = self.pad_targets(targets, bbox_pred)  # [B, M] and [B, M, 4]
        cost = self.pair_costs(class_logits, bbox_pred, labels, boxes)  # [L, B, N, M]

        finite = finite_images(class_logits), finite_images(bbox_pred)  # [L, B] each
        cost, labels, boxes, *finite = to_host(cost, labels.to(dtype), boxes, *finite)
        check_predictions(*finite)
        check_target_values(labels, boxes, self.num_classes)
        sizes = [len(target["labels"]) for target in targets]
        return [
            [self.assign(image[:, :size]) for image, size in zip(layer, sizes, strict=True)]
            for layer in cost.numpy()
        ]

    def pair_costs(
        self, class_logits: Tensor, bbox_pred: Tensor, labels: Tensor, boxes: Tensor
    ) -> Tensor:
        """Cost of every query for every object of its own image: [L, B, N, M], lower is better."""
        prob = class_logits.softmax(-1)  # [L, B, N, C+1]
        columns = labels.clamp(0, self.num_classes)[:, None]  # [B, 1, M]
        prob = prob.gather(-1, columns.expand(*prob.shape[:3], -1))  # [L, B, N, M]
        l1 = torch.cdist(bbox_pred, boxes.expand(len(bbox_pred), -1, -1, -1), p=1)  # [L, B, N, M]
        corners = box_cxcywh_to_xyxy(bbox_pred), box_cxcywh_to_xyxy(boxes)
        giou = generalized_box_iou(*corners)  # [L, B, N, M]
        return self.cost_bbox * l1 - self.cost_class * prob - self.cost_giou * giou

    @staticmethod
    def pad_targets(targets: Sequence[Mapping[str, Tensor]], like: Tensor) -> Pairs:
        """Labels [B, M] and boxes [B, M, 4] of the batch, filled up with zeros to the largest M."""
        labels = pad_sequence([target["labels"] for target in targets], batch_first=True)
        boxes = pad_sequence([target["boxes"] for target in targets], batch_first=True)
        return labels.to(like.device), boxes.to(like)

    @staticmethod
    def assign(cost: np.ndarray) -> Pairs:
        """Cost [N, M] -> the cheapest one-to-one assignment: query index [M], target index [M]."""
        query, target = linear_sum_assignment(cost)
        return torch.from_numpy(query), torch.from_numpy(target)
