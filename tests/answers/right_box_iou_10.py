import torch


# as I would do it in JAX: a function of two boxes, and then vmap over everything
def iou(a, b):
    low = torch.where(a[:2] > b[:2], a[:2], b[:2])
    high = torch.where(a[2:] < b[2:], a[2:], b[2:])
    w, h = torch.where(high > low, high - low, 0.0)
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    union = area_a + area_b - w * h
    return torch.where(union > 0, w * h, 0.0) / torch.where(union > 0, union, 1.0)


rows = torch.vmap(iou, in_dims=(None, 0))  # [4], [M, 4] -> [M]
table = torch.vmap(rows, in_dims=(0, None))  # [N, 4], [M, 4] -> [N, M]
batch = torch.vmap(table)  # [K, N, 4], [K, M, 4] -> [K, N, M]


def my_iou(boxes1, boxes2):
    lead = torch.broadcast_shapes(boxes1.shape[:-2], boxes2.shape[:-2])
    shape = (*lead, boxes1.shape[-2], boxes2.shape[-2])
    if 0 in shape:
        return boxes1.new_zeros(shape)
    boxes1 = boxes1.expand(lead + boxes1.shape[-2:]).reshape(-1, boxes1.shape[-2], 4)
    boxes2 = boxes2.expand(lead + boxes2.shape[-2:]).reshape(-1, boxes2.shape[-2], 4)
    return batch(boxes1, boxes2).reshape(shape)
