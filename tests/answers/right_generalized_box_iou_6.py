import torch
from torch.nn.functional import relu


def table(boxes, axis):
    """Four tensors x1, y1, x2, y2, with an axis of length 1 for the other boxes."""
    return boxes.unsqueeze(axis).unbind(-1)


def ratio(a, b):
    return a.where(b > 0, 0.0) / b.where(b > 0, 1.0)


def my_giou(boxes1, boxes2):
    l1, t1, r1, b1 = table(boxes1, -2)
    l2, t2, r2, b2 = table(boxes2, -3)
    S1, S2 = (r1 - l1) * (b1 - t1), (r2 - l2) * (b2 - t2)
    I = relu(r1.minimum(r2) - l1.maximum(l2)) * relu(b1.minimum(b2) - t1.maximum(t2))
    U = S1 + S2 - I
    C = (r1.maximum(r2) - l1.minimum(l2)) * (b1.maximum(b2) - t1.minimum(t2))
    return ratio(I, U) - ratio(C - U, C)
