import torch


def spans(boxes1, boxes2):
    """For x and y: the length that both intervals share and the length around both, [..., N, M, 2]."""
    start1, end1 = boxes1[..., :, None, :2], boxes1[..., :, None, 2:]
    start2, end2 = boxes2[..., None, :, :2], boxes2[..., None, :, 2:]
    around = torch.where(end1 > end2, end1, end2) - torch.where(start1 < start2, start1, start2)
    # lengths of both, minus the length around both, is what they share (negative: a gap)
    shared = (end1 - start1) + (end2 - start2) - around
    return torch.where(shared > 0, shared, 0), around


def product(sides):
    return torch.einsum("...,...->...", sides[..., 0], sides[..., 1])


def my_giou(boxes1, boxes2):
    shared, around = spans(boxes1, boxes2)
    inter, hull = product(shared), product(around)
    size1, size2 = (product(b[..., 2:] - b[..., :2]) for b in (boxes1, boxes2))
    union = size1.unsqueeze(-1) + size2.unsqueeze(-2) - inter
    one = torch.ones_like(hull)
    first = inter / torch.where(union != 0, union, one)
    second = (hull - union) / torch.where(hull != 0, hull, one)
    return first - second
