"""What a model does on a data set, in numbers, and what is known about such numbers."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import Dataset

from ..step7_hungarian_matching import box_iou
from ..step8_set_loss import Step8
from .evaluation import (
    coco_results,
    collect,
    count_duplicates,
    gather_in_order,
    in_percent,
    whole,
)

SURE = 0.5  # least score of an object that a query is taken to have found
OVERLAP = 0.5  # least IoU of a detection that counts as right
STILL = 0.01  # of the image: boxes that move less are the same for all images
MANY = 0.3  # duplicates, as a part of the objects
GAP = 15  # AP on training data less AP on other data
# steps with the set loss, from random weights. AP of the small model on 100 scenes, trained on
# 4,000 (one run each): after 100 steps 0.0 without a warm start, 0.1 with 500 steps of it, 0.6 with
# 2,000; after 300 steps 0.2 without and 3.2 with 500; without also 0.2 after 600, 0.6 after 1,000
FEW_STEPS = 300


@dataclass(frozen=True)
class Findings:
    """What a model does on a data set.

    Args:
        scores: see `evaluation.scores`.
        class_scores: AP of each class that the data has, in percent.
        class_counts: objects of each class.
        found, wanted: of each image, see `collect`, without crowds.
        fired: in how many images each query was sure of an object, [N].
        spread: how much a query's box changes from image to image: the standard deviation of its
            four numbers, which are parts of the image, as a mean over the queries.
        finite: whether all predictions are numbers.
    """

    scores: dict[str, float]
    class_scores: dict[str, float]
    class_counts: dict[str, int]
    found: list[dict[str, Tensor]]
    wanted: list[dict[str, Tensor]]
    fired: Tensor
    spread: float
    finite: bool

    @property
    def objects(self) -> int:
        """How many there are in all images."""
        return sum(self.class_counts.values())

    def mistakes(self, index: int) -> int:
        """How many objects of an image are missed or made up."""
        (one,), target = sure_of([self.found[index]]), self.wanted[index]
        overlap = box_iou(one["boxes"], target["boxes"]) > OVERLAP
        right = overlap & (one["labels"][:, None] == target["labels"])
        return int((~right.any(0)).sum() + (~right.any(1)).sum())


def find_out(
    model: Step8, data: Dataset, accelerator: Accelerator, classes: Sequence[str]
) -> Findings:
    """Runs a model on a data set; `classes` are the names of its labels."""
    predictions: list[tuple[Tensor, Tensor]] = []

    def keep(module, args, outputs: Mapping[str, Tensor]) -> None:
        both = (outputs[key].float().cpu() for key in ("class_logits", "bbox_pred"))
        predictions.extend(zip(*both, strict=True))

    with model.register_forward_hook(keep):
        found, wanted = collect(model, data, accelerator)
    predictions = gather_in_order(predictions, accelerator)
    logits, boxes = (torch.stack(parts) for parts in zip(*predictions, strict=True))
    sure = logits.softmax(-1)[..., :-1].amax(-1) > SURE  # [images, N]
    single = [without_crowds(one) for one in wanted]
    counts = Counter(int(label) for one in single for label in one["labels"])
    result = coco_results(found, wanted, whole(data).large, class_metrics=True)
    labels, precisions = (result[key].reshape(-1) for key in ("classes", "map_per_class"))
    pairs = zip(labels.tolist(), precisions.tolist(), strict=True)
    return Findings(
        in_percent(result),
        {classes[label]: 100 * ap for label, ap in pairs if ap >= 0},
        {classes[label]: counts[label] for label in sorted(counts)},
        found,
        single,
        sure.sum(0),
        boxes.std(0, unbiased=False).mean().item(),
        bool(logits.isfinite().all() and boxes.isfinite().all()),
    )


def without_crowds(wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is to be found in an image, but for crowds."""
    kept = ~wanted.get("iscrowd", torch.zeros_like(wanted["labels"])).bool()
    return {name: values[kept] for name, values in wanted.items()}


@dataclass(frozen=True)
class Symptom:
    """Something that is known to go wrong.

    Args:
        seen: the numbers that show it.
        cause: what it mostly comes from.
        remedy: what to do.
    """

    seen: str
    cause: str
    remedy: str


KNOWN = {  # cause and remedy of each symptom
    "numbers": (
        "the steps of the optimizer were too long.",
        "halve --lr and --warm-lr, and keep --clip at 0.1.",
    ),
    "short": (
        f"an AP near 0 is expected of a new model after fewer than {FEW_STEPS} such steps.",
        "train longer: without --steps, `train` takes thousands.",
    ),
    "silence": (
        'most queries have no object. The model learns "no object" first, and objects later.',
        "train longer. If the loss of the boxes does not fall, learn four of the images by heart "
        "first; where that fails, the boxes or the labels are wrong.",
    ),
    "same boxes": (
        "the queries do not read the image: it is too early, or the learning rate is too high.",
        "train longer, or halve --lr. Without weights to start from, keep the warm start.",
    ),
    "misplaced": (
        "the boxes or the classes are not what the annotations seem to say: corners where width "
        "and height are expected, boxes of images of another size, classes under other names.",
        "look at the images below, and at the picture that `data` draws.",
    ),
    "duplicates": (
        "the queries have not yet learnt to give way to one another, which comes late.",
        "train longer.",
    ),
    "by heart": (
        "the model knows the training images by heart.",
        "use more images, weights to start from (--start), or fewer steps.",
    ),
}


def symptoms(
    test: Findings,
    train: Findings | None = None,
    losses: Sequence[float] = (),
    steps: int | None = None,
) -> list[Symptom]:
    """What is known about the numbers of a model; nothing if they look healthy.

    Args:
        test: on images that it was not trained on.
        train: on images that it was trained on, where that is known.
        losses: of its training, in order.
        steps: with the set loss, where it began with random weights.
    """
    if not test.finite or not all(map(math.isfinite, losses)):
        return [Symptom("Losses or predictions are NaN or infinite.", *KNOWN["numbers"])]
    if steps is not None and steps < FEW_STEPS and test.scores["map"] < 1:
        text = f"AP is {test.scores['map']:.1f} after {steps} steps with the set loss."
        return [Symptom(text, *KNOWN["short"])]
    seen = {}
    if not test.fired.any():
        seen["silence"] = (
            f"No query is sure of an object in any image: all scores are below {SURE}."
        )
    if len(test.found) > 1 and test.spread < STILL:
        moved = f"a query's box moves by {test.spread:.4f} of the image"
        seen["same boxes"] = f"All images get the same boxes: {moved}."
    if not seen and test.scores["map_50"] < 1:
        seen["misplaced"] = f"Objects are found, but AP50 is {test.scores['map_50']:.1f}."
    duplicates = count_duplicates(sure_of(test.found))
    if duplicates > MANY * test.objects:
        seen["duplicates"] = f"{duplicates} duplicates for {test.objects} objects."
    if train is not None and train.scores["map"] - test.scores["map"] > GAP:
        here, there = (findings.scores["map"] for findings in (train, test))
        seen["by heart"] = f"AP is {here:.1f} on training data, and {there:.1f} on other data."
    return [Symptom(text, *KNOWN[name]) for name, text in seen.items()]


def sure_of(found: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Tensor]]:
    """The detections with a score above `SURE`."""
    return [{k: values[one["scores"] > SURE] for k, values in one.items()} for one in found]
