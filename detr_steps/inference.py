"""A trained model in use: prepared for inference, and its outputs turned into detections."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops.misc import FrozenBatchNorm2d

from .step7_hungarian_matching import box_cxcywh_to_xyxy
from .step8_set_loss import Step8

Norm = nn.BatchNorm2d | nn.SyncBatchNorm | FrozenBatchNorm2d


def for_inference(model: Step8, compile: bool = False) -> Step8:
    """A copy of `model` that only detects, faster: the same outputs within 1e-4.

    The copy is in evaluation mode and frozen, its batch norm is folded into the convolutions, and
    its weights lie channels last. It can neither be trained nor load a state dict of a Step8. Call
    it under `torch.no_grad()`.

    Args:
        model: a Step8, which is left as it is.
        compile: whether `torch.compile` makes it faster still. The first call takes minutes then,
            and so does the first call with a second image size; a CPU needs a C++ compiler.
    """
    model = deepcopy(model).eval()
    fold_norms(model.backbone)
    model.requires_grad_(False).to(memory_format=torch.channels_last)
    if compile:
        model.compile(options={"freezing": True})
    return model


def fold_norms(module: nn.Module) -> None:
    """In place, for good: in evaluation mode, batch norms go into the convolutions before them.

    A norm whose statistics stay as they are multiplies each channel by a number and adds another.
    The convolution can do both: the factors go into its weights, what is added becomes its bias.
    """
    for parent in list(module.modules()):
        for (_, conv), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, Norm):
                statistics = norm.running_mean, norm.running_var, norm.eps
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, *statistics, norm.weight, norm.bias
                )
                setattr(parent, name, nn.Identity())


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
