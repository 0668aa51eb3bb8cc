"""A table of bad calls: each ends in an error that begins with the name of the argument."""

import contextlib
import math
import re
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from conftest import make_targets, small_resnet, small_step
from torch import nn
from torchvision.models import ResNet, vgg11

from detr_steps import (
    FPN,
    PositionEmbedding2D,
    Step1,
    box_cxcywh_to_xyxy,
    box_iou,
    generalized_box_iou,
    giou_loss,
    load_official,
)
from detr_steps.inference import export, for_inference
from detr_steps.inference.bfloat16 import InBfloat16
from detr_steps.official import official_name

NAN, INF = math.nan, math.inf
BACKBONE = small_resnet()
MODEL = small_step(8, backbone=BACKBONE).eval()
IMAGES = torch.rand(2, 3, 64, 64)
OUTPUTS = MODEL(IMAGES)
AUX = OUTPUTS["aux_outputs"]
TARGETS = make_targets(2, 1)
BOX = torch.full((2, 4), 0.5)
LABEL = torch.tensor([1])
MASK = torch.zeros(2, 64, 64, dtype=torch.bool)
LOGITS = OUTPUTS["class_logits"].detach()
QUERIES = MODEL.query_pos.detach()
IN_BFLOAT16 = InBfloat16(small_step(8, backbone=deepcopy(BACKBONE))).eval()


def step(**arguments):
    return small_step(8, **{"backbone": BACKBONE, **arguments})


def step1(**arguments):
    return Step1(**{"backbone": BACKBONE, **arguments})


def at(key, value):
    """Outputs with another value under a key."""
    return {**OUTPUTS, key: value}


def aux(**changes):
    """Outputs whose second auxiliary layer is changed."""
    return at("aux_outputs", [AUX[0], {**AUX[1], **changes}])


def second(**changes):
    """Targets whose second image is changed."""
    return [TARGETS[0], {"labels": LABEL, "boxes": BOX[:1], **changes}]


CONSTRUCTORS = {
    "num_classes": [0, -1, 2.5, 5.0, "5", None, True, NAN, [5], torch.tensor(5), np.int64(5)],
    "num_queries": [0, -3, 1.5, "12", None, True, False, INF, (12,), BOX, 1j],
    "emb_dim": [0, -4, 32.0, "32", None, True, 30, 33, NAN, [32]],
    "nhead": [0, -1, 2.0, "4", None, True, 5, 64],
    "enc_layers": [-1, 1.5, "1", None, True, NAN, 1.0],
    "dec_layers": [0, -1, 1.5, "3", None, True, 2.0],
    "dim_feedforward": [0, -1, 48.0, "48", None, True],
    "dropout": [-0.1, 1, 1.5, NAN, None, "0.1", True, INF],
    "temperature": [0, -20, NAN, INF, None, "20", True, [20], 1e-300, 10**400],
    "cost_class": [-1, NAN, INF, "2", None, True],
    "cost_bbox": [-1e-9, NAN, -INF, "5", None, [5.0]],
    "cost_giou": [-2.0, NAN, 1e300, torch.tensor(2.0), None, False],
    "w_class": [-1, NAN, INF, "2", None, True],
    "w_bbox": [-0.5, NAN, -INF, b"5", {}, 10**400],
    "w_giou": [-2, NAN, INF, 1j, None, ()],
    "no_object_weight": [0, -0.1, NAN, INF, "0.1", None, True, 1e-320],
    "trainable_layers": [-1, 6, 2.5, None, "5", True],
    "pretrained": [1, 0, "yes", None],
    "dilation": [1, None, "True"],
    "norm_layer": ["batch", 0, nn.BatchNorm2d(8)],
    "backbone": [
        "resnet999",
        "resnet",
        "vgg16",
        "",
        "ResNet50",
        None,
        50,
        ResNet,
        nn.Identity(),
        vgg11,
    ],
}
OF_STEP_1 = ("pretrained", "dilation", "norm_layer", "trainable_layers")
NO_IMAGES = [None, "image.jpg", [IMAGES], IMAGES.numpy(), IMAGES[0], IMAGES[:, :1], IMAGES[:0]]
NO_IMAGES += [IMAGES[..., :0], IMAGES[None], IMAGES.movedim(1, -1), IMAGES.cfloat()]
NO_IMAGES += [IMAGES.byte(), IMAGES.bool(), IMAGES.long()]
OTHER_IMAGES = [IMAGES.double(), IMAGES.half(), IMAGES.bfloat16(), IMAGES.to("meta")]
MASKS = [[[False]], True, MASK.numpy(), MASK.float(), MASK.byte(), MASK[0], MASK[:1]]
MASKS += [MASK[:, :32], MASK[:, None], MASK.to("meta")]
PREDICTIONS = {
    "outputs": [
        None,
        [],
        LOGITS,
        LOGITS.numpy(),
        (LOGITS, BOX),
        "outputs",
        {},
        {"class_logits": LOGITS},
        {"bbox_pred": OUTPUTS["bbox_pred"]},
        at("class_logits", None),
        at("class_logits", LOGITS.numpy()),
        at("class_logits", LOGITS.tolist()),
        at("class_logits", LOGITS.long()),
        at("class_logits", LOGITS.bool()),
        at("class_logits", LOGITS[..., :5]),
        at("class_logits", LOGITS[0]),
        at("class_logits", LOGITS[:, :0]),
        at("class_logits", LOGITS[:1]),
        at("class_logits", LOGITS * NAN),
        at("bbox_pred", None),
        at("bbox_pred", BOX.numpy()),
        at("bbox_pred", OUTPUTS["bbox_pred"].long()),
        at("bbox_pred", OUTPUTS["bbox_pred"][..., :3]),
        at("bbox_pred", OUTPUTS["bbox_pred"][:, :11]),
        at("bbox_pred", OUTPUTS["bbox_pred"] * INF),
    ],
    "outputs['aux_outputs']": [at("aux_outputs", one) for one in (None, AUX[0], LOGITS, 3, "aux")],
    "outputs['aux_outputs'][0]": [
        at("aux_outputs", [one, AUX[1]]) for one in (None, [], {}, LOGITS)
    ],
    "outputs['aux_outputs'][1]": [
        aux(class_logits=None),
        aux(class_logits=LOGITS.long()),
        aux(class_logits=LOGITS[..., :4]),
        aux(bbox_pred=AUX[1]["bbox_pred"].detach().numpy()),
        aux(bbox_pred=AUX[1]["bbox_pred"][:, :7]),
        aux(**{key: AUX[1][key][:, :7] for key in ("class_logits", "bbox_pred")}),
        aux(**{key: AUX[1][key][:1] for key in ("class_logits", "bbox_pred")}),
    ],
}
OBJECTS = {
    "targets": [None, 3, "targets", TARGETS[0], TARGETS[:1], [], TARGETS * 2, iter(TARGETS), BOX],
    "targets[0]": [[one, TARGETS[1]] for one in (None, [], LABEL, {}, {"labels": LABEL})],
    "targets[1]": [
        [TARGETS[0], {"boxes": BOX}],
        [TARGETS[0], *make_targets(13)],
        second(labels=None),
        second(labels=[1]),
        second(labels=1),
        second(labels=np.array([1])),
        second(labels=LABEL.int()),
        second(labels=LABEL.float()),
        second(labels=LABEL.bool()),
        second(labels=LABEL[None]),
        second(labels=LABEL[0]),
        second(labels=LABEL + 4),
        second(labels=-LABEL),
        second(boxes=None),
        second(boxes=BOX[:1].tolist()),
        second(boxes=BOX[:1].numpy()),
        second(boxes=BOX[:1].long()),
        second(boxes=BOX),
        second(boxes=BOX[0]),
        second(boxes=BOX[:1, :3]),
        second(boxes=BOX[:0]),
        second(boxes=BOX[:1] * 640),
        second(boxes=BOX[:1] - 1),
        second(boxes=BOX[:1] * NAN),
        second(boxes=BOX[:1] * INF),
    ],
}
BOXES = [None, 0.5, BOX.tolist(), BOX.numpy(), BOX.long(), BOX.bool(), BOX.cfloat(), BOX[:, :3]]
BOXES += [BOX[:, :2], BOX.repeat(1, 2), torch.tensor(0.5), torch.zeros(2, 0)]


def official(**changes):
    """The small model's weights under the official names, some of them changed or left out."""
    own = {name: v for name, v in MODEL.state_dict().items() if "num_batches" not in name}
    state = {official_name(name): v for name, v in own.items()} | changes
    return {name: v for name, v in state.items() if name and v is not None}


WEIGHTS = [None, [], "detr.pth", MODEL, {"model": None}, {"model": [1]}, {}, {"model": {}}]
WEIGHTS += [{"a": 1}, {1: BOX}, {**official(), "extra": BOX}, MODEL.state_dict()]
WEIGHTS += [official(**{"query_embed.weight": value}) for value in (None, BOX, [1], QUERIES.long())]
NO_STEP_8 = [None, "model", nn.Linear(2, 2), small_step(7, backbone=BACKBONE), type(MODEL), {}]
NAMES = list("abcde")


def given(name, values, call, *more):
    """For each value a call with this one, and others after it."""
    return [(name, call, (value, *more)) for value in values]


def by_name(name, values, call, **more):
    """The same with keywords, so that the value has a name."""
    return [(name, lambda value: call(**{name: value}, **more), (value,)) for value in values]


CALLS = [
    call
    for name, values in CONSTRUCTORS.items()
    for call in by_name(name, values, step1 if name in OF_STEP_1 else step)
]
CALLS += by_name("emb_dim", [0, 30, "32", None], PositionEmbedding2D)
CALLS += by_name("temperature", [0, -1, NAN, "20"], partial(PositionEmbedding2D, 32))
CALLS += by_name("in_channels", [None, [256], {2: 0}, {2: "256"}, {2: 2.0}], FPN)
CALLS += by_name("emb_dim", [0, 2.5, None], partial(FPN, {2: 8}))
CALLS += given("images", NO_IMAGES + OTHER_IMAGES, MODEL)
CALLS += given("images", NO_IMAGES, IN_BFLOAT16)
CALLS += [("padding_mask", MODEL, (IMAGES, mask)) for mask in MASKS]
for method in (MODEL.match, MODEL.compute_loss):
    CALLS += [
        one for name, found in PREDICTIONS.items() for one in given(name, found, method, TARGETS)
    ]
    CALLS += [(n, method, (OUTPUTS, targets)) for n, found in OBJECTS.items() for targets in found]
CALLS += given("boxes", BOXES, box_cxcywh_to_xyxy)
for function in (box_iou, generalized_box_iou, giou_loss):
    CALLS += given("boxes1", BOXES, function, BOX)
    CALLS += [("boxes2", function, (BOX, boxes)) for boxes in BOXES]
CALLS += [("boxes2", giou_loss, (torch.rand(2, n, 4), torch.rand(5, 4))) for n in (2, 3, 6)]
CALLS += [("boxes1", function, (BOX[0], BOX)) for function in (box_iou, generalized_box_iou)]
CALLS += given("model", NO_STEP_8, load_official, official())
CALLS += [("state_dict", load_official, (MODEL, weights)) for weights in WEIGHTS]
CALLS += given("model", NO_STEP_8, for_inference)
CALLS += by_name("compile", ["yes", None, 2, "inductor", []], partial(for_inference, MODEL))
CALLS += by_name(
    "dtype", ["bfloat16", torch.float16, torch.int8, 16], partial(for_inference, MODEL)
)
CALLS += given("model", NO_STEP_8, export, "a.onnx")
CALLS += by_name("file", [None, 3, b"a.onnx", ["a.onnx"]], partial(export, MODEL))
CALLS += by_name(
    "classes",
    ["abcde", 5, NAMES[:4], [*NAMES, "f"], [1, 2, 3, 4, 5], [*NAMES[:4], None], set(NAMES), []],
    partial(export, MODEL, "a.onnx"),
)
CALLS += by_name("short_side", [0, -1, 800.0, "800", None, True], partial(export, MODEL, "a.onnx"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the calls are made, and where none of them may write."""
    path = tmp_path_factory.mktemp("bad_calls")
    with contextlib.chdir(path):
        yield path


def test_the_table_is_long():
    assert len(CALLS) >= 175


@pytest.mark.parametrize(
    ("name", "call", "arguments"), CALLS, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(CALLS)]
)
def test_every_bad_call_names_the_argument(name, call, arguments, folder):
    with pytest.raises((TypeError, ValueError), match=rf"^{re.escape(name)}(\[|:)"):
        call(*arguments)
    assert not list(folder.iterdir())


def test_the_same_calls_without_a_mistake_are_accepted():
    step(num_classes=5), step1(), PositionEmbedding2D(32), FPN({2: 8}, 4)
    for_inference(MODEL)
    assert MODEL.compute_loss(MODEL(IMAGES, MASK), second()).isfinite()
    assert MODEL.compute_loss(aux(), TARGETS).isfinite()
    load_official(step(), official())
    for function in (box_iou, generalized_box_iou, giou_loss):
        assert function(BOX, BOX).isfinite().all()


def test_an_argument_that_no_step_has_is_named():
    with pytest.raises(TypeError, match="'num_querys'"):
        step(num_querys=3)
