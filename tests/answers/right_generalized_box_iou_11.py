import torch


def rectangle(lt, rb):
    return (rb - lt).clamp(min=0).prod(dim=-1)


def fraction(a, b):
    nothing = b == 0
    return torch.where(nothing, torch.zeros_like(a), a / torch.where(nothing, torch.ones_like(b), b))


def my_giou(boxes1, boxes2):
    """Corners [..., N, 4] and [..., M, 4] -> [..., N, M]."""
    lt1, rb1 = boxes1.unsqueeze(-2).chunk(2, dim=-1)  # [..., N, 1, 2]
    lt2, rb2 = boxes2.unsqueeze(-3).chunk(2, dim=-1)  # [..., 1, M, 2]
    inner_lt, inner_rb = torch.max(lt1, lt2), torch.min(rb1, rb2)
    outer_lt, outer_rb = torch.min(lt1, lt2), torch.max(rb1, rb2)
    intersection = rectangle(inner_lt, inner_rb)
    hull = rectangle(outer_lt, outer_rb)
    union = rectangle(lt1, rb1) + rectangle(lt2, rb2) - intersection
    return fraction(intersection, union) - fraction(hull - union, hull)
