from torchvision.ops import box_convert


def my_corners(boxes):
    return box_convert(boxes, in_fmt="cxcywh", out_fmt="xyxy")
