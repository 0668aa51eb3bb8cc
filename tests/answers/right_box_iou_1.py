import torch


def my_iou(boxes1, boxes2):
    ax1, ay1, ax2, ay2 = boxes1.unsqueeze(-2).unbind(-1)  # [..., N, 1]
    bx1, by1, bx2, by2 = boxes2.unsqueeze(-3).unbind(-1)  # [..., 1, M]
    wide = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    high = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    shared = wide * high
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
    return shared / torch.where(union > 0, union, torch.ones_like(union))
