# after facebookresearch/detr, models/matcher.py
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from detr_steps import Step6, box_cxcywh_to_xyxy, generalized_box_iou
from detr_steps.inputs import check_targets


class HungarianMatcher(nn.Module):
    def __init__(self, cost_class: float = 1, cost_bbox: float = 1, cost_giou: float = 1):
        super().__init__()
        self.cost_class = cost_class
        self.cost_bbox = cost_bbox
        self.cost_giou = cost_giou

    @torch.no_grad()
    def forward(self, outputs, targets):
        bs, num_queries = outputs["pred_logits"].shape[:2]

        # We flatten to compute the cost matrices in a batch
        out_prob = outputs["pred_logits"].flatten(0, 1).softmax(-1)  # [bs * num_queries, num_classes]
        out_bbox = outputs["pred_boxes"].flatten(0, 1)  # [bs * num_queries, 4]

        # Also concat the target labels and boxes
        tgt_ids = torch.cat([v["labels"] for v in targets])
        tgt_bbox = torch.cat([v["boxes"] for v in targets]).to(out_bbox.dtype)

        cost_class = -out_prob[:, tgt_ids]
        cost_bbox = torch.cdist(out_bbox, tgt_bbox, p=1)
        cost_giou = -generalized_box_iou(box_cxcywh_to_xyxy(out_bbox), box_cxcywh_to_xyxy(tgt_bbox))

        # Final cost matrix
        C = self.cost_bbox * cost_bbox + self.cost_class * cost_class + self.cost_giou * cost_giou
        sizes = [len(v["boxes"]) for v in targets]
        C = C.view(bs, num_queries, sum(sizes)).cpu()

        indices = [linear_sum_assignment(c[i]) for i, c in enumerate(C.split(sizes, -1))]
        return [
            (torch.as_tensor(i, dtype=torch.int64), torch.as_tensor(j, dtype=torch.int64))
            for i, j in indices
        ]


class MyStep7(Step6):
    """match: for each image (query index [M], target index [M])."""

    def __init__(self, cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, **kwargs):
        super().__init__(**kwargs)
        self.matcher = HungarianMatcher(cost_class, cost_bbox, cost_giou)

    def match(self, outputs, targets):
        B, N = outputs["class_logits"].shape[:2]
        check_targets(targets, B, N, self.num_classes)
        renamed = {"pred_logits": outputs["class_logits"], "pred_boxes": outputs["bbox_pred"]}
        return self.matcher(renamed, targets)
