import torch


def one_box(cx, cy, w, h):
    """Everything by hand, for a single box."""
    left = cx - w / 2
    top = cy - h / 2
    right = left + w
    bottom = top + h
    return left, top, right, bottom


def my_corners(boxes):
    flat = boxes.reshape(-1, 4)
    result = torch.zeros_like(flat)
    for i in range(len(flat)):
        corners = one_box(flat[i, 0], flat[i, 1], flat[i, 2], flat[i, 3])
        for j in range(4):
            result[i, j] = corners[j]
    return result.reshape(boxes.shape)
