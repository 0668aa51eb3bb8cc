# as in tensorflow_addons.losses.GIoULoss
import torch


def divide_no_nan(x, y):
    nothing = y == 0
    y = torch.where(nothing, torch.ones((), dtype=y.dtype, device=y.device), y)
    return torch.where(nothing, torch.zeros((), dtype=y.dtype, device=y.device), x / y)


def giou_calculate(b1, b2, mode="giou"):
    zero = torch.zeros((), dtype=b1.dtype, device=b1.device)
    b1_xmin, b1_ymin, b1_xmax, b1_ymax = torch.unbind(b1, -1)
    b2_xmin, b2_ymin, b2_xmax, b2_ymax = torch.unbind(b2, -1)
    b1_width = torch.maximum(zero, b1_xmax - b1_xmin)
    b1_height = torch.maximum(zero, b1_ymax - b1_ymin)
    b2_width = torch.maximum(zero, b2_xmax - b2_xmin)
    b2_height = torch.maximum(zero, b2_ymax - b2_ymin)
    b1_area = b1_width * b1_height
    b2_area = b2_width * b2_height

    intersect_ymin = torch.maximum(b1_ymin, b2_ymin)
    intersect_xmin = torch.maximum(b1_xmin, b2_xmin)
    intersect_ymax = torch.minimum(b1_ymax, b2_ymax)
    intersect_xmax = torch.minimum(b1_xmax, b2_xmax)
    intersect_width = torch.maximum(zero, intersect_xmax - intersect_xmin)
    intersect_height = torch.maximum(zero, intersect_ymax - intersect_ymin)
    intersect_area = intersect_width * intersect_height

    union_area = b1_area + b2_area - intersect_area
    iou = divide_no_nan(intersect_area, union_area)
    if mode == "iou":
        return iou

    enclose_ymin = torch.minimum(b1_ymin, b2_ymin)
    enclose_xmin = torch.minimum(b1_xmin, b2_xmin)
    enclose_ymax = torch.maximum(b1_ymax, b2_ymax)
    enclose_xmax = torch.maximum(b1_xmax, b2_xmax)
    enclose_width = torch.maximum(zero, enclose_xmax - enclose_xmin)
    enclose_height = torch.maximum(zero, enclose_ymax - enclose_ymin)
    enclose_area = enclose_width * enclose_height
    return iou - divide_no_nan(enclose_area - union_area, enclose_area)


def my_giou_loss(boxes1, boxes2):
    """1 - GIoU, pair by pair: corners [..., 4] and [..., 4] -> [...]."""
    return 1.0 - giou_calculate(boxes1, boxes2)
