import torch


def overlap(start_a, end_a, start_b, end_b):
    """Length that two intervals share."""
    start = torch.max(start_a, start_b)
    end = torch.min(end_a, end_b)
    return torch.clamp(end - start, min=0)


def box_area(box):
    width = box[2] - box[0]
    height = box[3] - box[1]
    return width * height


def iou_of_two(one, two):
    shared = overlap(one[0], one[2], two[0], two[2]) * overlap(one[1], one[3], two[1], two[3])
    together = box_area(one) + box_area(two) - shared
    if together == 0:
        return shared * 0
    return shared / together


def my_iou(boxes1, boxes2):
    """Corners [..., N, 4] and [..., M, 4] -> [..., N, M]."""
    n, m = boxes1.shape[-2], boxes2.shape[-2]
    leading = torch.broadcast_shapes(boxes1.shape[:-2], boxes2.shape[:-2])
    first = boxes1.expand(*leading, n, 4).reshape(-1, n, 4) if n else boxes1.new_zeros(0, 0, 4)
    second = boxes2.expand(*leading, m, 4).reshape(-1, m, 4) if m else boxes2.new_zeros(0, 0, 4)
    table = boxes1.new_zeros(leading.numel(), n, m)
    for k in range(leading.numel()):
        for i in range(n):
            for j in range(m):
                table[k, i, j] = iou_of_two(first[k, i], second[k, j])
    return table.reshape(*leading, n, m)
