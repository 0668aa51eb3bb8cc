import torch
import torch.nn.functional as F

from detr_steps import Step7, box_cxcywh_to_xyxy, giou_loss
from detr_steps.step8_set_loss import mean_over_processes


class MyStep8(Step7):
    """compute_loss: a scalar."""

    def __init__(self, w_class=2.0, w_bbox=5.0, w_giou=2.0, no_object_weight=0.1, **kwargs):
        super().__init__(**kwargs)
        self.w_class, self.w_bbox, self.w_giou = w_class, w_bbox, w_giou
        self.no_object_weight = no_object_weight

    def compute_loss(self, outputs, targets):
        layers = [*outputs.get("aux_outputs", []), outputs]
        loss = 0
        for layer, pairs in zip(layers, self.match_layers(layers, targets)):
            logits, boxes = layer["class_logits"], layer["bbox_pred"]
            K = mean_over_processes(boxes.new_tensor(sum(len(q) for q, _ in pairs))).clamp(min=1)
            classes = torch.full(logits.shape[:2], self.num_classes, device=logits.device)
            for i, (q, o) in enumerate(pairs):
                classes[i, q] = targets[i]["labels"][o]
            ours = torch.cat([boxes[i, q] for i, (q, _) in enumerate(pairs)])
            true = torch.cat([t["boxes"][o] for t, (_, o) in zip(targets, pairs)]).to(ours)
            weight = logits.new_ones(self.num_classes + 1)
            weight[-1] = self.no_object_weight
            giou = giou_loss(box_cxcywh_to_xyxy(ours), box_cxcywh_to_xyxy(true)).sum()
            loss += self.w_class * F.cross_entropy(logits.flatten(0, 1), classes.flatten(), weight)
            loss += (self.w_bbox * F.l1_loss(ours, true, reduction="sum") + self.w_giou * giou) / K
        return loss
