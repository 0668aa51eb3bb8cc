"""From predictions to detections, and from detections to COCO's average precision."""

from collections.abc import Mapping, Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from ..inference import detections
from ..step7_hungarian_matching import box_cxcywh_to_xyxy, box_iou
from ..step8_set_loss import Step8
from .batches import collate

COCO_LARGE = 96  # pixels: an object is large from the area of such a square on
PIXELS = 50 * 128**2  # of a batch of images in evaluation
METRICS = {  # of torchmetrics, with their names for a reader
    "map": "AP",
    "map_50": "AP50",
    "map_75": "AP75",
    "map_small": "small",
    "map_medium": "medium",
    "map_large": "large",
}


def count_duplicates(found: Sequence[Mapping[str, Tensor]], iou: float = 0.5) -> int:
    """Boxes that overlap a better one of the same class by more than `iou`, over all images.

    Args:
        found: for each image what `detections` returns, best first.
        iou: how much two boxes may overlap.
    """
    count = 0
    for one in found:
        same = one["labels"][:, None] == one["labels"]
        twice = (box_iou(one["boxes"], one["boxes"]) > iou) & same
        count += int(twice.triu(1).any(0).sum())
    return count


def truth(target: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is to be found in an image, in its own pixels, with crowds marked if there are any."""
    if "all_boxes" in target:
        return {
            "boxes": target["all_boxes"],
            "labels": target["all_labels"],
            "iscrowd": target["crowd"].long(),
        }
    height, width = target["size"].tolist()
    scale = torch.tensor([width, height, width, height])
    return {"boxes": box_cxcywh_to_xyxy(target["boxes"]) * scale, "labels": target["labels"]}


def whole(dataset: Dataset) -> Dataset:
    """The data set that a part belongs to, or the data set itself."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def gather_in_order(share: list, accelerator: Accelerator) -> list:
    """One thing for each image, of all processes, in the order of the data set."""
    everything = gather_object(share)
    processes = accelerator.num_processes
    order = [i for p in range(processes) for i in range(p, len(everything), processes)]
    things = dict(zip(order, everything, strict=True))
    return [things[i] for i in range(len(things))]


@torch.no_grad()
def collect(
    model: Step8, dataset: Dataset, accelerator: Accelerator, batch_size: int | None = None
) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """What a model finds in each image of a data set, and what is there; all of it on each process.

    Every process takes its share of the images, and each image is seen once. By default a batch has
    as many pixels as `PIXELS`, or one image.
    """
    batch_size = batch_size or max(1, PIXELS // whole(dataset).short_side ** 2)
    share = range(accelerator.process_index, len(dataset), accelerator.num_processes)
    loader = DataLoader(Subset(dataset, share), batch_size, collate_fn=collate)
    training = model.training
    model.eval()
    found, wanted = [], []
    for images, mask, targets in loader:
        images = images.to(accelerator.device)
        mask = None if mask is None else mask.to(accelerator.device)
        with accelerator.autocast():
            outputs = model(images, padding_mask=mask)
        sizes = [tuple(target["size"].tolist()) for target in targets]
        found += [{k: v.cpu() for k, v in one.items()} for one in detections(outputs, sizes)]
        wanted += [truth(target) for target in targets]
    model.train(training)
    return gather_in_order(found, accelerator), gather_in_order(wanted, accelerator)


def coco_results(
    found: Sequence[Mapping[str, Tensor]],
    wanted: Sequence[Mapping[str, Tensor]],
    large: float = COCO_LARGE,
    **options: bool,
) -> dict[str, Tensor]:
    """What pycocotools measures, through torchmetrics, whose `options` are passed on.

    An object's size is the area of its box, where COCO takes that of its outline.

    Args:
        found, wanted: of each image, as `collect` returns them.
        large: side of the square in pixels from whose area on an object counts as large; medium
            begins at a third of it.
    """
    from torchmetrics.detection import MeanAveragePrecision  # takes seconds: only where it is used

    metric = MeanAveragePrecision(iou_type="bbox", backend="pycocotools", **options)
    metric.update(*(scaled(images, COCO_LARGE / large) for images in (found, wanted)))
    return metric.compute()


def in_percent(result: Mapping[str, Tensor]) -> dict[str, float]:
    """COCO's AP, AP50, AP75 and AP by size; -100 where there is no object of that size."""
    return {name: 100 * result[name].item() for name in METRICS}


def percent(value: float) -> str:
    """Such a number for a table; "-" where there is no object of that kind."""
    return f"{value:.1f}" if value >= 0 else "-"


def scores(
    found: Sequence[Mapping[str, Tensor]],
    wanted: Sequence[Mapping[str, Tensor]],
    large: float = COCO_LARGE,
) -> dict[str, float]:
    """COCO's AP, AP50, AP75 and AP by size, in percent; for the arguments see `coco_results`."""
    return in_percent(coco_results(found, wanted, large))


def scaled(images: Sequence[Mapping[str, Tensor]], factor: float) -> list[dict[str, Tensor]]:
    """The same with all boxes in another unit of length."""
    return [{**image, "boxes": image["boxes"] * factor} for image in images]


def evaluate(
    model: Step8, dataset: Dataset, accelerator: Accelerator, batch_size: int | None = None
) -> dict[str, float]:
    """The `scores` of a model on a data set, with the data set's own measure of `large`."""
    return scores(*collect(model, dataset, accelerator, batch_size), whole(dataset).large)


def precision_by_recall(found: list[dict[str, Tensor]], wanted: list[dict[str, Tensor]]) -> Tensor:
    """Precision at the recalls 0, 0.01 .. 1, mean over classes: [10, 101], IoU from 0.5 to 0.95."""
    result = coco_results(found, wanted, extended_summary=True)
    precision = result["precision"][:, :, :, 0, -1]  # [10, 101, C], all sizes
    return precision.clamp(min=0).mean(-1)
