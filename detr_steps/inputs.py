"""What the steps' methods accept: every tensor is checked, and a mistake named where it is made.

Each error says which argument, which image, what was expected and what was found.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

ROUNDING = 1e-6  # how far a normalised box may stray from 0..1 by rounding
AUTOCAST = {torch.float16, torch.bfloat16, torch.float32}  # what autocast converts


def mismatch(error: type[Exception], name: str, expected: str, found: object) -> Exception:
    """The error "name: expected ..., found ..."."""
    return error(f"{name}: expected {expected}, found {found}")


def kind(value: object) -> str:
    """A tensor as its dtype and shape, anything else as its type."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__


def check_images(images: object) -> None:
    """`images` is a float tensor [B, 3, H, W] with at least one image and one pixel."""
    expected = "a non-empty float tensor [B, 3, H, W]"
    if not isinstance(images, Tensor):
        raise mismatch(TypeError, "images", expected, kind(images))
    if images.dim() != 4 or images.shape[1] != 3 or images.numel() == 0:
        raise mismatch(ValueError, "images", expected, kind(images))
    if not images.is_floating_point():
        floats = "floats (divide by 255, then normalise)"
        raise mismatch(TypeError, "images", floats, kind(images))


def check_fits_weights(images: object, weight: Tensor) -> None:
    """Floats among `images` have the dtype and device of a model's weights.

    Autocast converts dtypes. What is no tensor of floats is left to `check_images`.
    """
    if not isinstance(images, Tensor) or not images.is_floating_point():
        return
    device = weight.device
    # dtypes first: torch 2.11 cannot compile the questions about autocast
    fits = images.dtype == weight.dtype or (
        {images.dtype, weight.dtype} <= AUTOCAST
        and torch.amp.is_autocast_available(device.type)
        and torch.is_autocast_enabled(device.type)
    )
    if images.device != device or not fits:
        expected = f"{str(weight.dtype).removeprefix('torch.')} on {device}, as the model's weights"
        raise mismatch(TypeError, "images", expected, f"{kind(images)} on {images.device}")


def check_padding_mask(padding_mask: object, images: Tensor) -> None:
    """`padding_mask` is a bool tensor [B, H, W] of the images' size and device, True on padding."""
    shape = [len(images), *images.shape[-2:]]
    expected = f"bool {shape}, True on padding"
    if not isinstance(padding_mask, Tensor) or padding_mask.dtype != torch.bool:
        raise mismatch(TypeError, "padding_mask", expected, kind(padding_mask))
    if list(padding_mask.shape) != shape:
        raise mismatch(ValueError, "padding_mask", expected, kind(padding_mask))
    if padding_mask.device != images.device:
        on_device = f"{expected}, on {images.device}"
        raise mismatch(ValueError, "padding_mask", on_device, f"one on {padding_mask.device}")


def check_boxes(*, axes: str = "[..., 4]", **boxes: object) -> None:
    """Each argument is a tensor of boxes with these axes."""
    expected = f"a float tensor {axes}"
    for name, value in boxes.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise mismatch(TypeError, name, expected, kind(value))
        if value.dim() < axes.count(",") or value.shape[-1] != 4:
            raise mismatch(ValueError, name, expected, kind(value))


def check_box_pairs(boxes1: Tensor, boxes2: Tensor) -> None:
    """Two tensors of boxes [..., 4] that go pair by pair: their leading axes fit."""
    check_boxes(boxes1=boxes1, boxes2=boxes2)
    axes = zip(reversed(boxes1.shape), reversed(boxes2.shape), strict=False)
    if any(m != n and 1 not in (m, n) for m, n in axes):
        expected = f"a box for each of boxes1, {kind(boxes1)}"
        raise mismatch(ValueError, "boxes2", expected, kind(boxes2))


def read_layers(outputs: Mapping[str, Tensor], num_classes: int) -> list[dict[str, Tensor]]:
    """The predictions of every decoder layer, last layer last, after a check.

    Args:
        outputs: what `forward` returns; without `aux_outputs` there is one layer.
        num_classes: C.

    Returns:
        For each layer class_logits [B, N, C+1] and bbox_pred [B, N, 4]. Half precision, as under
        autocast, becomes float32, because costs and losses lose too much precision in 16 bits.

    Raises:
        TypeError, ValueError: a layer's predictions are not as above, or B and N differ.
    """
    check_predictions(outputs, num_classes, "outputs")
    auxiliary = outputs.get("aux_outputs", [])
    if not isinstance(auxiliary, Sequence) or isinstance(auxiliary, str):
        raise mismatch(TypeError, "outputs['aux_outputs']", "a list of dicts", kind(auxiliary))
    for i, layer in enumerate(auxiliary):
        name = f"outputs['aux_outputs'][{i}]"
        check_predictions(layer, num_classes, name)
        shape, found = (list(one["bbox_pred"].shape[:2]) for one in (outputs, layer))
        if found != shape:
            raise mismatch(ValueError, name, f"[B, N] = {shape}, as in the last layer", found)
    return [
        {
            key: layer[key].to(torch.promote_types(layer[key].dtype, torch.float32))
            for key in ("class_logits", "bbox_pred")
        }
        for layer in (*auxiliary, outputs)
    ]


def check_predictions(predictions: Mapping[str, Tensor], num_classes: int, name: str) -> None:
    """`predictions` holds floats: class_logits [B, N, C+1] and bbox_pred [B, N, 4]."""
    if not isinstance(predictions, Mapping):
        raise mismatch(TypeError, name, "the dict that forward returns", kind(predictions))
    for key, width in (("class_logits", num_classes + 1), ("bbox_pred", 4)):
        if key not in predictions:
            raise mismatch(ValueError, name, f"the key {key!r}", sorted(predictions))
        found, expected = predictions[key], f"non-empty float [B, N, {width}]"
        if not isinstance(found, Tensor) or not found.is_floating_point():
            raise mismatch(TypeError, f"{name}[{key!r}]", expected, kind(found))
        if found.dim() != 3 or found.shape[-1] != width or found.numel() == 0:
            raise mismatch(ValueError, f"{name}[{key!r}]", expected, kind(found))
    class_logits, bbox_pred = predictions["class_logits"], predictions["bbox_pred"]
    if class_logits.shape[:2] != bbox_pred.shape[:2]:
        found = f"{kind(class_logits)} and {kind(bbox_pred)}"
        raise mismatch(ValueError, name, "class_logits and bbox_pred of the same B and N", found)


def check_costs(cost: Tensor, class_logits: Tensor, bbox_pred: Tensor) -> None:
    """The matching costs [L, B, N, M], on the CPU, are finite; if not, a prediction is to blame.

    Looks at the predictions [L, B, N, ...] themselves only to name the one that is not finite.
    """
    for layer, image in (~cost.isfinite()).flatten(2).any(-1).nonzero().tolist():
        name = "class_logits" if bbox_pred[layer, image].isfinite().all() else "bbox_pred"
        where = f" (decoder layer {layer + 1} of {len(cost)})" if len(cost) > 1 else ""
        raise ValueError(
            f"outputs[{name!r}]: expected finite numbers, found NaN or infinity "
            f"in image {image}{where}"
        )


def check_targets(
    targets: Sequence[Mapping[str, Tensor]], batch_size: int, num_queries: int, num_classes: int
) -> None:
    """`targets` holds, for each image, labels int64 [M] in 0..C-1 and boxes float [M, 4] in 0..1.

    M is at most N. Keep targets on the CPU, where the data loader makes them: to check values on a
    GPU forces the CPU to wait for it.
    """
    one_each = "one for each image"
    if not isinstance(targets, Sequence) or isinstance(targets, str):
        raise mismatch(TypeError, "targets", f"a list of dicts, {one_each}", kind(targets))
    if len(targets) != batch_size:
        raise mismatch(ValueError, "targets", f"{batch_size} dicts, {one_each}", len(targets))
    for i, target in enumerate(targets):
        check_target_shapes(target, f"targets[{i}]")
        if len(target["labels"]) > num_queries:
            expected = f"at most {num_queries} objects, one for each query"
            raise mismatch(ValueError, f"targets[{i}]", expected, len(target["labels"]))
    check_target_values(targets, num_classes)


def check_target_shapes(target: Mapping[str, Tensor], name: str) -> None:
    """`target` holds labels int64 [M] and boxes float [M, 4]."""
    if not isinstance(target, Mapping):
        raise mismatch(TypeError, name, "a dict with 'labels' and 'boxes'", kind(target))
    for key in ("labels", "boxes"):
        if key not in target:
            raise mismatch(ValueError, name, "the keys 'labels' and 'boxes'", sorted(target))
        if not isinstance(target[key], Tensor):
            raise mismatch(TypeError, f"{name}[{key!r}]", "a tensor", kind(target[key]))
    labels, boxes = target["labels"], target["boxes"]
    if labels.dtype != torch.int64:
        raise mismatch(TypeError, f"{name}['labels']", "int64 [M]", kind(labels))
    if not boxes.is_floating_point():
        raise mismatch(TypeError, f"{name}['boxes']", "float [M, 4]", kind(boxes))
    if labels.dim() != 1:
        raise mismatch(ValueError, f"{name}['labels']", "int64 [M]", kind(labels))
    if list(boxes.shape) != [len(labels), 4]:
        expected = f"float [{len(labels)}, 4], a box for each label"
        raise mismatch(ValueError, f"{name}['boxes']", expected, kind(boxes))


def check_target_values(targets: Sequence[Mapping[str, Tensor]], num_classes: int) -> None:
    """All labels lie in 0..C-1, and all boxes are (cx, cy, w, h) in 0..1."""
    labels = torch.cat([target["labels"] for target in targets])  # [K]: of all images
    boxes = torch.cat([target["boxes"] for target in targets])  # [K, 4]
    places = [(i, j) for i, target in enumerate(targets) for j in range(len(target["labels"]))]
    for k in ((labels < 0) | (labels >= num_classes)).nonzero().flatten().tolist():
        i, j = places[k]
        found = f"{labels[k]}" + (" ('no object')" if labels[k] == num_classes else "")
        expected = f"a class in 0..{num_classes - 1}"
        raise mismatch(ValueError, f"targets[{i}]['labels'][{j}]", expected, found)
    inside = (boxes >= -ROUNDING) & (boxes <= 1 + ROUNDING)  # False for NaN
    for k in (~inside.all(-1)).nonzero().flatten().tolist():
        i, j = places[k]
        found = [round(number, 6) for number in boxes[k].tolist()]
        pixels = " (pixels? divide by the image's width and height)" if max(found) > 2 else ""
        expected = "(cx, cy, w, h) in 0..1"
        raise mismatch(ValueError, f"targets[{i}]['boxes'][{j}]", expected, f"{found}{pixels}")
