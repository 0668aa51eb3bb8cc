import torch
from torchvision.ops.boxes import _box_inter_union


def fraction(top, bottom):
    zero = bottom == 0
    return torch.where(zero, 0.0, top / torch.where(zero, 1.0, bottom))


def my_giou(boxes1, boxes2):
    inter, union = _box_inter_union(boxes1, boxes2)
    lti = torch.min(boxes1[..., :, None, :2], boxes2[..., None, :, :2])
    rbi = torch.max(boxes1[..., :, None, 2:], boxes2[..., None, :, 2:])
    whi = rbi - lti
    areai = whi[..., 0] * whi[..., 1]
    return fraction(inter, union) - fraction(areai - union, areai)
