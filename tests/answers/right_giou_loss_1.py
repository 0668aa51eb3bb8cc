import torch

from detr_steps import generalized_box_iou


def my_giou_loss(boxes1, boxes2):
    # every pair as a 1 x 1 table
    return 1 - generalized_box_iou(boxes1[..., None, :], boxes2[..., None, :])[..., 0, 0]
