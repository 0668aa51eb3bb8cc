import torch


def safe(top, bottom):
    zero = bottom == 0
    return (top / bottom.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)


def my_giou(boxes1, boxes2):
    columns = []
    for j in range(boxes2.shape[-2]):
        b = boxes2[..., j : j + 1, :]  # one object against all N
        wh = torch.min(boxes1[..., 2:], b[..., 2:]) - torch.max(boxes1[..., :2], b[..., :2])
        wh = wh.clamp(min=0)
        inter = wh[..., 0] * wh[..., 1]
        one = (boxes1[..., 2] - boxes1[..., 0]) * (boxes1[..., 3] - boxes1[..., 1])
        two = (b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1])
        union = one + two - inter
        around = torch.max(boxes1[..., 2:], b[..., 2:]) - torch.min(boxes1[..., :2], b[..., :2])
        hull = around[..., 0] * around[..., 1]
        columns.append(safe(inter, union) - safe(hull - union, hull))
    if not columns:
        return boxes1.new_zeros(*boxes1.shape[:-1], 0)
    return torch.stack(columns, dim=-1)
