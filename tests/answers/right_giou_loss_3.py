import torch


def overlap_1d(a1, a2, b1, b2):
    """Length that two intervals share, and length of the interval around both."""
    start = torch.maximum(a1, b1)
    end = torch.minimum(a2, b2)
    shared = end - start
    if shared <= 0:
        shared = shared * 0
    around = torch.maximum(a2, b2) - torch.minimum(a1, b1)
    return shared, around


def one_pair(p, q):
    shared_x, hull_x = overlap_1d(p[0], p[2], q[0], q[2])
    shared_y, hull_y = overlap_1d(p[1], p[3], q[1], q[3])
    shared = shared_x * shared_y
    area_p = (p[2] - p[0]) * (p[3] - p[1])
    area_q = (q[2] - q[0]) * (q[3] - q[1])
    union = area_p + area_q - shared
    hull = hull_x * hull_y
    loss = 1 + 0 * hull
    if union > 0:
        loss = loss - shared / union
    if hull > 0:
        loss = loss + (hull - union) / hull
    return loss


def my_giou_loss(boxes1, boxes2):
    """1 - GIoU, pair by pair: corners [..., 4] and [..., 4] -> [...]."""
    shape = boxes1.shape[:-1]
    first = boxes1.reshape(-1, 4)
    second = boxes2.reshape(-1, 4)
    if len(first) == 0:
        return (boxes1 * boxes2).sum(-1)
    losses = []
    for i in range(first.shape[0]):
        losses.append(one_pair(first[i], second[i]))
    return torch.stack(losses).reshape(shape)
