import torch


def my_giou_loss(boxes1, boxes2):
    """1 - GIoU, pair by pair: corners [..., 4] and [..., 4] -> [...]."""
    both = torch.stack(torch.broadcast_tensors(boxes1, boxes2))  # [2, ..., 4]
    upper, lower = both[..., :2], both[..., 2:]

    w, h = (lower.amin(0) - upper.amax(0)).clamp(min=0).unbind(-1)
    shared = w * h
    w, h = (lower.amax(0) - upper.amin(0)).unbind(-1)
    hull = w * h
    w, h = (lower - upper).unbind(-1)
    union = (w * h).sum(0) - shared

    iou = (union != 0) * shared / (union + (union == 0))  # 0 / 0 counts as 0
    empty = (hull != 0) * (hull - union) / (hull + (hull == 0))
    return 1 - iou + empty
