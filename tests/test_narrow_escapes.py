"""Wrong answers that agree with the right one on most inputs: the checker must not pass them."""

import pytest
import torch
from attempts import ATTEMPTS
from learner import write

from detr_steps import Step6, box_cxcywh_to_xyxy, generalized_box_iou
from detr_steps.exercises import check

NEAREST = """\
rows = torch.arange(h) * padding_mask.shape[1] // h
            columns = torch.arange(w) * padding_mask.shape[2] // w
            small = padding_mask[:, rows][:, :, columns]"""
PLACES = "nn.Embedding(len(self.queries), self.emb_dim)"
CHANGES = {
    "a mask by bilinear interpolation": (
        "Step3",
        NEAREST,
        "small = F.interpolate(padding_mask[None].float(), (h, w), mode='bilinear')[0] > 0.5",
    ),
    "a mask by majority": (
        "Step3",
        NEAREST,
        "small = F.adaptive_avg_pool2d(padding_mask[None].float(), (h, w))[0] > 0.5",
    ),
    "a mask of all that is touched": (
        "Step3",
        NEAREST,
        "small = F.adaptive_max_pool2d(padding_mask[None].float(), (h, w))[0].bool()",
    ),
    "the temperature not handed on": ("Step3", "(self.emb_dim, temperature)", "(self.emb_dim)"),
    "query positions that start as zeros": (
        "Step3",
        f"self.places = {PLACES}",
        f"self.places = {PLACES}\n        nn.init.zeros_(self.places.weight)",
    ),
    "another temperature by default": ("Step3", "temperature=10000.0", "temperature=1000.0"),
    "attention weights that are not dropped": (
        "Step4",
        "self.drop(scores.softmax(-1))",
        "scores.softmax(-1)",
    ),
    "dropout where none belongs": (
        "Step4",
        "x + pos, x + pos, x,",
        "self.drop(x + pos), x + pos, x,",
    ),
    "dropout not handed on": ("Step4", "nn.Dropout(dropout)", "nn.Dropout(0.3)"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_few_inputs_show_does_not_pass(change):
    name, old, new = CHANGES[change]
    source = ATTEMPTS[name][0]
    assert source.count(old) == 1
    answer = check(write(source, (old, new)))
    assert not answer.passed, answer


def clamped(boxes):
    return box_cxcywh_to_xyxy(boxes).clamp(0, 1)


def never_small(boxes1, boxes2):
    return generalized_box_iou(boxes1, boxes1[:0] if boxes2 is None else boxes2).clamp(min=-0.9)


def sides_at_least(boxes1, boxes2):
    """Widths and heights are at least a thousandth."""
    (a, b), (c, d) = (
        (x[..., :2], torch.maximum(x[..., 2:], x[..., :2] + 1e-2)) for x in (boxes1, boxes2)
    )
    return generalized_box_iou(torch.cat((a, b), -1), torch.cat((c, d), -1))


def negative_times_negative(boxes1, boxes2):
    """Boxes apart on both axes have an overlap again."""
    a, b = boxes1[..., :, None, :], boxes2[..., None, :, :]
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    inner = sides.prod(-1).clamp(min=0)
    areas = [(x[..., 2:] - x[..., :2]).prod(-1) for x in (a, b)]
    return inner / (areas[0] + areas[1] - inner)


@pytest.mark.parametrize(
    ("attempt", "name"),
    [
        (clamped, "box_cxcywh_to_xyxy"),
        (never_small, "generalized_box_iou"),
        (sides_at_least, "generalized_box_iou"),
        (negative_times_negative, "box_iou"),
    ],
)
def test_boxes_of_any_size_and_place_are_tried(attempt, name):
    assert not check(attempt, name).passed


class MyStep6(Step6):
    """Gives its auxiliary outputs in evaluation alone."""

    def predict(self, hidden):
        found = super().predict(hidden)
        return {**found, "aux_outputs": []} if self.training else found


def test_training_mode_is_tried():
    assert not check(MyStep6, "Step6").passed
