"""The table of arguments and their ranges: constructors, docstrings and table say the same."""

import inspect
import math
import re
from copy import deepcopy

import numpy as np
import pytest
import torch
from conftest import make_targets, small_resnet, small_step

import detr_steps
from detr_steps import FPN, PositionEmbedding2D, ResNetFPN
from detr_steps.arguments import RANGES, SWITCH, check_arguments
from detr_steps.backbone import build_backbone
from detr_steps.inference import export

STEPS = [getattr(detr_steps, f"Step{number}") for number in range(9)]
BY_KEYWORD = [*STEPS, ResNetFPN, build_backbone]
DOCUMENTED = [*BY_KEYWORD, FPN, PositionEmbedding2D, export]
BACKBONE = small_resnet()  # one for all models here: to build it takes longest
WITHOUT_RANGE = {"backbone", "norm_layer", "kwargs", "backbone_args"}


def described(thing):
    """What a docstring says of each argument, on one line."""
    args = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", inspect.getdoc(thing) + "\n", re.M | re.S)
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \S|\Z)", args[1] if args else "", re.M | re.S)
    return {name: " ".join(text.split()) for name, text in entries}


@pytest.mark.parametrize("thing", DOCUMENTED, ids=lambda thing: thing.__name__)
def test_docstrings_say_the_ranges_of_the_table(thing):
    own = vars(thing).get("__init__") if inspect.isclass(thing) else thing
    said = described(thing)
    for name in inspect.signature(own).parameters if own else ():
        if name in RANGES:
            assert RANGES[name].text in said[name], name


def test_every_argument_of_a_step_stands_in_the_table_and_every_row_is_an_argument():
    taken = {name for thing in BY_KEYWORD for name in inspect.signature(thing).parameters}
    assert taken - WITHOUT_RANGE == set(RANGES)


@pytest.mark.parametrize("thing", BY_KEYWORD, ids=lambda thing: thing.__name__)
def test_no_argument_is_taken_by_its_position(thing):
    with pytest.raises(TypeError, match="positional argument"):
        thing(5)


def next_to(number, towards, whole):
    if whole:
        return number + (1 if towards > number else -1)
    return math.nextafter(number, towards)


def just_outside(row):
    """Values beside the range, and values of another type."""
    found = [None, "1", [1], 1j, math.nan, math.inf, -math.inf, torch.tensor(1), np.int64(1)]
    if row is SWITCH:
        return [*found, 0, 1, "True"]
    whole = row.kinds == (int,)
    found += [True, False, next_to(row.low, -math.inf, whole)]
    found += [] if row.high == math.inf else [next_to(row.high, math.inf, whole)]
    found += [] if row.left_out is None else [row.left_out]
    return found + ([float(row.low), 2.5] if whole else [])


def just_inside(row):
    """The ends of the range, and values beside an end that is left out."""
    if row is SWITCH:
        return [False, True]
    whole = row.kinds == (int,)
    ends = [row.low, next_to(row.low, math.inf, whole)]
    ends += [] if row.high == math.inf else [row.high, next_to(row.high, -math.inf, whole)]
    return [end for end in ends if end != row.left_out]


def build(name, value):
    """What takes the argument, in a small size."""
    if RANGES[name] is SWITCH and value in (True, False):
        check_arguments(**{name: value})  # its callers write a file, or load weights
    elif name == "emb_dim":
        small_step(1, backbone=BACKBONE, emb_dim=value)  # later on, a multiple of 4, too
    else:
        backbone = deepcopy(BACKBONE) if name == "trainable_layers" else BACKBONE
        small_step(8, backbone=backbone, **{name: value})


@pytest.mark.parametrize("name", RANGES)
def test_values_just_outside_of_the_range_are_refused_by_name(name):
    for value in just_outside(RANGES[name]):
        with pytest.raises(ValueError) as raised:
            build(name, value)
        expected = f"{name}: expected {RANGES[name].text}, found "
        assert str(raised.value).startswith(expected), value
        assert len(str(raised.value)) > len(expected)


@pytest.mark.parametrize("name", RANGES)
def test_values_just_inside_of_the_range_are_accepted(name):
    for value in just_inside(RANGES[name]):
        build(name, value)


def test_what_was_found_is_said_in_short():
    with pytest.raises(ValueError, match=r"found '32'$"):
        small_step(1, backbone=BACKBONE, emb_dim="32")
    with pytest.raises(ValueError, match="found tensor") as raised:
        small_step(2, backbone=BACKBONE, num_queries=torch.rand(100, 100))
    assert len(str(raised.value)) < 120


@pytest.mark.parametrize("temperature", just_inside(RANGES["temperature"]))
def test_every_temperature_of_the_range_gives_finite_positions(temperature):
    assert PositionEmbedding2D(256, temperature)(torch.zeros(1, 1, 5, 9)).isfinite().all()


@pytest.mark.parametrize("weight", [*just_inside(RANGES["no_object_weight"])[:2], 0.1, 1, 50])
def test_every_weight_of_no_object_gives_a_finite_loss_without_objects(weight, images):
    model = small_step(8, backbone=BACKBONE, no_object_weight=weight).eval()
    assert model.compute_loss(model(images), make_targets(0, 0)).isfinite()


@pytest.mark.parametrize("name", ["dropout", *(n for n in RANGES if n.startswith(("cost", "w_")))])
def test_a_model_at_the_lower_end_of_a_range_learns(name, images):
    model = small_step(8, backbone=BACKBONE, **{name: 0})
    loss = model.compute_loss(model(images), make_targets(2, 1))
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in model.parameters())


def test_a_dropout_just_below_1_gives_finite_outputs(images):
    outputs = small_step(8, backbone=BACKBONE, dropout=math.nextafter(1, 0))(images)
    assert outputs["class_logits"].isfinite().all() and outputs["bbox_pred"].isfinite().all()


def test_nothing_is_loaded_before_the_arguments_are_checked(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("weights were asked for")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(ValueError, match=r"^trainable_layers"):
        build_backbone(pretrained=True, trainable_layers=6)
    with pytest.raises(ValueError, match=r"^backbone: expected one of .*resnet50, .*'resnet999'"):
        build_backbone(pretrained=True, backbone="resnet999")


def test_a_ready_backbone_is_taken_with_what_it_leaves_open():
    assert build_backbone(backbone=BACKBONE, trainable_layers=3).conv1.weight.dim() == 4
