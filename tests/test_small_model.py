"""The small model: the receptive field of its tokens, and what the dense warm start trains."""

import pytest
import torch
from accelerate import Accelerator

from detr_steps.backbone import stage_channels
from detr_steps.training.batches import collate
from detr_steps.training.scenes import Scenes
from detr_steps.training.sizes import sizes_of
from detr_steps.training.small import BACKBONES, SmallResNet, medium_detr, small_detr
from detr_steps.training.trainer import Settings, Trainer


def test_the_receptive_field_of_a_token_is_what_the_scenes_call_large():
    torch.manual_seed(0)
    model = small_detr(6).eval()
    seen = torch.zeros(128, 128)
    for _ in range(20):
        image = torch.rand(1, 3, 128, 128, requires_grad=True)
        features = model.encode(image)["features"]
        assert list(features.shape[-2:]) == [16, 16]
        features[0, :, 8, 8].sum().backward()
        seen += image.grad[0].abs().sum(0)
    rows, columns = seen.nonzero().T
    for places in (rows, columns):
        assert places.max() - places.min() + 1 == Scenes.large == 67


def test_the_warm_start_trains_everything_but_decoder_and_queries():
    torch.manual_seed(0)
    model, scenes = small_detr(6), Scenes(8)
    before = {name: value.clone() for name, value in model.named_parameters()}
    settings = Settings(steps=0, pretrain_steps=2, batch_size=8)
    Trainer(model, scenes, None, settings, accelerator=Accelerator(cpu=True)).run()
    same = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in same} == {"decoder", "queries", "query_pos"}
    rest = set(before) - same
    assert not any(name.startswith(("decoder", "quer")) for name in rest)


def test_the_warm_start_may_train_the_decoder_with_queries_that_begin_spread_out():
    torch.manual_seed(0)
    model = medium_detr(6, num_queries=40)
    before = {name: value.clone() for name, value in model.named_parameters()}
    settings = Settings(steps=0, pretrain_steps=2, batch_size=4, warm_decoder=True)
    Trainer(model, Scenes(4), None, settings, accelerator=Accelerator(cpu=True)).run()
    same = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert same == {"queries"}
    cells = model.position_embedding(torch.zeros(1, 1, 100, 100))[0].flatten(1).T
    distance, nearest = torch.cdist(model.query_pos.detach(), cells).min(1)
    assert distance.max() < 0.01
    places = torch.stack((nearest // 100, nearest % 100), -1).float()
    alone = torch.cdist(places, places) + 1000 * torch.eye(40)
    assert alone.min() > 2  # no two queries on one place
    for half in places.unbind(-1):
        assert 15 <= (half < 50).sum() <= 25


def centre_cell(target):
    """The cell of a map of 16x16 that the centre of the first object lies in."""
    x, y = (target["boxes"][0, :2] * 16).long().tolist()
    return 16 * y + x


def test_the_dense_loss_is_zero_where_every_cell_is_right():
    model, scenes = small_detr(6), Scenes(2)
    images, _, targets = collate([scenes[i] for i in range(2)])
    trainer = Trainer(model, scenes, None, Settings(), accelerator=Accelerator(cpu=True))

    def oracle(images, mask):
        """Every cell answers with the object of the smallest box over its centre."""
        logits, boxes = torch.zeros(2, 256, 7), torch.full((2, 256, 4), 0.5)
        logits[..., 6] = 50.0
        centre = (torch.arange(16) + 0.5) / 16
        for i, target in enumerate(targets):
            for row in range(16):
                for column in range(16):
                    place = torch.stack((centre[column], centre[row]))
                    inside = (target["boxes"][:, :2] - place).abs() <= target["boxes"][:, 2:] / 2
                    over = inside.all(1).nonzero().flatten()
                    if len(over):
                        j = over[target["boxes"][over, 2:].prod(1).argmin()]
                        cell = row * 16 + column
                        logits[i, cell] = 50.0 * torch.eye(7)[target["labels"][j]]
                        boxes[i, cell] = target["boxes"][j]
        features = torch.zeros(2, 64, 16, 16)
        return {"class_logits": logits, "bbox_pred": boxes, "features": features}

    def asked(images, mask):
        """The same for the first cell, the last one, and one of each image's first object."""
        every = oracle(images, mask)
        cells = torch.stack([torch.tensor([0, 255, cell]) for cell in map(centre_cell, targets)])
        heads = ("class_logits", "bbox_pred")
        decoded = {name: every[name].take_along_dim(cells[..., None], 1) for name in heads}
        last = {name: value.clone() for name, value in decoded.items()}
        return {**every, "cells": cells, "decoded": {**last, "aux_outputs": [decoded]}}

    assert trainer.dense_loss(oracle, images, None, targets) < 1e-5
    assert trainer.dense_loss(asked, images, None, targets) < 1e-5
    wrong = [{**target, "labels": (target["labels"] + 1) % 6} for target in targets]
    once, thrice = (float(trainer.dense_loss(one, images, None, wrong)) for one in (oracle, asked))
    assert once > 10 and thrice > once + 20  # both layers of the decoder are counted


@pytest.mark.parametrize(
    ("make", "widths", "stride", "millions"),
    [(small_detr, (16, 32, 64, 128), 8, 0.4), (medium_detr, (24, 48, 96, 128), 16, 0.8)],
)
def test_a_small_model_has_the_sizes_that_it_says(make, widths, stride, millions):
    model = make(6)
    backbone = model.backbone
    assert tuple(stage_channels(backbone, level) for level in (2, 3, 4, 5)) == widths
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == millions
    assert model.encode(torch.zeros(1, 3, 160, 160))["features"].shape[-1] == 160 // stride
    kernels = [backbone.get_submodule(f"layer{i}.0.conv2").kernel_size for i in range(1, 5)]
    assert kernels == [(3, 3), (3, 3), (1, 1), (1, 1)]
    assert [SmallResNet(widths).get_submodule(f"layer{i}.0").stride for i in (1, 2, 3, 4)] == [
        *(1, 2, 1, 1)
    ]


@pytest.mark.parametrize(
    ("make", "sizes"), [(small_detr, (64, 3, 128, 20)), (medium_detr, (96, 2, 256, 20))]
)
def test_a_small_transformer_has_the_sizes_that_it_says(make, sizes):
    found = sizes_of(make(6))
    assert tuple(found[k] for k in ("emb_dim", "enc_layers", "dim_feedforward", "temperature")) == (
        sizes
    )
    assert (found["nhead"], found["dec_layers"], found["num_queries"]) == (4, 3, 16)


def test_convolutions_begin_as_he_et_al_have_it():
    """https://arxiv.org/abs/1502.01852: a variance of 2 over the numbers that a weight leads to."""
    torch.manual_seed(0)
    backbone = SmallResNet((16, 32, 64, 128))
    for convolution in (backbone.conv1, backbone.layer2[0].conv2, backbone.layer4[0].conv2):
        fan_out = convolution.out_channels * convolution.weight[0, 0].numel()
        assert convolution.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)


def test_the_backbones_are_those_that_were_measured():
    assert BACKBONES == {
        "small": {"widths": (16, 32, 64, 128), "strides": (1, 2, 1, 1)},
        "medium": {"widths": (24, 48, 96, 128), "strides": (1, 2, 2, 1)},
    }
