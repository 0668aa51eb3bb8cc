import torch as np  # a numpy person

newaxis = None


def _size(lo, hi):
    """Area between two corners; 0 if they are crossed."""
    return np.clip(hi - lo, min=0).prod(axis=-1)


def _ratio(num, den):
    ok = den > 0
    return np.where(ok, num / np.where(ok, den, np.ones_like(den)), np.zeros_like(num))


def my_giou_loss(boxes1, boxes2):
    """1 - GIoU, pair by pair: corners [..., 4] and [..., 4] -> [...]."""
    lo1, hi1 = boxes1[..., :2], boxes1[..., 2:]
    lo2, hi2 = boxes2[..., :2], boxes2[..., 2:]
    inter = _size(np.maximum(lo1, lo2), np.minimum(hi1, hi2))
    union = _size(lo1, hi1) + _size(lo2, hi2) - inter
    hull = _size(np.minimum(lo1, lo2), np.maximum(hi1, hi2))
    giou = _ratio(inter, union) - _ratio(hull - union, hull)
    return np.subtract(np.ones_like(giou), giou)
