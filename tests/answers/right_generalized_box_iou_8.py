import torch


def divide_no_nan(x, y):
    zero = torch.eq(y, 0.0)
    return torch.where(zero, torch.zeros_like(x), x / torch.where(zero, torch.ones_like(y), y))


# after tfa.losses.giou_loss
def my_giou(boxes1, boxes2):
    b1 = torch.unsqueeze(boxes1, axis=-2)
    b2 = torch.unsqueeze(boxes2, axis=-3)
    b1_xmin, b1_ymin, b1_xmax, b1_ymax = torch.unbind(b1, -1)
    b2_xmin, b2_ymin, b2_xmax, b2_ymax = torch.unbind(b2, -1)
    b1_width = b1_xmax - b1_xmin
    b1_height = b1_ymax - b1_ymin
    b2_width = b2_xmax - b2_xmin
    b2_height = b2_ymax - b2_ymin
    b1_area = b1_width * b1_height
    b2_area = b2_width * b2_height

    intersect_xmin = torch.maximum(b1_xmin, b2_xmin)
    intersect_ymin = torch.maximum(b1_ymin, b2_ymin)
    intersect_xmax = torch.minimum(b1_xmax, b2_xmax)
    intersect_ymax = torch.minimum(b1_ymax, b2_ymax)
    intersect_width = torch.clamp(intersect_xmax - intersect_xmin, min=0.0)
    intersect_height = torch.clamp(intersect_ymax - intersect_ymin, min=0.0)
    intersect_area = intersect_width * intersect_height

    union_area = b1_area + b2_area - intersect_area
    iou = divide_no_nan(intersect_area, union_area)

    enclose_xmin = torch.minimum(b1_xmin, b2_xmin)
    enclose_ymin = torch.minimum(b1_ymin, b2_ymin)
    enclose_xmax = torch.maximum(b1_xmax, b2_xmax)
    enclose_ymax = torch.maximum(b1_ymax, b2_ymax)
    enclose_area = (enclose_xmax - enclose_xmin) * (enclose_ymax - enclose_ymin)
    return iou - divide_no_nan(enclose_area - union_area, enclose_area)
