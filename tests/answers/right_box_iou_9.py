import torch
from torch import Tensor


class Boxes:
    """Like detectron2.structures.Boxes, but with leading axes."""

    def __init__(self, tensor: Tensor):
        assert tensor.size(-1) == 4, tensor.size()
        self.tensor = tensor

    def area(self) -> Tensor:
        box = self.tensor
        return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])


def pairwise_intersection(boxes1: Boxes, boxes2: Boxes) -> Tensor:
    boxes1, boxes2 = boxes1.tensor, boxes2.tensor
    width_height = torch.min(boxes1[..., :, None, 2:], boxes2[..., None, :, 2:]) - torch.max(
        boxes1[..., :, None, :2], boxes2[..., None, :, :2]
    )
    width_height = width_height.clamp_(min=0)
    return width_height.prod(dim=-1)


def my_iou(boxes1, boxes2):
    boxes1, boxes2 = Boxes(boxes1), Boxes(boxes2)
    area1 = boxes1.area()
    area2 = boxes2.area()
    inter = pairwise_intersection(boxes1, boxes2)
    union = area1[..., :, None] + area2[..., None, :] - inter
    # handle empty boxes
    iou = torch.where(
        inter > 0,
        inter / torch.where(inter > 0, union, torch.ones_like(union)),
        torch.zeros(1, dtype=inter.dtype, device=inter.device),
    )
    return iou
