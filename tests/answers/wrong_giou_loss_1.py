# slip: returns GIoU's negative without the 1
import torch


def my_giou_loss(boxes1, boxes2):
    x1, y1, x2, y2 = boxes1.unbind(-1)
    u1, v1, u2, v2 = boxes2.unbind(-1)
    w = (torch.minimum(x2, u2) - torch.maximum(x1, u1)).clamp(min=0)
    h = (torch.minimum(y2, v2) - torch.maximum(y1, v1)).clamp(min=0)
    inter = w * h
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - inter
    hull = (torch.maximum(x2, u2) - torch.minimum(x1, u1)) * (
        torch.maximum(y2, v2) - torch.minimum(y1, v1)
    )
    one = torch.ones_like(hull)
    iou = inter / torch.where(union > 0, union, one)
    return (hull - union) / torch.where(hull > 0, hull, one) - iou
