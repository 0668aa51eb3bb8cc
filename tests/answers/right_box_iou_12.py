import torch


def my_iou(boxes1, boxes2):
    area1 = (boxes1[..., 2] - boxes1[..., 0]) * (boxes1[..., 3] - boxes1[..., 1])  # [..., N]
    area2 = (boxes2[..., 2] - boxes2[..., 0]) * (boxes2[..., 3] - boxes2[..., 1])  # [..., M]
    first, second = boxes1.unsqueeze(-2), boxes2.unsqueeze(-3)
    lt = torch.max(first[..., :2], second[..., :2])
    rb = torch.min(first[..., 2:], second[..., 2:])
    wh = (rb - lt).clamp(min=0)
    inter = wh[..., 0] * wh[..., 1]
    union = area1.unsqueeze(-1) + area2.unsqueeze(-2) - inter
    return torch.where(union > 0, inter / torch.where(union > 0, union, torch.ones_like(union)), torch.zeros_like(union))
