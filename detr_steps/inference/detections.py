"""What a model predicts, as detections."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..step7_hungarian_matching import box_cxcywh_to_xyxy


def detections(
    outputs: Mapping[str, Tensor], sizes: Sequence[tuple[int, int]], threshold: float = 0.0
) -> list[dict[str, Tensor]]:
    """The best class of every query, "no object" left out.

    Args:
        outputs: what `Step8.forward` returns for B images.
        sizes: (height, width) of each image in pixels, the size that its boxes are fractions of.
        threshold: the least score that counts as a detection.

    Returns:
        For each image: scores [K], labels [K] and boxes [K, 4] as corners in pixels, best first.
    """
    scores, labels = outputs["class_logits"].float().softmax(-1)[..., :-1].max(-1)  # [B, N]
    found = []
    for score, label, box, (height, width) in zip(
        scores, labels, outputs["bbox_pred"].float(), sizes, strict=True
    ):
        order = score.argsort(descending=True)
        order = order[score[order] >= threshold]
        corners = box_cxcywh_to_xyxy(box[order]) * box.new_tensor([width, height, width, height])
        found.append({"scores": score[order], "labels": label[order], "boxes": corners})
    return found
