import torch


def divide_no_nan(a, b):
    """tf.math.divide_no_nan"""
    zero = b == 0
    return torch.where(zero, torch.zeros_like(a), a / torch.where(zero, torch.ones_like(b), b))


def my_giou(boxes1, boxes2):
    b1_xmin, b1_ymin, b1_xmax, b1_ymax = torch.split(boxes1[..., :, None, :], 1, dim=-1)
    b2_xmin, b2_ymin, b2_xmax, b2_ymax = torch.split(boxes2[..., None, :, :], 1, dim=-1)
    b1_area = (b1_xmax - b1_xmin) * (b1_ymax - b1_ymin)
    b2_area = (b2_xmax - b2_xmin) * (b2_ymax - b2_ymin)

    intersect_w = torch.relu(torch.minimum(b1_xmax, b2_xmax) - torch.maximum(b1_xmin, b2_xmin))
    intersect_h = torch.relu(torch.minimum(b1_ymax, b2_ymax) - torch.maximum(b1_ymin, b2_ymin))
    intersect_area = intersect_w * intersect_h
    union_area = b1_area + b2_area - intersect_area
    iou = divide_no_nan(intersect_area, union_area)

    enclose_w = torch.maximum(b1_xmax, b2_xmax) - torch.minimum(b1_xmin, b2_xmin)
    enclose_h = torch.maximum(b1_ymax, b2_ymax) - torch.minimum(b1_ymin, b2_ymin)
    enclose_area = enclose_w * enclose_h
    giou = iou - divide_no_nan(enclose_area - union_area, enclose_area)
    return giou.squeeze(-1)
