import torch
from scipy.optimize import linear_sum_assignment
from torch.nn.utils.rnn import pad_sequence

from detr_steps import Step6, box_cxcywh_to_xyxy, generalized_box_iou
from detr_steps.inputs import check_targets


class MyStep7(Step6):
    """match: for each image (query index [M], target index [M]). The objects choose queries here."""

    def __init__(self, cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha, self.beta, self.gamma = cost_class, cost_bbox, cost_giou

    def objects_by_queries(self, prob, pred, labels, boxes):
        """[B, M, N]"""
        every = torch.arange(len(prob), device=prob.device)[:, None]
        p = prob.transpose(1, 2)[every, labels]  # [B, M, N]
        d = torch.cdist(boxes, pred, p=1.0)
        g = generalized_box_iou(box_cxcywh_to_xyxy(boxes), box_cxcywh_to_xyxy(pred))
        return self.beta * d - self.alpha * p - self.gamma * g

    @torch.no_grad()
    def match(self, outputs, targets):
        prob = outputs["class_logits"].softmax(2)
        B, N = prob.shape[:2]
        check_targets(targets, B, N, self.num_classes)
        labels = pad_sequence([t["labels"] for t in targets], True)
        boxes = pad_sequence([t["boxes"] for t in targets], True, 0.5)
        cost = self.objects_by_queries(prob, outputs["bbox_pred"], labels, boxes.to(prob.dtype))
        cost = cost.cpu()
        out = []
        for i, t in enumerate(targets):
            obj, query = linear_sum_assignment(cost[i, : len(t["labels"])].numpy())
            out.append((torch.from_numpy(query).long(), torch.from_numpy(obj).long()))
        return out
