import torch


def divide_no_nan(x, y):
    """tf.math.divide_no_nan"""
    zero = torch.eq(y, 0.0)
    safe = torch.where(zero, torch.ones_like(y), y)
    return torch.where(zero, torch.zeros_like(x), torch.div(x, safe))


def my_iou(boxes1, boxes2):
    xmin1, ymin1, xmax1, ymax1 = torch.split(boxes1, 1, dim=-1)  # each [..., N, 1]
    xmin2, ymin2, xmax2, ymax2 = [
        torch.swapaxes(side, -1, -2) for side in torch.split(boxes2, 1, dim=-1)
    ]  # each [..., 1, M]
    intersect_widths = torch.clamp_min(torch.minimum(xmax1, xmax2) - torch.maximum(xmin1, xmin2), 0.0)
    intersect_heights = torch.clamp_min(torch.minimum(ymax1, ymax2) - torch.maximum(ymin1, ymin2), 0.0)
    intersections = torch.multiply(intersect_widths, intersect_heights)
    areas1 = torch.multiply(xmax1 - xmin1, ymax1 - ymin1)
    areas2 = torch.multiply(xmax2 - xmin2, ymax2 - ymin2)
    unions = areas1 + areas2 - intersections
    return divide_no_nan(intersections, unions)
