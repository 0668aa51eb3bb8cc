import torch


def common(low1, high1, low2, high2):
    """Length that the intervals [..., N] and [..., M] share: [..., N, M]."""
    start = torch.maximum(low1[..., :, None], low2[..., None, :])
    end = torch.minimum(high1[..., :, None], high2[..., None, :])
    return (end - start).clamp(min=0)


def my_iou(boxes1, boxes2):
    """Corners [..., N, 4] and [..., M, 4] -> [..., N, M]."""
    left1, top1, right1, bottom1 = boxes1.unbind(-1)
    left2, top2, right2, bottom2 = boxes2.unbind(-1)
    shared = common(left1, right1, left2, right2) * common(top1, bottom1, top2, bottom2)
    area1 = (right1 - left1) * (bottom1 - top1)
    area2 = (right2 - left2) * (bottom2 - top2)
    together = area1[..., :, None] + area2[..., None, :] - shared
    return shared / together.masked_fill(together == 0, 1)
