# Detectron2 does it like this (BoxMode.convert)
def my_corners(boxes):
    original_shape = boxes.shape
    ret = boxes.clone()
    ret[..., 0] = boxes[..., 0] - boxes[..., 2] / 2.0
    ret[..., 1] = boxes[..., 1] - boxes[..., 3] / 2.0
    ret[..., 2] = boxes[..., 0] + boxes[..., 2] / 2.0
    ret[..., 3] = boxes[..., 1] + boxes[..., 3] / 2.0
    assert ret.shape == original_shape
    return ret
