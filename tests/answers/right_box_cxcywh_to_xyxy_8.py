import torch


# coming from TensorFlow: split with axis=-1, concat with axis=-1
def my_corners(boxes):
    xc, yc, width, height = torch.split(boxes, split_size_or_sections=1, dim=-1)
    xmin = xc - width / 2.0
    ymin = yc - height / 2.0
    xmax = xc + width / 2.0
    ymax = yc + height / 2.0
    return torch.concat([xmin, ymin, xmax, ymax], axis=-1)
