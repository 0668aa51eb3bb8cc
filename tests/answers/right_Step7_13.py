import torch
from scipy.optimize import linear_sum_assignment

from detr_steps import Step6, box_cxcywh_to_xyxy, generalized_box_iou
from detr_steps.step7_hungarian_matching import check_targets


class MyStep7(Step6):
    """HungarianMatcher of the official DETR."""

    def __init__(self, cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, **kwargs):
        super().__init__(**kwargs)
        self.cost_class = cost_class
        self.cost_bbox = cost_bbox
        self.cost_giou = cost_giou

    @torch.no_grad()
    def match(self, outputs, targets):
        bs, num_queries = outputs["class_logits"].shape[:2]
        check_targets(targets, bs, num_queries, self.num_classes)
        out_prob = outputs["class_logits"].flatten(0, 1).softmax(-1)
        out_bbox = outputs["bbox_pred"].flatten(0, 1)

        tgt_ids = torch.cat([v["labels"] for v in targets])
        tgt_bbox = torch.cat([v["boxes"] for v in targets])

        cost_class = -out_prob[:, tgt_ids]
        cost_bbox = torch.cdist(out_bbox, tgt_bbox, p=1)
        cost_giou = -generalized_box_iou(box_cxcywh_to_xyxy(out_bbox), box_cxcywh_to_xyxy(tgt_bbox))

        C = self.cost_bbox * cost_bbox + self.cost_class * cost_class + self.cost_giou * cost_giou
        C = C.view(bs, num_queries, -1).cpu()

        sizes = [len(v["boxes"]) for v in targets]
        indices = [linear_sum_assignment(c[i]) for i, c in enumerate(C.split(sizes, -1))]
        return [
            (torch.as_tensor(i, dtype=torch.int64), torch.as_tensor(j, dtype=torch.int64))
            for i, j in indices
        ]
