import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from detr_steps import Step6
from detr_steps.inputs import check_targets


def edges(box):
    cx, cy, w, h = box[..., 0], box[..., 1], box[..., 2], box[..., 3]
    left = cx - w / 2
    right = cx + w / 2
    top = cy - h / 2
    bottom = cy + h / 2
    return left, top, right, bottom


def safe_divide(a, b):
    empty = b == 0
    return torch.where(empty, torch.zeros_like(a), a / torch.where(empty, torch.ones_like(b), b))


class MyStep7(Step6):
    """match: for each image (query index [M], target index [M])."""

    def __init__(self, cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, **kwargs):
        super().__init__(**kwargs)
        self.cost_class = cost_class
        self.cost_bbox = cost_bbox
        self.cost_giou = cost_giou

    def one_column(self, p, guessed, box):
        """Costs of all N queries of an image for one object."""
        distance = torch.zeros_like(p)
        for k in range(4):
            distance = distance + torch.abs(guessed[:, k] - box[k])

        l1, t1, r1, b1 = edges(guessed)
        l2, t2, r2, b2 = edges(box)
        width = torch.clamp(torch.minimum(r1, r2) - torch.maximum(l1, l2), min=0)
        height = torch.clamp(torch.minimum(b1, b2) - torch.maximum(t1, t2), min=0)
        both = width * height
        union = (r1 - l1) * (b1 - t1) + (r2 - l2) * (b2 - t2) - both
        hull_width = torch.maximum(r1, r2) - torch.minimum(l1, l2)
        hull_height = torch.maximum(b1, b2) - torch.minimum(t1, t2)
        hull = hull_width * hull_height
        giou = safe_divide(both, union) - safe_divide(hull - union, hull)

        return self.cost_bbox * distance - self.cost_class * p - self.cost_giou * giou

    def match(self, outputs, targets):
        logits = outputs["class_logits"].detach()
        guessed = outputs["bbox_pred"].detach()
        number_of_images, number_of_queries, _ = logits.shape
        check_targets(targets, number_of_images, number_of_queries, self.num_classes)
        probability = torch.softmax(logits, dim=2)

        columns = []
        for image in range(number_of_images):
            for label, box in zip(targets[image]["labels"], targets[image]["boxes"]):
                p = probability[image].index_select(1, label.reshape(1))[:, 0]
                columns.append(self.one_column(p, guessed[image], box))

        table = np.zeros((0, number_of_queries))
        if columns:
            table = torch.stack(columns).cpu().numpy()  # all objects of the batch: one copy

        answer = []
        start = 0
        for image in range(number_of_images):
            m = len(targets[image]["labels"])
            queries, objects = linear_sum_assignment(table[start : start + m].T)
            answer.append((torch.from_numpy(queries).long(), torch.from_numpy(objects).long()))
            start = start + m
        return answer
