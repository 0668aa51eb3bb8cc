import torch
from torch import Tensor, nn


class PairwiseGIoU(nn.Module):
    @staticmethod
    def measure(lower: Tensor, upper: Tensor) -> Tensor:
        w, h = (upper - lower).clamp(min=0).unbind(dim=-1)
        return w * h

    @staticmethod
    def divide(x: Tensor, y: Tensor) -> Tensor:
        mask = y.eq(0)
        return (x / y.masked_fill(mask, 1.0)).masked_fill(mask, 0.0)

    def forward(self, boxes1: Tensor, boxes2: Tensor) -> Tensor:
        min1, max1 = boxes1[..., :, None, :].chunk(2, dim=-1)
        min2, max2 = boxes2[..., None, :, :].chunk(2, dim=-1)
        inter = self.measure(torch.max(min1, min2), torch.min(max1, max2))
        union = self.measure(min1, max1) + self.measure(min2, max2) - inter
        enclosing = self.measure(torch.min(min1, min2), torch.max(max1, max2))
        # IoU - (hull - union) / hull  =  IoU - 1 + union / hull, if there is a hull
        penalty = (1.0 - self.divide(union, enclosing)).masked_fill(enclosing == 0, 0.0)
        return self.divide(inter, union) - penalty


def my_giou(boxes1, boxes2):
    return PairwiseGIoU()(boxes1, boxes2)
