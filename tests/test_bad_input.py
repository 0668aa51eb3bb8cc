"""Every mistake in the input is named: argument, image, what was found, what was expected."""

import numpy as np
import pytest
import torch
from conftest import DeviceReads, make_targets, small_resnet, small_step
from torch import nn

from detr_steps import (
    FPN,
    PositionEmbedding2D,
    Step0,
    Step1,
    box_cxcywh_to_xyxy,
    box_iou,
    generalized_box_iou,
    giou_loss,
)
from detr_steps.inference import for_inference
from detr_steps.inputs import check_costs, check_predictions, check_target_values

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


@pytest.mark.parametrize("step", [0, 3, 8])
@pytest.mark.parametrize(
    ("wanted", "given", "found"),
    [
        ("cpu", {"dtype": torch.float64}, "float64 [1, 3, 64, 64] on cpu"),
        ("cpu", {"dtype": torch.float16}, "float16 [1, 3, 64, 64] on cpu"),
        ("cpu", {"device": "meta"}, "float32 [1, 3, 64, 64] on meta"),
        ("meta", {}, "float32 [1, 3, 64, 64] on cpu"),
    ],
)
def test_images_of_another_dtype_or_device_than_the_weights(step, wanted, given, found):
    model = small_step(step).to(wanted)
    with pytest.raises(TypeError) as raised:
        model(torch.zeros(1, 3, 64, 64, **given))
    expected = f"images: expected float32 on {wanted}, as the model's weights, found {found}"
    assert str(raised.value) == expected


def test_images_fit_weights_of_any_dtype_and_autocast_converts_them():
    double, images = small_step(8).double(), torch.rand(1, 3, 64, 64)
    assert double(images.double())["bbox_pred"].dtype == torch.float64
    with pytest.raises(TypeError, match=r"^images: expected float64 on cpu.* found float32"):
        double(images)
    model = small_step(8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            assert model(images.to(dtype))["bbox_pred"].isfinite().all()
        with pytest.raises(TypeError, match=r"^images: expected float32 on cpu.* found float64"):
            model(images.double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_made_ready_names_its_images(dtype, model, monkeypatch):
    monkeypatch.setattr("detr_steps.inference.ready.has_bfloat16", lambda device: True)
    ready = for_inference(model, dtype=dtype)
    for wrong in (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.zeros(3, 64, 64), None):
        with pytest.raises((TypeError, ValueError), match=r"^images: expected"):
            ready(wrong)
    assert ready(torch.rand(1, 3, 64, 64))["bbox_pred"].isfinite().all()


def test_a_mask_on_another_device_than_the_images(model):
    with pytest.raises(
        ValueError, match=r"^padding_mask: .* True on padding, on cpu, found .* meta"
    ):
        model(torch.rand(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.bool, device="meta"))


@pytest.mark.parametrize("function", [box_iou, generalized_box_iou, giou_loss])
def test_boxes_name_their_axes(function):
    axes = "[..., 4]" if function is giou_loss else "[..., N, 4]"
    with pytest.raises(ValueError) as raised:
        function(torch.rand(5, 3), torch.rand(5, 4))
    assert str(raised.value) == f"boxes1: expected a float tensor {axes}, found float32 [5, 3]"
    with pytest.raises(TypeError) as raised:
        function(torch.rand(5, 4), torch.ones(5, 4, dtype=torch.int64))
    assert str(raised.value) == f"boxes2: expected a float tensor {axes}, found int64 [5, 4]"


def test_pairs_of_boxes_are_as_many_on_both_sides():
    with pytest.raises(ValueError) as raised:
        giou_loss(torch.rand(3, 4), torch.rand(5, 4))
    expected = "boxes2: expected a box for each of boxes1, float32 [3, 4], found float32 [5, 4]"
    assert str(raised.value) == expected
    assert list(giou_loss(torch.rand(2, 3, 4), torch.rand(1, 4)).shape) == [2, 3]


def test_the_checks_of_boxes_read_no_value_and_break_no_graph():
    def all_of_them(boxes1, boxes2):
        corners = box_cxcywh_to_xyxy(boxes1), box_cxcywh_to_xyxy(boxes2)
        return box_iou(*corners) + giou_loss(*corners)[..., None]  # which takes the GIoU

    boxes = torch.rand(2, 6, 4), torch.rand(1, 6, 4)
    with DeviceReads() as reads:
        expected = all_of_them(*boxes)
    assert reads.calls == []
    torch._dynamo.reset()
    compiled = torch.compile(all_of_them, backend="eager", fullgraph=True, dynamic=True)
    torch.testing.assert_close(compiled(*boxes), expected)


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
    ("layers", "end"), [(1, "image 1"), (2, r"image 1 \(decoder layer 2 of 2\)")]
)
def test_a_decoder_layer_is_named_where_there_are_several(layers, end):
    cost = torch.zeros(layers, 2, 3, 1)
    cost[-1, 1, 2] = torch.nan
    logits, boxes = torch.zeros(layers, 2, 3, 4), torch.zeros(layers, 2, 3, 4)
    with pytest.raises(ValueError, match=rf"class_logits.* in {end}$"):
        check_costs(cost, logits, boxes)


@pytest.mark.parametrize("size", [(0, 3), (2, 0)])
def test_predictions_of_nothing(size):
    empty = {"class_logits": torch.zeros(*size, 3), "bbox_pred": torch.zeros(*size, 4)}
    with pytest.raises(ValueError, match=r"^outputs\['class_logits'\]: expected non-empty float"):
        check_predictions(empty, 2, "outputs")
    single = {"class_logits": torch.zeros(1, 1, 1), "bbox_pred": torch.zeros(1, 1, 4)}
    check_predictions(single, 0, "outputs")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (torch.zeros(2, 12, 6), TypeError, "outputs: expected the dict"),
        (None, TypeError, "^outputs: expected the dict that forward returns, found NoneType"),
        (
            {"class_logits": np.zeros((2, 12, 6)), "bbox_pred": torch.zeros(2, 12, 4)},
            TypeError,
            r"^outputs\['class_logits'\]: expected non-empty float \[B, N, 6\], found ndarray",
        ),
        (
            {"class_logits": torch.zeros(2, 12, 6).long(), "bbox_pred": torch.zeros(2, 12, 4)},
            TypeError,
            r"^outputs\['class_logits'\]: .* found int64 \[2, 12, 6\]",
        ),
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


def test_auxiliary_outputs_have_the_images_and_queries_of_the_last_layer(model, outputs):
    first, second = outputs["aux_outputs"]
    for fewer in ({k: v[:, :7] for k, v in second.items()}, {k: v[:1] for k, v in second.items()}):
        found = list(fewer["bbox_pred"].shape[:2])
        for call in (model.match, model.compute_loss, model.loss_terms):
            with pytest.raises(ValueError) as raised:
                call(outputs | {"aux_outputs": [first, fewer]}, make_targets(1, 1))
            expected = "expected [B, N] = [2, 12], as in the last layer, found"
            assert str(raised.value) == f"outputs['aux_outputs'][1]: {expected} {found}"
    with pytest.raises(TypeError, match=r"^outputs\['aux_outputs'\]: expected a list .* NoneType"):
        model.match(outputs | {"aux_outputs": None}, make_targets(1, 1))


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


@pytest.mark.parametrize(
    "choice", [{"pretrained": True}, {"dilation": True}, {"norm_layer": nn.BatchNorm2d}], ids=str
)
def test_a_ready_backbone_takes_no_further_choices(choice):
    from torchvision.models import resnet18

    with pytest.raises(ValueError, match="pretrained, dilation, norm_layer"):
        Step1(backbone=resnet18(), **choice)


@pytest.mark.parametrize("count", [1, 3])
def test_a_pyramid_takes_as_many_maps_as_it_has_levels(count):
    maps = [torch.zeros(1, 8, 4, 4)] * count
    with pytest.raises(ValueError, match=r"zip\(\)"):
        FPN({2: 8, 3: 8}, 4)(maps)


def test_position_embedding_needs_four_parts():
    with pytest.raises(ValueError, match="multiple of 4"):
        PositionEmbedding2D(30)


def test_boxes_may_stray_by_rounding_and_no_further(model, outputs):
    targets = changed(boxes=BOX * 2 * (1 + 5e-7))
    assert model.compute_loss(outputs, targets).isfinite()
    for edge in (-1e-6, 1 + 1e-6):  # as far as is allowed
        check_target_values(changed(boxes=torch.full((1, 4), edge)), 5)
    with pytest.raises(ValueError, match=r"targets\[1\]"):
        model.compute_loss(outputs, changed(boxes=BOX * 2 * (1 + 1e-4)))


@pytest.mark.parametrize(("most", "asks"), [(2.0, False), (2.5, True)])
def test_a_box_of_large_numbers_may_be_in_pixels(most, asks):
    boxes = torch.tensor([[0.5, 0.25, 0.1234567, most]])
    with pytest.raises(ValueError, match=r"found \[0.5, 0.25, 0.123457, \d.\d\]") as raised:
        check_target_values(changed(boxes=boxes), 5)
    assert ("pixels?" in str(raised.value)) == asks
