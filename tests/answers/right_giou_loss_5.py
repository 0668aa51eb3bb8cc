import torch
from torchvision.ops import generalized_box_iou_loss


def my_giou_loss(boxes1, boxes2):
    """1 - GIoU, pair by pair: corners [..., 4] and [..., 4] -> [...]."""
    # A hull without area holds two boxes without area: 0 / 0 twice, so GIoU is 0.
    sides = torch.max(boxes1, boxes2)[..., 2:] - torch.min(boxes1, boxes2)[..., :2]
    flat = sides.prod(-1) == 0
    some = boxes1.new_tensor([0.0, 0.0, 1.0, 1.0])
    safe1 = torch.where(flat[..., None], some, boxes1)
    safe2 = torch.where(flat[..., None], some, boxes2)
    loss = generalized_box_iou_loss(safe1, safe2, eps=torch.finfo(boxes1.dtype).tiny)
    return loss.masked_fill(flat, 1.0)
