"""
Utilities for bounding box manipulation and GIoU (after the official DETR).
"""
import torch


def box_area(b):
    return (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])


# modified from torchvision to also return the union
def box_iou(boxes1, boxes2):
    area1 = box_area(boxes1)
    area2 = box_area(boxes2)

    lt = torch.max(boxes1[..., :, None, :2], boxes2[..., None, :, :2])  # [N,M,2]
    rb = torch.min(boxes1[..., :, None, 2:], boxes2[..., None, :, 2:])  # [N,M,2]

    wh = (rb - lt).clamp(min=0)  # [N,M,2]
    inter = wh[..., 0] * wh[..., 1]  # [N,M]

    union = area1[..., :, None] + area2[..., None, :] - inter

    safe = torch.where(union > 0, union, torch.ones_like(union))
    iou = torch.where(union > 0, inter / safe, torch.zeros_like(inter))
    return iou, union


def my_giou(boxes1, boxes2):
    """
    Generalized IoU from https://giou.stanford.edu/

    The boxes should be in [x0, y0, x1, y1] format
    """
    iou, union = box_iou(boxes1, boxes2)

    lt = torch.min(boxes1[..., :, None, :2], boxes2[..., None, :, :2])
    rb = torch.max(boxes1[..., :, None, 2:], boxes2[..., None, :, 2:])

    wh = (rb - lt).clamp(min=0)  # [N,M,2]
    area = wh[..., 0] * wh[..., 1]

    safe = torch.where(area > 0, area, torch.ones_like(area))
    return iou - torch.where(area > 0, (area - union) / safe, torch.zeros_like(area))
