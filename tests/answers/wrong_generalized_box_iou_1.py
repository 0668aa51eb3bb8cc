# slip: the empty part of the hull is divided by the union, not by the hull
import torch


def my_giou(boxes1, boxes2):
    a, b = boxes1.unsqueeze(-2), boxes2.unsqueeze(-3)
    inter = (torch.min(a[..., 2:], b[..., 2:]) - torch.max(a[..., :2], b[..., :2])).clamp(min=0)
    inter = inter.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    hull = (torch.max(a[..., 2:], b[..., 2:]) - torch.min(a[..., :2], b[..., :2])).prod(-1)
    safe = torch.where(union > 0, union, torch.ones_like(union))
    return torch.where(union > 0, inter / safe - (hull - union) / safe, torch.zeros_like(union))
