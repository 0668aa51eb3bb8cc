import numpy as np
import torch


def my_iou(boxes1, boxes2):
    A = boxes1[..., :, np.newaxis, :]
    B = boxes2[..., np.newaxis, :, :]
    x0 = torch.maximum(A[..., 0], B[..., 0])
    y0 = torch.maximum(A[..., 1], B[..., 1])
    x1 = torch.minimum(A[..., 2], B[..., 2])
    y1 = torch.minimum(A[..., 3], B[..., 3])
    intersection = torch.clip(x1 - x0, 0, None) * torch.clip(y1 - y0, 0, None)
    areaA = (A[..., 2] - A[..., 0]) * (A[..., 3] - A[..., 1])
    areaB = (B[..., 2] - B[..., 0]) * (B[..., 3] - B[..., 1])
    union = areaA + areaB - intersection
    result = torch.zeros_like(union)
    valid = union != 0
    result[valid] = intersection[valid] / union[valid]
    return result
