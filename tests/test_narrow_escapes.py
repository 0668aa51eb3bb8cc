"""Wrong answers that agree with the right one on most inputs: the checker must not pass them."""

import pytest
import torch
import torchvision
from attempts import ATTEMPTS
from learner import write
from torch import nn

from detr_steps import (
    PositionEmbedding2D,
    Step1,
    Step3,
    Step6,
    Step7,
    box_cxcywh_to_xyxy,
    generalized_box_iou,
)
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


class KeepsEvaluation(Step1):
    def forward(self, images):
        self.backbone.eval()
        return super().forward(images)


class TakesBytes(Step1):
    def forward(self, images):
        return super().forward(images.float().reshape(-1, *images.shape[-3:]))


@pytest.mark.parametrize(
    ("attempt", "mistake"),
    [
        (KeepsEvaluation, "evaluation mode in training"),
        (TakesBytes, "bad images accepted"),
    ],
)
def test_what_the_map_alone_does_not_show_is_named(attempt, mistake):
    assert check(attempt, "Step1").mistake == mistake


class Remembers(PositionEmbedding2D):
    known = None

    def forward(self, features, padding_mask=None):
        if padding_mask is not None:
            return super().forward(features, padding_mask)
        if self.known is None:
            self.known = super().forward(features)
        return self.known


class NoGradientAllowed(PositionEmbedding2D):
    def forward(self, features, padding_mask=None):
        features.numpy()
        return super().forward(features, padding_mask)


class EmptyMasksLeftOut(Step3):
    def encode(self, images, padding_mask=None):
        marked = padding_mask is not None and padding_mask.any()
        return super().encode(images, padding_mask if marked else None)


class FirstLayer(Step7):
    def match(self, outputs, targets):
        return super().match((outputs["aux_outputs"] or [outputs])[0], targets)


@pytest.mark.parametrize("attempt", [Remembers, NoGradientAllowed, EmptyMasksLeftOut, FirstLayer])
def test_what_a_single_run_does_not_show_does_not_pass(attempt):
    answer = check(attempt, attempt.__mro__[1].__name__)
    assert not answer.passed, answer


def test_points_have_a_loss_and_no_pairs_have_none():
    def my_loss(a, b):
        return torchvision.ops.generalized_box_iou_loss(a, b, eps=0)

    assert not check(my_loss, "giou_loss").passed


def test_results_in_another_order_do_not_pass_although_rows_may_be_cut_in_any_way():
    class MyStep2(Step1):
        def __init__(self, num_classes=80, num_queries=100, **kwargs):
            super().__init__(**kwargs)
            self.num_classes = num_classes
            self.queries = nn.Parameter(torch.randn(num_queries, self.emb_dim))
            self.both = nn.Linear(self.emb_dim, num_classes + 1 + self.emb_dim)
            self.second = nn.Linear(self.emb_dim, self.emb_dim)
            self.third = nn.Linear(self.emb_dim, 4)

        def forward(self, images):
            features = super().forward(images)
            queries = self.queries.expand(len(images), -1, -1)
            class_logits, hidden = self.both(queries).tensor_split([self.num_classes + 1], -1)
            boxes = self.third(self.second(hidden.relu()).relu()).sigmoid()
            boxes = self.in_order(boxes)
            return {"class_logits": class_logits, "bbox_pred": boxes, "features": features}

        @staticmethod
        def in_order(boxes):
            return boxes

    assert check(MyStep2).passed
    MyStep2.in_order = staticmethod(lambda boxes: boxes[..., [2, 3, 0, 1]])
    assert not check(MyStep2).passed
