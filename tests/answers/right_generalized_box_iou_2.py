import torch
from detr_steps import box_iou


def my_giou(boxes1, boxes2):
    a, b = boxes1.unsqueeze(-2), boxes2.unsqueeze(-3)
    area = lambda x: (x[..., 2:] - x[..., :2]).prod(-1)
    iou = box_iou(boxes1, boxes2)
    both = area(a) + area(b)
    union = both - both * iou / (1 + iou)  # because IoU = I / (both - I)
    hull = area(torch.cat([torch.minimum(a, b)[..., :2], torch.maximum(a, b)[..., 2:]], -1))
    return iou - torch.where(hull > 0, (hull - union) / hull.masked_fill(hull <= 0, 1), 0)
