import torch


def area_of(corners):
    size = corners[..., 2:] - corners[..., :2]
    return size.clamp(min=0).prod(-1)


def safe_div(a, b):
    return a / b.where(b > 0, torch.ones_like(b))


def my_giou_loss(boxes1, boxes2):
    (p1, q1), (p2, q2) = boxes1.split(2, -1), boxes2.split(2, -1)
    overlap = area_of(torch.cat((torch.maximum(p1, p2), torch.minimum(q1, q2)), -1))
    hull = area_of(torch.cat((torch.minimum(p1, p2), torch.maximum(q1, q2)), -1))
    union = area_of(boxes1) + area_of(boxes2) - overlap
    giou = safe_div(overlap, union) - safe_div(hull - union, hull)
    return 1 - giou
