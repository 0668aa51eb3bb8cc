"""Steps 3 to 6: positions, padding, and where positions go."""

import math

import pytest
import torch
from conftest import small_step
from torch import nn
from transformers.models.detr.modeling_detr import DetrSinePositionEmbedding

from detr_steps import PositionEmbedding2D, TransformerDecoderWithIntermediates
from detr_steps.step4_encoder import TransformerEncoderLayer
from detr_steps.step5_decoder import TransformerDecoder, TransformerDecoderLayer


@pytest.mark.parametrize("padded", [False, True])
def test_positions_are_those_of_transformers(padded):
    features = torch.zeros(2, 1, 7, 9, dtype=torch.float64)
    mask = torch.zeros(2, 7, 9, dtype=torch.bool)
    if padded:
        mask[0, 5:], mask[1, :, 4:] = True, True
    theirs = DetrSinePositionEmbedding(32, normalize=True)
    expected = theirs(features.shape, features.device, features.dtype, ~mask)
    ours = PositionEmbedding2D(64)(features, mask if padded else None)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


def test_positions_by_the_formula():
    ours = PositionEmbedding2D(16)(torch.zeros(1, 1, 3, 5))[0]
    for row in range(3):
        for column in range(5):
            places = 2 * math.pi * (row + 1) / 3, 2 * math.pi * (column + 1) / 5
            for half, place in enumerate(places):
                for k in range(8):
                    angle = place / 10000 ** (2 * (k // 2) / 8)
                    expected = math.cos(angle) if k % 2 else math.sin(angle)
                    assert abs(ours[8 * half + k, row, column].item() - expected) < 1e-5


def test_an_image_has_the_same_positions_alone_and_padded():
    embedding = PositionEmbedding2D(32)
    mask = torch.ones(1, 9, 9, dtype=torch.bool)
    mask[:, :4, :6] = False
    padded = embedding(torch.zeros(1, 1, 9, 9), mask)
    torch.testing.assert_close(padded[..., :4, :6], embedding(torch.zeros(1, 1, 4, 6)))


def test_what_stands_in_the_padding_does_not_matter_to_attention():
    model = small_step(8).eval()
    context = model.encode(torch.rand(1, 3, 96, 128))
    padding = torch.zeros(1, 12, dtype=torch.bool)
    padding[:, 9:] = True
    changed = context["mem"].clone()
    changed[:, 9:] = 100.0
    layer = model.encoder[0]
    before, after = (layer(mem, context["mem_pos"], padding) for mem in (context["mem"], changed))
    torch.testing.assert_close(before[:, :9], after[:, :9])
    states = [
        model.decoder(model.queries[None], model.query_pos, mem, context["mem_pos"], padding)
        for mem in (context["mem"], changed)
    ]
    torch.testing.assert_close(*states)


def test_an_empty_mask_is_no_mask(images):
    model = small_step(8).eval()
    mask = torch.zeros(2, 97, 130, dtype=torch.bool)
    torch.testing.assert_close(model(images, mask)["bbox_pred"], model(images)["bbox_pred"])


def test_the_mask_is_resized_to_the_map(images):
    mask = torch.zeros(2, 97, 130, dtype=torch.bool)
    mask[0, 50:] = True
    out = small_step(3).eval()(images, mask)
    assert out["padding_mask"][0].any(1).tolist() == [False, False, False, True]
    assert not out["padding_mask"][1].any()


def test_layers_without_positions_are_pytorchs():
    encoder = TransformerEncoderLayer(32, 4, 48).eval()
    decoder = TransformerDecoderLayer(32, 4, 48).eval()
    encoder_twin = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True).eval()
    decoder_twin = nn.TransformerDecoderLayer(32, 4, 48, batch_first=True).eval()
    encoder_twin.load_state_dict(encoder.state_dict())
    decoder_twin.load_state_dict(decoder.state_dict())
    mem, hidden = torch.randn(2, 10, 32), torch.randn(2, 7, 32)
    nowhere = torch.zeros(2, 10, 32)
    torch.testing.assert_close(encoder(mem, nowhere), encoder_twin(mem), atol=1e-5, rtol=0)
    expected = decoder_twin(hidden, mem)
    ours = decoder(hidden, torch.zeros(7, 32), mem, nowhere)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_collecting_all_states_norms_each():
    last, every = (
        TransformerDecoder(3, 8, nhead=2),
        TransformerDecoderWithIntermediates(3, 8, nhead=2),
    )
    with torch.no_grad():
        every.norm.weight.fill_(3.0)
    last.load_state_dict(every.state_dict())
    states = [torch.randn(1, 2, 8) for _ in range(3)]
    collected = every.collect(states)
    assert list(collected.shape) == [3, 1, 2, 8]
    for state, layer in zip(states, collected, strict=True):
        torch.testing.assert_close(layer, last.collect([state]))
