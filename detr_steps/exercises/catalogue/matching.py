"""Step 7: matching."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...step7_hungarian_matching import Step7
from ..observing import Probe
from ..tasks import Task
from .boxes import made_boxes
from .common import MEANT, alone, arguments, is_refused, keeps_modes, probe_defaults, random

ONE_LAYER = {"enc_layers": 0, "dec_layers": 1}  # the network is not run here
ONE_COPY = "the number of copies to the CPU does not grow with images and layers"
COSTS = ("cost_class", "cost_bbox", "cost_giou")
TARGETS_REFUSED = "wrong targets are refused"


def made_predictions(batch: int = 12, layers: int = 1) -> dict:
    """Random predictions of `layers` layers: the last one's, and the others' as `aux_outputs`."""
    made = [
        {
            "class_logits": (4 * random(batch, 7, 6, seed=2 * i) - 2).requires_grad_(),
            "bbox_pred": made_boxes(batch, 7, seed=2 * i + 1).requires_grad_(),
        }
        for i in range(layers)
    ]
    return {**made[-1], "aux_outputs": made[:-1]}


def made_targets(*sizes: int) -> list[dict[str, Tensor]]:
    """Random objects, so many in each image; several share a place or a class."""
    return [
        {
            "labels": (5 * random(size, seed=50 + i)).long(),
            "boxes": made_boxes(size, seed=100 + i),
        }
        for i, size in enumerate(sizes)
    ]


def many_images() -> tuple[dict, list]:
    """Twelve images with up to six objects."""
    return made_predictions(), made_targets(3, 5, 1, 6, 4, 2, 5, 6, 3, 4, 6, 5)


def some_images() -> tuple[dict, list]:
    """One without any object, one with as many objects as queries; three decoder layers."""
    return made_predictions(3, 3), made_targets(0, 7, 2)


def last_layer(*sizes: int) -> tuple[dict, list]:
    """The predictions of the last decoder layer alone, and so many objects in each image."""
    outputs = made_predictions(len(sizes))
    del outputs["aux_outputs"]
    return outputs, made_targets(*sizes)


def two_images() -> tuple[dict, list]:
    """One with an object, one with two."""
    return made_predictions(2), made_targets(1, 2)


def wide_range() -> tuple[dict, list]:
    """Forty images: from tiny to large boxes, from flat to sure predictions."""
    outputs, targets = made_predictions(40), made_targets(*[6] * 40)
    scale = torch.logspace(-3, 0, 40)[:, None, None]
    boxes, logits = (outputs[key].detach().clone() for key in ("bbox_pred", "class_logits"))
    boxes[..., 2:] *= scale
    outputs |= {
        "bbox_pred": boxes.requires_grad_(),
        "class_logits": (20 * scale.flip(0) * logits).requires_grad_(),
    }
    for target, factor in zip(targets, scale.flatten(), strict=True):
        target["boxes"][:, 2:] *= factor
    return outputs, targets


def pairs(model, outputs, targets) -> list:
    """What `match` returns, each image's pairs in the order of their queries."""
    found = model.match(outputs, targets)
    if not isinstance(found, (list, tuple)) or not all(isinstance(p, (list, tuple)) for p in found):
        return found
    if not all(isinstance(index, Tensor) for pair in found for index in pair):
        return found
    return [
        [index[pair[0].argsort()] for index in pair]
        if len(pair) == 2 and pair[0].shape == pair[1].shape
        else pair
        for pair in found
    ]


def refuses_targets(work: Callable, kinds: tuple = MEANT) -> dict[str, bool]:
    """Whether `work(outputs, targets)` refuses targets that are wrong, by errors of these kinds."""
    wrong = (
        {"labels": torch.tensor([5, 1])},
        {"boxes": 100 * made_boxes(2)},
        {"boxes": torch.full((2, 4), torch.nan)},
        {"boxes": made_boxes(3)},
    )
    batches = [[*made_targets(1), {**made_targets(1, 2)[1], **changes}] for changes in wrong]
    refused = all(is_refused(work, made_predictions(2), batch, kinds=kinds) for batch in batches)
    return {TARGETS_REFUSED: refused}


class CopiesToCpu(TorchFunctionMode):
    """Collects the tensors that are copied to the CPU while it is entered."""

    def __init__(self):
        super().__init__()
        self.copied: list[Tensor] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Runs a function of tensors, and notes it if it is `.cpu()` or `.to("cpu")`."""
        kwargs = kwargs or {}
        device = args[1] if len(args) > 1 else kwargs.get("device")
        by_name = isinstance(device, str) and device == "cpu"  # not to wherever the others are
        if function is Tensor.cpu or (function is Tensor.to and by_name):
            self.copied.append(args[0])
        return function(*args, **kwargs)


def count_copies(work, *sizes: tuple[int, int]) -> dict[str, bool]:
    """Whether `work` copies as often for few images and layers as for many."""
    counts = set()
    for batch, layers in sizes:
        outputs, objects = made_predictions(batch, layers), made_targets(*[2] * batch)
        on_cpu = {tensor.data_ptr() for target in objects for tensor in target.values()}
        with CopiesToCpu() as copies:
            work(outputs, objects)
        # targets lie on the CPU as they come, so that `.cpu()` of a target copies nothing
        counts.add(sum(tensor.data_ptr() not in on_cpu for tensor in copies.copied))
    return {ONE_COPY: len(counts) == 1}


TASKS = (
    Task(
        Step7,
        (
            Probe("twelve images with one to six objects", pairs, many_images),
            *(
                Probe(f"the {name} cost alone", alone(pairs, COSTS, cost), many_images, False, True)
                for name, cost in zip(("class", "L1", "GIoU"), COSTS, strict=True)
            ),
            Probe("images with no object, 7 objects and 2", pairs, some_images),
            Probe(
                "images without any object, without aux_outputs", pairs, partial(last_layer, 0, 0)
            ),
            Probe("training mode", partial(keeps_modes, method="match"), two_images),
            Probe("targets that are wrong", lambda model: refuses_targets(model.match)),
            Probe(
                "how often numbers go to the CPU",
                lambda model: count_copies(model.match, (1, 1), (3, 1)),
                remark=True,
            ),
            Probe("boxes of all sizes and logits of all scales", pairs, wide_range),
            probe_defaults(cost_class=2, cost_bbox=5, cost_giou=2),
        ),
        lambda: {
            **arguments(5),
            **ONE_LAYER,
            "cost_class": 1.5,
            "cost_bbox": 3.5,
            "cost_giou": 2.5,
        },
    ),
)
