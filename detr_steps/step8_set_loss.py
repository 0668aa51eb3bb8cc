"""Step 8: the loss of a set, which makes the model DETR.

Source: Carion et al. 2020, section 3.1 (equation 2) and appendix A.2.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import chain

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from .folding import fold_norms
from .inputs import check_outputs
from .step7_hungarian_matching import Step7, box_cxcywh_to_xyxy, generalized_box_iou


def giou_loss(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """1 - GIoU, pair by pair: corners [..., 4] and [..., 4] -> [...] in 0..2."""
    return 1 - generalized_box_iou(boxes1[..., None, :], boxes2[..., None, :])[..., 0, 0]


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, where there are several; it has no gradient."""
    mean = value.detach().clone()
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
    return mean


class Step8(Step7):
    """DETR: adds the loss over all decoder layers.

    Args:
        w_class: weight of the cross-entropy, over all queries.
        w_bbox: weight of the L1 distance of the boxes (cx, cy, w, h), over matched queries.
        w_giou: weight of 1 - GIoU, over matched queries.
        no_object_weight: weight of the class "no object" inside the cross-entropy.
        **kwargs: arguments of the steps before.
    """

    def __init__(
        self,
        w_class: float = 2.0,
        w_bbox: float = 5.0,
        w_giou: float = 2.0,
        no_object_weight: float = 0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.w_class, self.w_bbox, self.w_giou = w_class, w_bbox, w_giou
        class_weight = torch.ones(self.num_classes + 1)
        class_weight[-1] = no_object_weight
        self.register_buffer("class_weight", class_weight, persistent=False)

    def compute_loss(
        self, outputs: Mapping[str, Tensor], targets: Sequence[Mapping[str, Tensor]]
    ) -> Tensor:
        """The weighted sum of `loss_terms` over all decoder layers: a scalar.

        Arguments and errors are those of `match`. An image without objects is valid, and so is a
        whole batch without any.
        """
        terms = self.loss_terms(outputs, targets)
        weighted = (
            self.w_class * terms["class"]
            + self.w_bbox * terms["bbox"]
            + self.w_giou * terms["giou"]
        )
        return weighted.sum()

    def loss_terms(
        self, outputs: Mapping[str, Tensor], targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The terms "class", "bbox" and "giou" before their weights, each [L], last layer last."""
        class_logits, bbox_pred = self.stack_layers(outputs)
        pairs = self.match_layers(class_logits, bbox_pred, targets)
        sizes = [len(target["labels"]) for target in targets]
        objects = sum(sizes)
        layer = torch.arange(len(pairs)).repeat_interleave(objects)  # [L * objects]
        image = torch.arange(len(targets)).repeat_interleave(torch.tensor(sizes))  # [objects]
        image = image.repeat(len(pairs))  # [L * objects]
        query, target = (torch.cat(index) for index in zip(*chain(*pairs), strict=True))
        index = torch.stack((layer, image, query, target)).to(bbox_pred.device)
        layer, image, query, target = index  # [L * objects] each
        labels, boxes = self.pad_targets(targets, bbox_pred)  # [B, M] and [B, M, 4]

        classes = torch.full(class_logits.shape[:3], self.num_classes, device=labels.device)
        classes[layer, image, query] = labels[image, target]  # [L, B, N]
        weight = self.class_weight.to(class_logits.dtype)
        logits = class_logits.flatten(0, 2)  # [L * B * N, C+1]
        nll = F.cross_entropy(logits, classes.flatten(), weight, reduction="none")

        predicted, wanted = bbox_pred[layer, image, query], boxes[image, target]  # [L * objects, 4]
        l1 = (predicted - wanted).abs().sum(-1)
        giou = giou_loss(box_cxcywh_to_xyxy(predicted), box_cxcywh_to_xyxy(wanted))

        num_boxes = mean_over_processes(bbox_pred.new_tensor(objects)).clamp(min=1)
        weights = mean_over_processes(weight[classes].flatten(1).sum(1))  # [L]
        return {
            "class": nll.view(len(pairs), -1).sum(1) / weights,
            "bbox": l1.view(len(pairs), objects).sum(1) / num_boxes,
            "giou": giou.view(len(pairs), objects).sum(1) / num_boxes,
        }

    def stack_layers(self, outputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The predictions of all layers, last layer last: [L, B, N, C+1] and [L, B, N, 4]."""
        check_outputs(outputs, self.num_classes)
        layers = [*outputs.get("aux_outputs", []), outputs]
        for i, layer in enumerate(layers[:-1]):
            check_outputs(layer, self.num_classes, f"outputs['aux_outputs'][{i}]")
        class_logits = torch.stack([layer["class_logits"] for layer in layers])
        bbox_pred = torch.stack([layer["bbox_pred"] for layer in layers])
        dtype = torch.promote_types(class_logits.dtype, torch.float32)
        return class_logits.to(dtype), bbox_pred.to(dtype)

    def for_inference(self, compile: bool = False) -> "Step8":
        """A copy that only detects, faster: the same outputs within 1e-4, from the same weights.

        It is in evaluation mode, without gradients, its batch norm is folded into the convolutions,
        and its maps lie channels last. It cannot be trained, and takes no state dict of a Step8.

        Args:
            compile: whether `torch.compile` makes it faster still. That takes minutes at the first
                call, and again at the first other image size; a CPU needs a C++ compiler for it.
        """
        model = deepcopy(self).eval()
        fold_norms(model.backbone)
        model.requires_grad_(False).to(memory_format=torch.channels_last)
        if compile:
            model.compile(options={"freezing": True})
        return model
