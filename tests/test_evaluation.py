"""The parts of an evaluation on small things: duplicates, batches, precision by recall, sizes."""

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import Dataset, Subset

from detr_steps.training.evaluation import (
    collect,
    count_duplicates,
    percent,
    precision_by_recall,
    scaled,
    scores,
)


def objects(boxes, labels, **more):
    """Boxes and labels of an image as tensors."""
    return {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels), **more}


def found(boxes, labels):
    """The same as detections, each surer than the next."""
    return objects(boxes, labels, scores=torch.linspace(0.9, 0.5, len(labels)))


@pytest.mark.parametrize(
    ("boxes", "labels", "count"),
    [
        ([[0.0, 0, 4, 2], [0, 0, 3, 2], [1, 0, 4, 2]], [1, 1, 1], 2),  # both overlap the first
        ([[0.0, 0, 4, 2], [0, 0, 3, 2], [1, 0, 4, 2]], [1, 2, 1], 1),
        ([[0.0, 0, 4, 2], [0, 0, 2, 2]], [1, 1], 0),  # by half, and not by more
        ([[0.0, 0, 4, 2]], [1], 0),
    ],
)
def test_duplicates_overlap_a_better_box_of_their_class(boxes, labels, count):
    assert count_duplicates([found(boxes, labels)]) == count
    assert count_duplicates([found(boxes, labels)] * 2) == 2 * count


@pytest.mark.parametrize(
    ("value", "text"), [(-100.0, "-"), (0.0, "0.0"), (0.5, "0.5"), (41.26, "41.3")]
)
def test_a_number_that_is_not_there_is_a_dash(value, text):
    assert percent(value) == text


class Plain(Dataset):
    """Images of 8x8 pixels that say that they have a shorter side."""

    def __init__(self, count, short_side):
        self.count, self.short_side = count, short_side

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        target = {"boxes": torch.tensor([[0.5, 0.5, 1, 0.5]]), "labels": torch.tensor([index % 2])}
        return torch.zeros(3, 8, 8), target | {"size": torch.tensor([40, 20])}


class Counting(nn.Module):
    """Counts the images of its batches."""

    def __init__(self):
        super().__init__()
        self.batches, self.weight = [], nn.Parameter(torch.ones(1))

    def forward(self, images, padding_mask=None):
        assert not self.training
        self.batches.append(len(images))
        outputs = {"class_logits": torch.zeros(len(images), 2, 3) * self.weight}
        outputs["bbox_pred"] = torch.full((len(images), 2, 4), 0.5)
        assert not outputs["class_logits"].requires_grad
        return outputs


@pytest.mark.parametrize(
    ("side", "asked", "batches"),
    [
        (128, None, [50, 10]),
        (127, None, [50, 10]),
        (256, None, [12] * 5),
        (1000, None, [1] * 60),
        (128, 40, [40, 20]),
    ],
)
def test_a_batch_has_as_many_pixels_as_fit(side, asked, batches):
    model = Counting().train()
    data = Subset(Plain(70, side), range(60))
    results, wanted = collect(model, data, Accelerator(cpu=True), asked)
    assert model.batches == batches and model.training
    assert len(results) == len(wanted) == 60
    assert wanted[3]["boxes"].tolist() == [[0, 10, 20, 30]] and wanted[3]["labels"].tolist() == [1]


def test_precision_by_recall_is_the_mean_over_classes():
    """Class 0 is found whole, more than ten times in an image; of class 1 a half, not well."""
    many = [[10.0 * i, 0, 10.0 * i + 8, 8 + 90 * (i > 5)] for i in range(12)]
    wanted = [objects(many, [0] * 12), objects([[0.0, 0, 50, 100], [200, 0, 250, 50]], [1, 1])]
    seen = [found(many, [0] * 12), found([[0.0, 0, 50, 62]], [1])]
    curve = precision_by_recall(seen, wanted)
    expected = torch.full((10, 101), 0.5)
    expected[:3, :51] = 1.0  # IoU of 0.5, 0.55 and 0.6; recall up to a half
    torch.testing.assert_close(curve.float(), expected)


def test_another_unit_of_length_is_another_measure_of_large():
    assert scaled([objects([[1.0, 2, 3, 4]], [7])], 2)[0]["boxes"].tolist() == [[2, 4, 6, 8]]
    for side, large, medium in ((48.0, 100, 100), (47.8, -100, 100), (16.0, -100, 100)):
        box = [[0.0, 0, side, side]]
        result = scores([found(box, [0])], [objects(box, [0])], large=48)
        assert result["map"] == pytest.approx(100)
        assert result["map_large"] == pytest.approx(large)
        assert result["map_medium"] == pytest.approx(medium)
