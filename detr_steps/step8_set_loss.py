"""Step 8: the loss of a predicted set, which makes the model DETR.

Source: Carion et al. 2020, section 3.1 (equation 2) and appendix A.2.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from .arguments import check_arguments
from .inputs import check_box_pairs, read_layers
from .step7_hungarian_matching import Pairs, Step7, box_cxcywh_to_xyxy, generalized_box_iou


def giou_loss(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """1 - GIoU, pair by pair: corners [..., 4] and [..., 4] -> [...] in 0..2."""
    check_box_pairs(boxes1, boxes2)
    return 1 - generalized_box_iou(boxes1[..., None, :], boxes2[..., None, :])[..., 0, 0]


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a number over all processes, where there are several; all must call it."""
    if dist.is_available() and dist.is_initialized():
        value = value.clone()
        dist.all_reduce(value)
        value = value / dist.get_world_size()
    return value


class Step8(Step7):
    """DETR: adds the loss over all decoder layers.

    Args:
        w_class: weight of the cross-entropy, over all queries: a finite number, at least 0.
        w_bbox: weight of the L1 distance of the boxes (cx, cy, w, h), over matched queries: a
            finite number, at least 0.
        w_giou: weight of 1 - GIoU, over matched queries: a finite number, at least 0.
        no_object_weight: weight of the class "no object" inside the cross-entropy: a finite number
            above 0.
        **kwargs: arguments of the steps before.
    """

    def __init__(
        self,
        *,
        w_class: float = 2.0,
        w_bbox: float = 5.0,
        w_giou: float = 2.0,
        no_object_weight: float = 0.1,
        **kwargs,
    ):
        check_arguments(w_class=w_class, w_bbox=w_bbox, w_giou=w_giou)
        check_arguments(no_object_weight=no_object_weight)
        super().__init__(**kwargs)
        self.w_class, self.w_bbox, self.w_giou = w_class, w_bbox, w_giou
        class_weight = torch.ones(self.num_classes + 1)
        class_weight[-1] = no_object_weight
        self.register_buffer("class_weight", class_weight, persistent=False)

    def compute_loss(
        self, outputs: Mapping[str, Tensor], targets: Sequence[Mapping[str, Tensor]]
    ) -> Tensor:
        """The loss of every decoder layer, summed: a scalar.

        Arguments and errors are those of `match`. An image without objects is valid, and so is a
        whole batch without any. Where there are several processes, all must call it.
        """
        layers = read_layers(outputs, self.num_classes)
        matchings = self.match_layers(layers, targets)  # every layer has a matching of its own
        # every layer has the same objects, so L layers of B images are one layer of L * B images
        batch = {key: torch.cat([layer[key] for layer in layers]) for key in layers[0]}
        pairs = [pair for matching in matchings for pair in matching]
        num_boxes = len(layers) * self.count_boxes(targets, layers[0]["bbox_pred"])
        terms = self.layer_terms(batch, pairs, [*targets] * len(layers), num_boxes)
        mean = (
            self.w_class * terms["class"]
            + self.w_bbox * terms["bbox"]
            + self.w_giou * terms["giou"]
        )
        return len(layers) * mean

    def loss_terms(
        self, outputs: Mapping[str, Tensor], targets: Sequence[Mapping[str, Tensor]]
    ) -> list[dict[str, Tensor]]:
        """The `layer_terms` of every decoder layer, last layer last: what the loss is made of."""
        layers = read_layers(outputs, self.num_classes)
        matchings = self.match_layers(layers, targets)
        num_boxes = self.count_boxes(targets, layers[0]["bbox_pred"])
        return [
            self.layer_terms(layer, pairs, targets, num_boxes)
            for layer, pairs in zip(layers, matchings, strict=True)
        ]

    def layer_terms(
        self,
        layer: Mapping[str, Tensor],
        pairs: Sequence[Pairs],
        targets: Sequence[Mapping[str, Tensor]],
        num_boxes: Tensor,
    ) -> dict[str, Tensor]:
        """Equation 2 for one layer, term by term, before the weights.

        The class term is the weighted mean over this process's queries. The terms of the boxes are
        divided by `num_boxes`, the objects per process on average, as in the official code.
        """
        class_logits, bbox_pred = layer["class_logits"], layer["bbox_pred"]
        sizes = torch.tensor([len(query) for query, _ in pairs])
        image = torch.arange(len(pairs)).repeat_interleave(sizes)  # [K]: the K objects of the batch
        query = torch.cat([query for query, _ in pairs])  # [K]
        matched = [(target, index) for target, (_, index) in zip(targets, pairs, strict=True)]
        labels = torch.cat([target["labels"][index] for target, index in matched])  # [K]
        boxes = torch.cat([target["boxes"][index] for target, index in matched]).to(bbox_pred)
        image, query, labels = (x.to(bbox_pred.device) for x in (image, query, labels))

        classes = image.new_full(class_logits.shape[:2], self.num_classes)  # [B, N]: "no object"
        classes[image, query] = labels
        weight = self.class_weight.to(class_logits)
        l1, giou = self.box_losses(bbox_pred[image, query], boxes)  # [K] and [K]
        return {
            "class": F.cross_entropy(class_logits.flatten(0, 1), classes.flatten(), weight),
            "bbox": l1.sum() / num_boxes,
            "giou": giou.sum() / num_boxes,
        }

    @staticmethod
    def count_boxes(targets: Sequence[Mapping[str, Tensor]], like: Tensor) -> Tensor:
        """The number of objects of a batch, averaged over all processes, at least 1."""
        objects = sum(len(target["labels"]) for target in targets)
        return mean_over_processes(like.new_tensor(objects)).clamp(min=1)

    def box_losses(self, predicted: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Hook: L1 and GIoU losses of matched boxes (cx, cy, w, h), pair by pair: [K] and [K]."""
        l1 = (predicted - wanted).abs().sum(-1)
        return l1, giou_loss(box_cxcywh_to_xyxy(predicted), box_cxcywh_to_xyxy(wanted))
