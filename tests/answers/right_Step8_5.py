# after facebookresearch/detr, models/detr.py
import torch
import torch.nn.functional as F
from torch import nn

from detr_steps import Step7, box_cxcywh_to_xyxy, generalized_box_iou


def is_dist_avail_and_initialized():
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def get_world_size():
    return torch.distributed.get_world_size() if is_dist_avail_and_initialized() else 1


class SetCriterion(nn.Module):
    def __init__(self, num_classes, weight_dict, eos_coef, losses):
        super().__init__()
        self.num_classes = num_classes
        self.weight_dict = weight_dict
        self.eos_coef = eos_coef
        self.losses = losses
        empty_weight = torch.ones(self.num_classes + 1)
        empty_weight[-1] = self.eos_coef
        self.register_buffer("empty_weight", empty_weight, persistent=False)

    def loss_labels(self, outputs, targets, indices, num_boxes):
        src_logits = outputs["class_logits"]
        idx = self._get_src_permutation_idx(indices)
        target_classes_o = torch.cat([t["labels"][J] for t, (_, J) in zip(targets, indices)])
        target_classes = torch.full(
            src_logits.shape[:2], self.num_classes, dtype=torch.int64, device=src_logits.device
        )
        target_classes[idx] = target_classes_o
        loss_ce = F.cross_entropy(
            src_logits.transpose(1, 2), target_classes, self.empty_weight.to(src_logits.dtype)
        )
        return {"loss_ce": loss_ce}

    def loss_boxes(self, outputs, targets, indices, num_boxes):
        idx = self._get_src_permutation_idx(indices)
        src_boxes = outputs["bbox_pred"][idx]
        target_boxes = torch.cat([t["boxes"][i] for t, (_, i) in zip(targets, indices)], dim=0)

        loss_bbox = F.l1_loss(src_boxes, target_boxes, reduction="none")
        losses = {"loss_bbox": loss_bbox.sum() / num_boxes}

        loss_giou = 1 - torch.diag(
            generalized_box_iou(box_cxcywh_to_xyxy(src_boxes), box_cxcywh_to_xyxy(target_boxes))
        )
        losses["loss_giou"] = loss_giou.sum() / num_boxes
        return losses

    def _get_src_permutation_idx(self, indices):
        # permute predictions following indices
        batch_idx = torch.cat([torch.full_like(src, i) for i, (src, _) in enumerate(indices)])
        src_idx = torch.cat([src for (src, _) in indices])
        return batch_idx, src_idx

    def get_loss(self, loss, outputs, targets, indices, num_boxes):
        loss_map = {"labels": self.loss_labels, "boxes": self.loss_boxes}
        return loss_map[loss](outputs, targets, indices, num_boxes)

    def forward(self, outputs, targets, matcher):
        layers = [*outputs.get("aux_outputs", []), outputs]
        matched = matcher(layers, targets)

        # Average number of target boxes across all nodes, for normalization purposes
        num_boxes = sum(len(t["labels"]) for t in targets)
        num_boxes = torch.as_tensor(
            [num_boxes], dtype=torch.float, device=outputs["bbox_pred"].device
        )
        if is_dist_avail_and_initialized():
            torch.distributed.all_reduce(num_boxes)
        num_boxes = torch.clamp(num_boxes / get_world_size(), min=1).item()

        losses = {}
        for i, (layer, indices) in enumerate(zip(layers, matched)):
            for loss in self.losses:
                l_dict = self.get_loss(loss, layer, targets, indices, num_boxes)
                losses.update({f"{k}_{i}": v for k, v in l_dict.items()})
        return losses


class MyStep8(Step7):
    """compute_loss: a scalar."""

    def __init__(self, w_class=2.0, w_bbox=5.0, w_giou=2.0, no_object_weight=0.1, **kwargs):
        super().__init__(**kwargs)
        weight_dict = {"loss_ce": w_class, "loss_bbox": w_bbox, "loss_giou": w_giou}
        self.criterion = SetCriterion(
            self.num_classes, weight_dict, eos_coef=no_object_weight, losses=["labels", "boxes"]
        )

    def compute_loss(self, outputs, targets):
        loss_dict = self.criterion(outputs, targets, self.match_layers)
        weight_dict = self.criterion.weight_dict
        return sum(loss_dict[k] * weight_dict[k.rsplit("_", 1)[0]] for k in loss_dict)
