# Boxes as an object, in the manner of detectron2.structures
import torch


class Boxes:
    def __init__(self, tensor):
        self.tensor = tensor

    def area(self):
        box = self.tensor
        return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])

    def intersect(self, other):
        left_top = torch.max(self.tensor[..., :2], other.tensor[..., :2])
        right_bottom = torch.min(self.tensor[..., 2:], other.tensor[..., 2:])
        right_bottom = torch.max(left_top, right_bottom)  # nothing shared: no area
        return Boxes(torch.cat((left_top, right_bottom), -1))

    def enclose(self, other):
        left_top = torch.min(self.tensor[..., :2], other.tensor[..., :2])
        right_bottom = torch.max(self.tensor[..., 2:], other.tensor[..., 2:])
        return Boxes(torch.cat((left_top, right_bottom), -1))


class Fraction:
    def __init__(self, numerator, denominator):
        self.numerator, self.denominator = numerator, denominator

    def value(self):
        empty = self.denominator == 0
        result = self.numerator / self.denominator.masked_fill(empty, 1)
        return result.masked_fill(empty, 0)


def my_giou_loss(boxes1, boxes2):
    """1 - GIoU, pair by pair: corners [..., 4] and [..., 4] -> [...]."""
    a, b = Boxes(boxes1), Boxes(boxes2)
    shared = a.intersect(b).area()
    covered = a.area() + b.area() - shared
    hull = a.enclose(b).area()
    empty_share = Fraction(hull - covered, hull).value()
    return 1 + empty_share - Fraction(shared, covered).value()
