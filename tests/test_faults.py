"""The faults that learners make: for each a check, and a fault that the check rejects."""

import warnings

import pytest
import torch
import torchvision
from conftest import DeviceReads, make_targets, on_host, small_resnet, small_step
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import detr_steps
from detr_steps import (
    PositionEmbedding2D,
    Step0,
    Step1,
    Step4,
    Step5,
    Step6,
    Step8,
    TransformerDecoderWithIntermediates,
    box_iou,
    generalized_box_iou,
)
from detr_steps import step7_hungarian_matching as step7
from detr_steps.step4_encoder import TransformerEncoderLayer
from detr_steps.step5_decoder import TransformerDecoder, TransformerDecoderLayer


class AllLevels(Step1):
    levels = (2, 3, 4, 5)

    def forward(self, images):
        return Step0.forward(self, images)[-1]


class FixedWidth(Step1):
    def __init__(self, emb_dim=256, **kwargs):
        super().__init__(**kwargs)
        self.emb_dim = emb_dim


class ExponentTo2(nn.Module):
    def forward(self, features):
        period = 10000 ** (2 * torch.arange(0, 128, 2) / 128)
        y, x = (torch.arange(float(n))[:, None] / period for n in features.shape[-2:])
        y, x = (torch.cat((angle.sin(), angle.cos()), 1) for angle in (y, x))
        y, x = y[:, None].expand(-1, len(x), -1), x[None].expand(len(y), -1, -1)
        return torch.cat((y, x), -1).permute(2, 0, 1)[None]


class EncoderLayerWithPositionsInTheValues(TransformerEncoderLayer):
    def forward(self, tokens, positions, padding=None):
        return super().forward(tokens + positions, torch.zeros_like(positions), padding)


class DecoderLayerWithPositionsInTheValues(TransformerDecoderLayer):
    def forward(self, hidden, query_pos, mem, mem_pos, padding=None):
        hidden, mem = hidden + query_pos, mem + mem_pos
        nowhere = torch.zeros_like(query_pos), mem, torch.zeros_like(mem_pos)
        return super().forward(hidden, *nowhere, padding)


class PositionsAddedOnce(Step4):
    def encode(self, images, padding_mask=None):
        context = super(Step4, self).encode(images, padding_mask)
        mem, mem_pos = (context[key].flatten(2).transpose(1, 2) for key in ("features", "pos_emb"))
        mem = mem + mem_pos
        for layer in self.encoder:
            mem = layer(mem, torch.zeros_like(mem_pos))
        return {**context, "mem": mem, "mem_pos": mem_pos}


class PositionsAddedToTheMemoryAgain(Step5):
    def decode(self, context):
        return super().decode({**context, "mem": context["mem"] + context["mem_pos"]})


class NormOnlyForTheLast(TransformerDecoderWithIntermediates):
    def collect(self, states):
        return torch.stack([*states[:-1], self.norm(states[-1])])


class DecoderBuiltTwice(Step6):
    decoder_class = TransformerDecoder

    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(dec_layers=dec_layers, **kwargs)
        self.decoder = TransformerDecoderWithIntermediates(dec_layers, *self.layer_args)


class OneByOne(Step8):
    def match_layers(self, layers, targets):
        return [
            [
                Step8.match_layers(self, [{k: v[[i]] for k, v in layer.items()}], [target])[0][0]
                for i, target in enumerate(targets)
            ]
            for layer in layers
        ]


def two_iou_minus_one(boxes1, boxes2):
    return 2 * box_iou(boxes1, boxes2) - 1


def every_parameter_of_step1_learns(step1):
    model = step1(backbone=small_resnet(), emb_dim=16)
    model(torch.rand(2, 3, 64, 64)).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def step1_computes_p5_alone(step1):
    with torch.device("meta"):
        model, image = step1().eval().requires_grad_(False), torch.rand(1, 3, 640, 640)
    with FlopCounterMode(display=False) as counter:
        model(image)
    assert counter.get_total_flops() / 2e9 < 34


def the_map_is_as_wide_as_asked_for(step1):
    assert step1(backbone=small_resnet(), emb_dim=128)(torch.rand(1, 3, 64, 64)).shape[1] == 128


def construction_is_silent(make):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(pretrained=False)
    assert caught == []


def few_channels_are_flat(embedding):
    row = embedding(torch.zeros(1, 1, 20, 20))[0, 128:, 0]
    assert (row.std(1) < 1e-3).sum() == 44  # as many as in the official embedding


def places_do_not_reach_the_values_of_the_encoder(layer_class):
    torch.manual_seed(0)
    layer = layer_class(32, 4, 48).eval()
    with torch.no_grad():
        layer.self_attn.in_proj_weight[:64] = 0  # blind: all tokens are listened to equally
    mem, pos = torch.randn(2, 10, 32), torch.randn(2, 10, 32)
    assert torch.allclose(layer(mem, pos), layer(mem, pos.flip(1)), atol=1e-5)


def places_do_not_reach_the_values_of_the_decoder(layer_class):
    torch.manual_seed(0)
    layer = layer_class(32, 4, 48).eval()
    with torch.no_grad():
        for attention in (layer.self_attn, layer.multihead_attn):
            attention.in_proj_weight[:64] = 0
    hidden, query_pos = torch.randn(2, 7, 32), torch.randn(7, 32)
    mem, pos = torch.randn(2, 10, 32), torch.randn(2, 10, 32)
    elsewhere = layer(hidden, query_pos.flip(0), mem, pos.flip(1))
    assert torch.allclose(layer(hidden, query_pos, mem, pos), elsewhere, atol=1e-5)


def every_attention_layer_gets_the_positions_and_only_on_keys(step5):
    """Keys minus values are the memory's positions, in encoder and cross-attention."""
    model, seen = step5(**sizes()), []

    def record(module, args, kwargs):
        _, key = args
        seen.append(key - kwargs["value"])

    memory_readers = [layer.self_attn for layer in model.encoder]
    memory_readers += [
        layer.multihead_attn for layer in getattr(model, "decoder", nn.Module()).layers
    ]
    for module in memory_readers:
        module.register_forward_pre_hook(record, with_kwargs=True)
    out = model.eval()(torch.rand(1, 3, 64, 96))
    assert len(seen) == len(memory_readers)
    for positions in seen:
        assert torch.allclose(positions, out["mem_pos"], atol=1e-5)


def the_memory_is_read_as_the_encoder_left_it(step5):
    model, seen = step5(**sizes()), []
    for layer in model.decoder.layers:
        layer.multihead_attn.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append(kwargs["value"]), with_kwargs=True
        )
    out = model.eval()(torch.rand(1, 3, 64, 96))
    assert seen and all(torch.equal(values, out["mem"]) for values in seen)


def every_state_goes_through_the_final_norm(decoder_class):
    torch.manual_seed(0)
    decoder = decoder_class(3, 32, nhead=4).eval()
    with torch.no_grad():
        decoder.norm.weight.fill_(3.0)
    states = decoder(
        *(torch.randn(shape) for shape in ((1, 5, 32), (5, 32), (1, 9, 32), (1, 9, 32)))
    )
    assert torch.allclose(states.std(-1, correction=0), torch.tensor(3.0), atol=1e-2)


def one_decoder_is_built(step6):
    built, original = [], TransformerDecoderLayer.__init__

    def counted(self, *args, **kwargs):
        built.append(self)
        original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransformerDecoderLayer, "__init__", counted)
        step6(backbone=small_resnet(), emb_dim=16, nhead=2, enc_layers=0, dec_layers=2)
    assert len(built) == 2


def far_boxes_are_told_apart_and_told_to_move(giou):
    still = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    for distance, value in ((1.5, -0.2), (3.0, -0.5), (10.0, -0.818)):
        moved = (still + torch.tensor([1.0, 0.0, 1.0, 0.0]) * distance).requires_grad_()
        found = giou(still, moved)
        found.sum().backward()
        assert abs(found.item() - value) < 1e-3
        assert moved.grad.abs().sum() > 0


def one_host_copy_a_step(step8):
    model = step8(backbone=small_resnet(), emb_dim=16, nhead=2, enc_layers=1, dec_layers=3)
    outputs = model(torch.rand(2, 3, 64, 64))
    with DeviceReads() as reads:
        model.compute_loss(outputs, on_host(make_targets(3, 2)))
    assert reads.calls == ["cpu"]


def objects_are_not_drowned(no_object_weight):
    model = small_step(8, num_classes=80, num_queries=100, no_object_weight=no_object_weight)
    logits = torch.zeros(1, 100, 81, requires_grad=True)
    outputs = {"class_logits": logits, "bbox_pred": torch.rand(1, 100, 4)}
    targets = make_targets(3)
    model.compute_loss(outputs, targets).backward()
    push = logits.grad[0].abs().sum(-1)
    ((query, _),) = model.match(outputs, targets)
    assert push[query].sum() / push.sum() > 0.2


def the_loss_can_be_checked(make_loss):
    assert make_loss() == make_loss()


def seeded_loss(seed=0):
    if seed is not None:
        torch.manual_seed(seed)
    model = Step8(backbone=small_resnet(), emb_dim=16, nhead=2, enc_layers=1, dec_layers=1)
    return model.compute_loss(model(torch.rand(2, 3, 64, 64)), make_targets(2, 1)).item()


def bad_targets_are_refused(step8):
    model = step8(num_classes=5, **sizes())
    outputs = model.eval()(torch.rand(2, 3, 64, 64))
    for change in (
        {"labels": [5]},
        {"boxes": [[320.0, 240, 100, 80]]},
        {"boxes": [[torch.nan] * 4]},
    ):
        targets = make_targets(1, 1)
        targets[1] |= {key: torch.tensor(value) for key, value in change.items()}
        try:
            model.compute_loss(outputs, targets)
        except ValueError as error:
            assert "targets[1]" in str(error), f"not named: {error}"
        else:
            raise AssertionError(f"accepted in silence: {change}")


class Unchecked(Step8):
    def match_layers(self, *args):
        with pytest.MonkeyPatch.context() as patch:
            for name in ("check_targets", "check_costs"):
                patch.setattr(step7, name, lambda *_: None)
            return super().match_layers(*args)


def sizes():
    small = {"emb_dim": 16, "nhead": 2, "enc_layers": 2, "dec_layers": 2}
    return {"backbone": small_resnet(), **small}


FAULTS = {
    "all levels kept: no gradient": (every_parameter_of_step1_learns, Step1, AllLevels),
    "all levels kept: cost": (step1_computes_p5_alone, Step1, AllLevels),
    "width fixed at 256": (the_map_is_as_wide_as_asked_for, Step1, FixedWidth),
    "deprecated pretrained=": (construction_is_silent, Step0, torchvision.models.resnet50),
    "exponent to 2": (few_channels_are_flat, PositionEmbedding2D(256), ExponentTo2()),
    "encoder positions in the values": (
        places_do_not_reach_the_values_of_the_encoder,
        TransformerEncoderLayer,
        EncoderLayerWithPositionsInTheValues,
    ),
    "decoder positions in the values": (
        places_do_not_reach_the_values_of_the_decoder,
        TransformerDecoderLayer,
        DecoderLayerWithPositionsInTheValues,
    ),
    "positions added once": (
        every_attention_layer_gets_the_positions_and_only_on_keys,
        Step5,
        type("AddedOnce", (Step5, PositionsAddedOnce), {}),
    ),
    "positions added to the memory again": (
        the_memory_is_read_as_the_encoder_left_it,
        Step5,
        PositionsAddedToTheMemoryAgain,
    ),
    "no final norm": (
        every_state_goes_through_the_final_norm,
        TransformerDecoderWithIntermediates,
        NormOnlyForTheLast,
    ),
    "decoder built twice": (one_decoder_is_built, Step6, DecoderBuiltTwice),
    "GIoU = 2 IoU - 1": (
        far_boxes_are_told_apart_and_told_to_move,
        generalized_box_iou,
        two_iou_minus_one,
    ),
    "a copy for each image and layer": (one_host_copy_a_step, Step8, OneByOne),
    "no weight on no object": (objects_are_not_drowned, 0.1, 1.0),
    "unseeded loss": (the_loss_can_be_checked, seeded_loss, lambda: seeded_loss(None)),
    "bad targets accepted": (
        bad_targets_are_refused,
        Step8,
        Unchecked,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_passes_what_is_right(fault):
    check, right, _ = FAULTS[fault]
    check(right)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_rejects_the_fault(fault):
    check, _, wrong = FAULTS[fault]
    with pytest.raises(AssertionError):
        check(wrong)


def test_an_emb_dim_other_than_256_reaches_the_last_step():
    model = detr_steps.Step8(emb_dim=128, backbone=small_resnet(), enc_layers=1, dec_layers=1)
    assert model(torch.rand(1, 3, 64, 64))["mem"].shape[-1] == 128
