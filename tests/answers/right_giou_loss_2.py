from detr_steps import generalized_box_iou


def my_giou_loss(boxes1, boxes2):
    """1 - GIoU, pair by pair: corners [..., 4] and [..., 4] -> [...]."""
    return 1 - generalized_box_iou(boxes1[..., None, :], boxes2[..., None, :])[..., 0, 0]
