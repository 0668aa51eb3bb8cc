import torch
import torch.nn.functional as F

from detr_steps import Step7, box_cxcywh_to_xyxy, giou_loss


class MyStep8(Step7):
    """compute_loss: a scalar."""

    def __init__(self, w_class=2.0, w_bbox=5.0, w_giou=2.0, no_object_weight=0.1, **kwargs):
        super().__init__(**kwargs)
        self.factors = {"class": w_class, "bbox": w_bbox, "giou": w_giou}
        self.eos = no_object_weight

    def compute_loss(self, outputs, targets):
        layers = list(outputs.get("aux_outputs", [])) + [outputs]
        K = max(sum(len(t["labels"]) for t in targets), 1)
        total = 0.0
        for layer, pairs in zip(layers, self.match_layers(layers, targets)):
            logits, boxes = layer["class_logits"], layer["bbox_pred"]
            classes = torch.full(logits.shape[:2], self.num_classes, device=logits.device)
            bbox = giou = boxes.sum() * 0
            for i, (query, index) in enumerate(pairs):
                query, index = query.to(logits.device), index.to(logits.device)
                classes[i, query] = targets[i]["labels"].to(logits.device)[index]
                wanted = targets[i]["boxes"].to(boxes)[index]
                mine = boxes[i, query]
                bbox = bbox + F.l1_loss(mine, wanted, reduction="sum")
                corners = box_cxcywh_to_xyxy(mine), box_cxcywh_to_xyxy(wanted)
                giou = giou + giou_loss(*corners).sum()
            weight = logits.new_ones(self.num_classes + 1)
            weight[-1] = self.eos
            entropy = F.cross_entropy(logits.transpose(1, 2), classes, weight)
            total = total + self.factors["class"] * entropy
            total = total + (self.factors["bbox"] * bbox + self.factors["giou"] * giou) / K
        return total
