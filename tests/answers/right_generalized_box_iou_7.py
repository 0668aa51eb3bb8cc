import numpy as np
import torch


def my_giou(boxes1, boxes2):
    A, B = torch.broadcast_tensors(boxes1[..., np.newaxis, :], boxes2[..., np.newaxis, :, :])
    both = torch.stack([A, B])  # [2, ..., N, M, 4]
    areas = (both[..., 2] - both[..., 0]) * (both[..., 3] - both[..., 1])
    inner = both[..., 2:].amin(0) - both[..., :2].amax(0)
    outer = both[..., 2:].amax(0) - both[..., :2].amin(0)
    inter = inner.clip(0).prod(-1)
    hull = outer.prod(-1)
    union = areas.sum(0) - inter
    iou, empty = torch.zeros_like(inter), torch.zeros_like(inter)
    iou[union > 0] = inter[union > 0] / union[union > 0]
    empty[hull > 0] = 1 - union[hull > 0] / hull[hull > 0]
    return iou - empty
