"""Every mistake in the input is named: argument, image, what was found, what was expected."""

import pytest
import torch
from conftest import make_targets, small_resnet, small_step
from torch import nn

from detr_steps import PositionEmbedding2D, Step0, Step1

BOX = torch.full((1, 4), 0.5)


@pytest.fixture(scope="module")
def model():
    return small_step(8).eval()


@pytest.fixture(scope="module")
def outputs(model):
    return model(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))


def changed(**changes):
    """Valid targets of two images, the second one changed."""
    first, second = make_targets(2, 1)
    return [first, second | changes]


@pytest.mark.parametrize(
    ("images", "error", "parts"),
    [
        (torch.zeros(3, 64, 64), ValueError, ["[B, 3, H, W]", "float32 [3, 64, 64]"]),
        (torch.zeros(1, 1, 64, 64), ValueError, ["[B, 3, H, W]", "[1, 1, 64, 64]"]),
        (torch.zeros(0, 3, 64, 64), ValueError, ["[0, 3, 64, 64]"]),
        (
            torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
            TypeError,
            ["floats", "uint8 [1, 3, 64, 64]"],
        ),
        ([torch.zeros(3, 64, 64)], TypeError, ["float tensor", "list"]),
        (None, TypeError, ["NoneType"]),
    ],
)
@pytest.mark.parametrize("step", [0, 8])
def test_images(step, model, images, error, parts):
    model = model if step else Step0(backbone=small_resnet())
    with pytest.raises(error, match=r"^images: expected") as raised:
        model(images)
    assert all(part in str(raised.value) for part in parts)


@pytest.mark.parametrize(
    ("mask", "error"),
    [
        (torch.zeros(2, 8, 8, dtype=torch.bool), ValueError),
        (torch.zeros(1, 64, 64, dtype=torch.bool), ValueError),
        (torch.zeros(2, 64, 64), TypeError),
        ([[False]], TypeError),
    ],
)
def test_padding_mask(model, mask, error):
    with pytest.raises(error, match=r"^padding_mask: expected bool \[2, 64, 64\], True on padding"):
        model(torch.rand(2, 3, 64, 64), mask)


@pytest.mark.parametrize(
    ("targets", "error", "parts"),
    [
        (None, TypeError, ["targets: expected a list", "NoneType"]),
        (make_targets(1), ValueError, ["targets: expected 2 dicts", "found 1"]),
        ([*make_targets(1), None], TypeError, ["targets[1]", "NoneType"]),
        ([*make_targets(1), {"boxes": BOX}], ValueError, ["targets[1]", "'labels'", "['boxes']"]),
        (changed(labels=[1]), TypeError, ["targets[1]['labels']", "list"]),
        (
            changed(labels=torch.tensor([1.0])),
            TypeError,
            ["targets[1]['labels']", "int64", "float32"],
        ),
        (changed(labels=torch.tensor([1], dtype=torch.int32)), TypeError, ["int64", "int32 [1]"]),
        (changed(labels=torch.tensor([[1]])), ValueError, ["targets[1]['labels']", "int64 [1, 1]"]),
        (
            changed(labels=torch.tensor([5])),
            ValueError,
            ["['labels'][0]", "0..4", "5 ('no object')"],
        ),
        (
            changed(labels=torch.tensor([7])),
            ValueError,
            ["targets[1]['labels'][0]", "0..4", "found 7"],
        ),
        (changed(labels=torch.tensor([-1])), ValueError, ["targets[1]['labels'][0]", "found -1"]),
        (changed(boxes=torch.tensor([[1, 1, 1, 1]])), TypeError, ["targets[1]['boxes']", "int64"]),
        (changed(boxes=torch.rand(1, 5)), ValueError, ["targets[1]['boxes']", "[1, 4]", "[1, 5]"]),
        (changed(boxes=torch.rand(2, 4)), ValueError, ["a box for each label", "[2, 4]"]),
        (changed(boxes=BOX * 640), ValueError, ["targets[1]['boxes'][0]", "320.0", "pixels"]),
        (changed(boxes=BOX * torch.nan), ValueError, ["targets[1]['boxes'][0]", "nan"]),
        (changed(boxes=BOX * -1), ValueError, ["targets[1]['boxes'][0]", "0..1", "-0.5"]),
        (changed(boxes=BOX + 0.6), ValueError, ["targets[1]['boxes'][0]", "1.1"]),
        (make_targets(1, 13), ValueError, ["targets[1]", "at most 12 objects", "13"]),
    ],
)
@pytest.mark.parametrize("method", ["match", "compute_loss"])
def test_targets(model, outputs, method, targets, error, parts):
    with pytest.raises(error, match=r"^targets") as raised:
        getattr(model, method)(outputs, targets)
    assert all(part in str(raised.value) for part in parts), str(raised.value)


@pytest.mark.parametrize("key", ["class_logits", "bbox_pred"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_predictions_that_are_not_finite(model, outputs, key, value):
    broken = outputs[key].clone()
    broken[1, 3] = value
    outputs = outputs | {key: broken}
    with pytest.raises(ValueError, match=f"'{key}'.*finite.*image 1"):
        model.match(outputs, make_targets(1, 1))
    with pytest.raises(ValueError, match=f"'{key}'.*finite.*image 1 \\(decoder layer 3 of 3\\)"):
        model.compute_loss(outputs, make_targets(1, 1))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (torch.zeros(2, 12, 6), TypeError, "outputs: expected the dict"),
        ({"class_logits": torch.zeros(2, 12, 6)}, ValueError, "'bbox_pred'"),
        (
            {"class_logits": torch.zeros(2, 12, 5), "bbox_pred": torch.zeros(2, 12, 4)},
            ValueError,
            r"\[B, N, 6\].*\[2, 12, 5\]",
        ),
        (
            {"class_logits": torch.zeros(2, 12, 6), "bbox_pred": torch.zeros(2, 11, 4)},
            ValueError,
            "same B and N",
        ),
    ],
)
@pytest.mark.parametrize("method", ["match", "compute_loss"])
def test_outputs(model, method, given, error, message):
    with pytest.raises(error, match=message):
        getattr(model, method)(given, make_targets(1, 1))


def test_auxiliary_outputs_are_named(model, outputs):
    broken = outputs | {"aux_outputs": [outputs["aux_outputs"][0], {}]}
    with pytest.raises(ValueError, match=r"outputs\['aux_outputs'\]\[1\]"):
        model.compute_loss(broken, make_targets(1, 1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_queries": 0}, ValueError, "num_queries: expected a whole number"),
        ({"num_classes": 2.5}, ValueError, "num_classes: .* found 2.5"),
        ({"dec_layers": 0}, ValueError, "dec_layers"),
        ({"emb_dim": 34, "nhead": 2}, ValueError, "emb_dim: expected a multiple of 4"),
        ({"nhead": 5}, ValueError, "nhead: expected a divisor of emb_dim = 32, found 5"),
        ({"dim_feedforward": -1}, ValueError, "dim_feedforward"),
        ({"backbone": "vgg16"}, ValueError, "backbone: .*'vgg16'"),
        ({"backbone": "resnet18", "dilation": True}, ValueError, "dilation: .*'resnet18'"),
        ({"backbone": nn.Identity()}, TypeError, "backbone: .*Identity"),
    ],
)
def test_constructor_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        small_step(8, **arguments)


def test_a_ready_backbone_takes_no_further_choices():
    from torchvision.models import resnet18

    with pytest.raises(ValueError, match="pretrained, dilation, norm_layer"):
        Step1(backbone=resnet18(), pretrained=True)


def test_position_embedding_needs_four_parts():
    with pytest.raises(ValueError, match="multiple of 4"):
        PositionEmbedding2D(30)


def test_boxes_may_stray_by_rounding_and_no_further(model, outputs):
    targets = changed(boxes=BOX * 2 * (1 + 5e-7))
    assert model.compute_loss(outputs, targets).isfinite()
    with pytest.raises(ValueError, match=r"targets\[1\]"):
        model.compute_loss(outputs, changed(boxes=BOX * 2 * (1 + 1e-4)))
