import torch
from torch.nn.functional import relu


def pairs(boxes1, boxes2):
    """"... n c, ... m c -> c ... n m" for both, like einops.rearrange."""
    return boxes1.unsqueeze(-2).movedim(-1, 0), boxes2.unsqueeze(-3).movedim(-1, 0)


def size(box):
    x1, y1, x2, y2 = box
    return (x2 - x1) * (y2 - y1)


def my_iou(boxes1, boxes2):
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a, b = pairs(boxes1, boxes2)
    w = relu(torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1))
    h = relu(torch.minimum(ay2, by2) - torch.maximum(ay1, by1))
    both = w * h
    either = size(a) + size(b) - both
    has_area = either > 0
    return torch.where(has_area, both, 0.0) / torch.where(has_area, either, 1.0)
