import torch
from scipy import optimize

from detr_steps import Step6
from detr_steps.inputs import check_targets


def divide_no_nan(x, y):
    """tf.math.divide_no_nan"""
    zero = torch.eq(y, 0)
    return torch.where(zero, torch.zeros_like(x), torch.divide(x, torch.where(zero, 1.0, y)))


def to_corners(boxes):
    cx, cy, w, h = torch.split(boxes, 1, dim=-1)
    return torch.concat([cx - 0.5 * w, cy - 0.5 * h, cx + 0.5 * w, cy + 0.5 * h], dim=-1)


def giou_of(boxes1, boxes2):
    xmin1, ymin1, xmax1, ymax1 = torch.unbind(torch.unsqueeze(boxes1, -2), dim=-1)
    xmin2, ymin2, xmax2, ymax2 = torch.unbind(torch.unsqueeze(boxes2, -3), dim=-1)
    area1 = torch.multiply(xmax1 - xmin1, ymax1 - ymin1)
    area2 = torch.multiply(xmax2 - xmin2, ymax2 - ymin2)
    inter_w = torch.relu(torch.minimum(xmax1, xmax2) - torch.maximum(xmin1, xmin2))
    inter_h = torch.relu(torch.minimum(ymax1, ymax2) - torch.maximum(ymin1, ymin2))
    inter = torch.multiply(inter_w, inter_h)
    union = torch.add(area1, area2) - inter
    hull_w = torch.maximum(xmax1, xmax2) - torch.minimum(xmin1, xmin2)
    hull_h = torch.maximum(ymax1, ymax2) - torch.minimum(ymin1, ymin2)
    hull = torch.multiply(hull_w, hull_h)
    return divide_no_nan(inter, union) - divide_no_nan(hull - union, hull)


class Pairing(torch.nn.Module):
    """tf.keras style: a layer that is called with (y_true, y_pred)."""

    def __init__(self, w_class, w_l1, w_giou):
        super().__init__()
        self.w_class, self.w_l1, self.w_giou = w_class, w_l1, w_giou

    def call(self, classes, boxes, logits, pred):
        prob = torch.softmax(logits, dim=-1)
        index = torch.tile(torch.unsqueeze(classes, 0), (prob.shape[0], 1))
        cost = -self.w_class * torch.take_along_dim(prob, index, dim=-1)
        pairwise = torch.unsqueeze(pred, -2) - torch.unsqueeze(boxes, -3)
        cost = cost + self.w_l1 * torch.sum(torch.abs(pairwise), dim=-1)
        return cost - self.w_giou * giou_of(to_corners(pred), to_corners(boxes))

    forward = call


class MyStep7(Step6):
    """match: for each image (query index [M], target index [M])."""

    def __init__(self, cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, **kwargs):
        super().__init__(**kwargs)
        self.pairing = Pairing(w_class=cost_class, w_l1=cost_bbox, w_giou=cost_giou)

    def match(self, outputs, targets):
        logits = outputs["class_logits"].detach()
        pred = outputs["bbox_pred"].detach()
        check_targets(targets, logits.size(0), logits.size(1), self.num_classes)
        ragged = [
            self.pairing(t["labels"], t["boxes"], logits[i], pred[i]) for i, t in enumerate(targets)
        ]
        row_lengths = [cost.size(-1) for cost in ragged]
        on_host = torch.concat(ragged, dim=-1).cpu()  # [N, M1 + M2 + ..]
        results = []
        for cost in torch.split(on_host, row_lengths, dim=-1):
            query, target = optimize.linear_sum_assignment(cost.numpy())
            results.append((torch.as_tensor(query).to(torch.int64), torch.as_tensor(target).to(torch.int64)))
        return results
