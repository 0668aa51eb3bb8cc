import torch


def share(part, whole):
    """part / whole, but 0 / 0 is 0."""
    if whole == 0:
        return part * 0
    return part / whole


def giou_of_two(p, q):
    area_p = (p[2] - p[0]) * (p[3] - p[1])
    area_q = (q[2] - q[0]) * (q[3] - q[1])

    # what both share
    left, right = max(p[0], q[0]), min(p[2], q[2])
    top, bottom = max(p[1], q[1]), min(p[3], q[3])
    if right > left and bottom > top:
        intersection = (right - left) * (bottom - top)
    else:
        intersection = torch.zeros_like(area_p)
    union = area_p + area_q - intersection

    # the smallest box around both
    hull_width = max(p[2], q[2]) - min(p[0], q[0])
    hull_height = max(p[3], q[3]) - min(p[1], q[1])
    hull = hull_width * hull_height

    return share(intersection, union) - share(hull - union, hull)


def my_giou(boxes1, boxes2):
    n, m = boxes1.size(-2), boxes2.size(-2)
    leading = torch.broadcast_shapes(boxes1.shape[:-2], boxes2.shape[:-2])
    out = torch.zeros(*leading, n, m, dtype=boxes1.dtype, device=boxes1.device)
    boxes1 = boxes1.expand(*leading, n, 4)
    boxes2 = boxes2.expand(*leading, m, 4)
    for i in range(n):
        for j in range(m):
            a, b = boxes1[..., i, :], boxes2[..., j, :]
            if a.dim() == 1:
                out[i, j] = giou_of_two(a, b)
                continue
            a, b = a.reshape(-1, 4), b.reshape(-1, 4)
            column = [giou_of_two(one, two) for one, two in zip(a, b)]
            if column:
                out[..., i, j] = torch.stack(column).reshape(leading)
    return out
