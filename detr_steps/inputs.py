"""What the steps accept: every check of an argument, so that a mistake is named where it is made.

Each error says which argument, which image, what was found and what was expected.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torchvision.models import ResNet

ROUNDING = 1e-6  # how far a normalised box may stray from 0..1 by rounding


def describe(value: object) -> str:
    """A tensor as its dtype and shape, anything else as its type."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__


def check_positive(**counts: int) -> None:
    """Each argument is a whole number, at least 1."""
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}: expected a whole number, at least 1, found {count!r}")


def check_heads(nhead: int, emb_dim: int) -> None:
    """Every attention head gets the same share of the channels."""
    check_positive(nhead=nhead)
    if emb_dim % nhead:
        raise ValueError(f"nhead: expected a divisor of emb_dim = {emb_dim}, found {nhead}")


def check_backbone(
    backbone: object,
    pretrained: bool,
    dilation: bool,
    norm_layer: Callable[[int], nn.Module] | None,
) -> None:
    """A ResNet by name, or a ready one, which has already decided on weights, dilation and norm."""
    if isinstance(backbone, str):
        if not backbone.startswith(("resnet", "resnext", "wide_resnet")):
            raise ValueError(
                f"backbone: expected the name of a torchvision ResNet, found {backbone!r}"
            )
        if dilation and backbone in ("resnet18", "resnet34"):
            raise ValueError(
                f"dilation: expected a ResNet with bottlenecks (resnet50 on), found {backbone!r}"
            )
    elif not isinstance(backbone, ResNet):
        raise TypeError(
            f"backbone: expected a torchvision ResNet or its name, found {describe(backbone)}"
        )
    elif pretrained or dilation or norm_layer is not None:
        raise ValueError(
            "pretrained, dilation, norm_layer: expected none of them beside a ready backbone"
        )


def check_trainable_layers(trainable_layers: object) -> None:
    """A number of the backbone's five parts."""
    if not isinstance(trainable_layers, int) or not 0 <= trainable_layers <= 5:
        raise ValueError(
            f"trainable_layers: expected a whole number in 0..5, found {trainable_layers!r}"
        )


def check_images(images: object) -> None:
    """`images` is a float tensor [B, 3, H, W] with at least one image and one pixel."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images: expected a float tensor [B, 3, H, W], found {describe(images)}")
    if images.dim() != 4 or images.shape[1] != 3 or images.numel() == 0:
        raise ValueError(f"images: expected a float tensor [B, 3, H, W], found {describe(images)}")
    if not images.is_floating_point():
        raise TypeError(
            f"images: expected floats (divide by 255, then normalise), found {describe(images)}"
        )


def check_padding_mask(padding_mask: object, images: Tensor) -> None:
    """`padding_mask` is a bool tensor [B, H, W] of the images' size, True on padding."""
    expected = [len(images), *images.shape[-2:]]
    message = (
        f"padding_mask: expected bool {expected}, True on padding, found {describe(padding_mask)}"
    )
    if not isinstance(padding_mask, Tensor) or padding_mask.dtype != torch.bool:
        raise TypeError(message)
    if list(padding_mask.shape) != expected:
        raise ValueError(message)


def check_outputs(outputs: Mapping[str, Tensor], num_classes: int, name: str = "outputs") -> None:
    """`outputs` holds class_logits [B, N, C+1] and bbox_pred [B, N, 4], of the same B and N."""
    if not isinstance(outputs, Mapping):
        raise TypeError(
            f"{name}: expected the dict that forward returns, found {describe(outputs)}"
        )
    for key, width in (("class_logits", num_classes + 1), ("bbox_pred", 4)):
        if key not in outputs:
            raise ValueError(f"{name}: expected the key {key!r}, found {sorted(outputs)}")
        if outputs[key].dim() != 3 or outputs[key].shape[-1] != width:
            raise ValueError(
                f"{name}[{key!r}]: expected float [B, N, {width}], found {describe(outputs[key])}"
            )
    class_logits, bbox_pred = outputs["class_logits"], outputs["bbox_pred"]
    if class_logits.shape[:2] != bbox_pred.shape[:2]:
        raise ValueError(
            f"{name}: expected class_logits and bbox_pred of the same B and N, "
            f"found {describe(class_logits)} and {describe(bbox_pred)}"
        )


def check_targets(
    targets: Sequence[Mapping[str, Tensor]], batch_size: int, num_queries: int
) -> None:
    """`targets` holds, for each image, labels int64 [M] and boxes float [M, 4], with M at most N.

    Looks at types and shapes only; `check_target_values` looks at the values, once on the host.
    """
    if not isinstance(targets, Sequence) or isinstance(targets, str):
        raise TypeError(
            f"targets: expected a list of dicts, one for each image, found {describe(targets)}"
        )
    if len(targets) != batch_size:
        raise ValueError(
            f"targets: expected {batch_size} dicts, one for each image, found {len(targets)}"
        )
    for i, target in enumerate(targets):
        if not isinstance(target, Mapping):
            raise TypeError(
                f"targets[{i}]: expected a dict with 'labels' and 'boxes', found {describe(target)}"
            )
        for key in ("labels", "boxes"):
            if key not in target:
                raise ValueError(
                    f"targets[{i}]: expected the keys 'labels' and 'boxes', found {sorted(target)}"
                )
            if not isinstance(target[key], Tensor):
                raise TypeError(
                    f"targets[{i}][{key!r}]: expected a tensor, found {describe(target[key])}"
                )
        labels, boxes = target["labels"], target["boxes"]
        if labels.dtype != torch.int64:
            raise TypeError(f"targets[{i}]['labels']: expected int64 [M], found {describe(labels)}")
        if not boxes.is_floating_point():
            raise TypeError(
                f"targets[{i}]['boxes']: expected float [M, 4], found {describe(boxes)}"
            )
        if labels.dim() != 1:
            raise ValueError(
                f"targets[{i}]['labels']: expected int64 [M], found {describe(labels)}"
            )
        if list(boxes.shape) != [len(labels), 4]:
            raise ValueError(
                f"targets[{i}]['boxes']: expected float [{len(labels)}, 4], a box for each label, "
                f"found {describe(boxes)}"
            )
        if len(labels) > num_queries:
            raise ValueError(
                f"targets[{i}]: expected at most {num_queries} objects, one for each query, "
                f"found {len(labels)}"
            )


def check_target_values(labels: Tensor, boxes: Tensor, num_classes: int) -> None:
    """On the host: labels [B, M] lie in 0..C-1, boxes [B, M, 4] are (cx, cy, w, h) in 0..1.

    The zeros that fill up images with fewer objects are valid as well.
    """
    wrong_label = (labels < 0) | (labels >= num_classes)
    for i, j in wrong_label.nonzero().tolist():
        found = int(labels[i, j])
        raise ValueError(
            f"targets[{i}]['labels'][{j}]: expected a class in 0..{num_classes - 1}, found {found}"
            + (" ('no object')" if found == num_classes else "")
        )
    wrong_box = ~((boxes >= -ROUNDING) & (boxes <= 1 + ROUNDING)).all(-1)  # so that NaN is wrong
    for i, j in wrong_box.nonzero().tolist():
        found = [round(number, 4) for number in boxes[i, j].tolist()]
        raise ValueError(
            f"targets[{i}]['boxes'][{j}]: expected (cx, cy, w, h) in 0..1, found {found}"
            + (" (pixels? divide by the image's width and height)" if max(found) > 2 else "")
        )


def finite_images(predictions: Tensor) -> Tensor:
    """[L, B, N, ...] -> flags [L, B] of the same dtype, 1 where an image is finite throughout."""
    numbers = predictions.flatten(2)
    finite = numbers.amin(-1).isfinite() & numbers.amax(-1).isfinite()  # NaN is least and largest
    return finite.to(predictions.dtype)


def check_predictions(class_logits: Tensor, bbox_pred: Tensor) -> None:
    """The flags of `finite_images` [L, B] for both predictions, on the host, are all 1."""
    for name, flags in (("class_logits", class_logits), ("bbox_pred", bbox_pred)):
        for layer, image in (flags == 0).nonzero().tolist():
            raise ValueError(
                f"outputs[{name!r}]: expected finite numbers, found NaN or infinity "
                f"in image {image} (decoder layer {layer + 1} of {len(flags)})"
            )
