import torch
from scipy.optimize import linear_sum_assignment

from detr_steps import Step6, box_cxcywh_to_xyxy, generalized_box_iou
from detr_steps.inputs import check_targets


class MyStep7(Step6):
    """match: for each image (query index [M], target index [M])."""

    def __init__(self, cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, **kwargs):
        super().__init__(**kwargs)
        self.cost_class = cost_class
        self.cost_bbox = cost_bbox
        self.cost_giou = cost_giou

    def match(self, outputs, targets):
        (pairs,) = self.match_layers([outputs], targets)
        return pairs

    @torch.no_grad()
    def match_layers(self, layers, targets):
        logits = torch.stack([layer["class_logits"] for layer in layers])  # [L, B, N, C+1]
        boxes = torch.stack([layer["bbox_pred"] for layer in layers])  # [L, B, N, 4]
        L, B, N = logits.shape[:3]
        check_targets(targets, B, N, self.num_classes)
        sizes = [len(t["labels"]) for t in targets]
        labels = torch.zeros(B, max(sizes), dtype=torch.int64, device=logits.device)
        objects = boxes.new_zeros(B, max(sizes), 4)
        for b, t in enumerate(targets):
            labels[b, : sizes[b]] = t["labels"]
            objects[b, : sizes[b]] = t["boxes"]
        score = self.score(logits, boxes, labels.expand(L, -1, -1), objects.expand(L, -1, -1, -1))
        score = score.tolist()  # nested lists: the one copy
        return [[self.best(score[k][b], sizes[b]) for b in range(B)] for k in range(L)]

    def score(self, logits, boxes, labels, objects):
        """How well each pair fits, [L, B, N, M]: the cost with the other sign."""
        log_prob = logits.log_softmax(-1)
        index = labels[:, :, None, :].expand(-1, -1, logits.shape[2], -1)
        good = self.cost_class * log_prob.gather(-1, index).exp()
        for axis in range(4):
            good = good - self.cost_bbox * torch.cdist(
                boxes[..., axis : axis + 1], objects[..., axis : axis + 1], p=1
            )
        giou = generalized_box_iou(box_cxcywh_to_xyxy(boxes), box_cxcywh_to_xyxy(objects))
        return good + self.cost_giou * giou

    @staticmethod
    def best(rows, size):
        table = torch.tensor([row[:size] for row in rows], dtype=torch.float64)
        query, index = linear_sum_assignment(table, maximize=True)
        return torch.as_tensor(query), torch.as_tensor(index)
