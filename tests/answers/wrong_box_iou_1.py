# slip: divides by the sum of both areas, the intersection is counted twice
import torch


def my_iou(boxes1, boxes2):
    a, b = boxes1[..., :, None, :], boxes2[..., None, :, :]
    top_left = torch.max(a[..., :2], b[..., :2])
    bottom_right = torch.min(a[..., 2:], b[..., 2:])
    inter = (bottom_right - top_left).clamp(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).prod(-1)
    both = area_a + area_b
    return torch.where(both > 0, inter / torch.where(both > 0, both, 1.0), 0.0)
