from dataclasses import dataclass
from typing import Dict, List, Tuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch.nn.utils.rnn import pad_sequence

from detr_steps import Step6, box_cxcywh_to_xyxy, generalized_box_iou
from detr_steps.inputs import check_targets


@dataclass
class Instances:
    """In the manner of detectron2.structures: the padded ground truth of a batch."""

    gt_classes: torch.Tensor  # [B, M]
    gt_boxes: torch.Tensor  # [B, M, 4], cxcywh
    num_instances: List[int]

    @classmethod
    def from_targets(cls, targets):
        return cls(
            gt_classes=pad_sequence([x["labels"] for x in targets], batch_first=True),
            gt_boxes=pad_sequence([x["boxes"] for x in targets], batch_first=True),
            num_instances=[len(x["labels"]) for x in targets],
        )


class MyStep7(Step6):
    """match: for each image (query index [M], target index [M])."""

    def __init__(self, cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, **kwargs):
        super().__init__(**kwargs)
        self.cost_weights: Dict[str, float] = {
            "class": cost_class,
            "bbox": cost_bbox,
            "giou": cost_giou,
        }

    def matching_costs(self, outputs, gt: Instances) -> Dict[str, torch.Tensor]:
        pred_scores = F.softmax(outputs["class_logits"], dim=-1)
        pred_boxes = outputs["bbox_pred"]
        one_hot = F.one_hot(gt.gt_classes, self.num_classes + 1).to(pred_scores)  # [B, M, C+1]
        return {
            "class": -torch.einsum("bnc,bmc->bnm", pred_scores, one_hot),
            "bbox": F.l1_loss(
                *torch.broadcast_tensors(pred_boxes.unsqueeze(2), gt.gt_boxes.unsqueeze(1)),
                reduction="none",
            ).sum(-1),
            "giou": -generalized_box_iou(
                box_cxcywh_to_xyxy(pred_boxes), box_cxcywh_to_xyxy(gt.gt_boxes)
            ),
        }

    def match(self, outputs, targets) -> List[Tuple[torch.Tensor, torch.Tensor]]:
        batch_size, num_queries = outputs["class_logits"].shape[:2]
        check_targets(targets, batch_size, num_queries, self.num_classes)
        gt = Instances.from_targets(targets)
        with torch.no_grad():
            costs = self.matching_costs(outputs, gt)
            total = sum(self.cost_weights[k] * costs[k] for k in costs)
        total = total.to("cpu")
        matched = []
        for cost_matrix, m in zip(total, gt.num_instances):
            row, col = linear_sum_assignment(cost_matrix[:, :m])
            matched.append((torch.tensor(row).long(), torch.tensor(col).long()))
        return matched
