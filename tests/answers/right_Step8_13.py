import torch
import torch.nn.functional as F

from detr_steps import Step7, box_cxcywh_to_xyxy, giou_loss


class MyStep8(Step7):
    """compute_loss: a scalar."""

    def __init__(self, w_class=2.0, w_bbox=5.0, w_giou=2.0, no_object_weight=0.1, **kwargs):
        super().__init__(**kwargs)
        self.factors = {"class": w_class, "bbox": w_bbox, "giou": w_giou}
        self.no_object_weight = no_object_weight

    def one_layer(self, layer, targets, pairs, num_boxes):
        logits, boxes = layer["class_logits"], layer["bbox_pred"]
        wanted = torch.full(logits.shape[:2], self.num_classes, dtype=torch.int64, device=logits.device)
        found, true = [], []
        for b, (query, index) in enumerate(pairs):
            wanted[b, query] = targets[b]["labels"][index]
            found.append(boxes[b, query])
            true.append(targets[b]["boxes"][index])
        found, true = torch.cat(found), torch.cat(true)
        weight = logits.new_ones(self.num_classes + 1)
        weight[self.num_classes] = self.no_object_weight
        return {
            "class": F.cross_entropy(logits.transpose(1, 2), wanted, weight),
            "bbox": F.l1_loss(found, true, reduction="sum") / num_boxes,
            "giou": giou_loss(box_cxcywh_to_xyxy(found), box_cxcywh_to_xyxy(true)).sum() / num_boxes,
        }

    def compute_loss(self, outputs, targets):
        layers = list(outputs.get("aux_outputs", [])) + [outputs]
        num_boxes = max(sum(len(t["labels"]) for t in targets), 1)
        loss = 0
        for layer, pairs in zip(layers, self.match_layers(layers, targets)):
            terms = self.one_layer(layer, targets, pairs, num_boxes)
            loss = loss + sum(self.factors[key] * terms[key] for key in terms)
        return loss
