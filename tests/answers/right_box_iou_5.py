# modified from torchvision / util/box_ops.py of the official DETR
import torch


def box_area(boxes):
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def my_iou(boxes1, boxes2):
    area1 = box_area(boxes1)
    area2 = box_area(boxes2)

    lt = torch.max(boxes1[..., :, None, :2], boxes2[..., None, :, :2])  # [...,N,M,2]
    rb = torch.min(boxes1[..., :, None, 2:], boxes2[..., None, :, 2:])  # [...,N,M,2]

    wh = (rb - lt).clamp(min=0)  # [...,N,M,2]
    inter = wh[..., 0] * wh[..., 1]  # [...,N,M]

    union = area1[..., :, None] + area2[..., None, :] - inter

    iou = inter / (union + (union == 0).to(union))
    return iou
