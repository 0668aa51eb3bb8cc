import torch

# it is a linear map, so write it as a matrix: corners = boxes @ TO_CORNERS
TO_CORNERS = [
    # x1    y1    x2   y2
    [1.0, 0.0, 1.0, 0.0],  # cx
    [0.0, 1.0, 0.0, 1.0],  # cy
    [-0.5, 0.0, 0.5, 0.0],  # w
    [0.0, -0.5, 0.0, 0.5],  # h
]


def my_corners(boxes):
    matrix = torch.tensor(TO_CORNERS, dtype=boxes.dtype, device=boxes.device)
    return torch.einsum("...i,ij->...j", boxes, matrix)
