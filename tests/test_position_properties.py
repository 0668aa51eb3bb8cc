"""Position embeddings: the formula, and what they do and do not depend on."""

import math

import pytest
import torch
from conftest import small_step, times
from hypothesis import assume, given
from hypothesis import strategies as st

from detr_steps import PositionEmbedding2D

SIDE = st.integers(1, 7)
QUARTER = st.integers(1, 4)  # emb_dim / 4
TEMPERATURE = st.sampled_from([1.0, 20.0, 10000.0])


@st.composite
def masks(draw):
    """Any mask [B, H, W]."""
    shape = draw(st.integers(1, 2)), draw(SIDE), draw(SIDE)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    return torch.rand(shape, generator=generator) < draw(st.sampled_from([0.0, 0.3, 0.8]))


def plain_embedding(mask, emb_dim: int, temperature: float) -> torch.Tensor:
    """The embedding [B, D, H, W], cell by cell and channel by channel."""
    batch, height, width = mask.shape
    result = torch.zeros(batch, emb_dim, height, width, dtype=torch.float64)
    inside = (~mask).tolist()
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                column = [inside[b][k][j] for k in range(height)]
                row = inside[b][i]
                for half, (line, place) in enumerate(((column, i), (row, j))):
                    turn = 2 * math.pi * sum(line[: place + 1]) / (sum(line) + 1e-6)
                    for k in range(emb_dim // 2):
                        angle = turn / temperature ** (2 * (k // 2) / (emb_dim // 2))
                        value = math.cos(angle) if k % 2 else math.sin(angle)
                        result[b, half * emb_dim // 2 + k, i, j] = value
    return result


@times(1)
@given(masks(), QUARTER, TEMPERATURE)
def test_every_cell_has_the_formula_whatever_the_mask(mask, quarter, temperature):
    expected = plain_embedding(mask, 4 * quarter, temperature)
    embedding = PositionEmbedding2D(4 * quarter, temperature)
    for dtype, allowed in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        found = embedding(torch.zeros(mask.shape, dtype=dtype)[:, None], mask)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=allowed)
    assert found.abs().max() <= 1


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_rounds_the_result_alone(half):
    """Counts, angles and waves are float32: a map of 300 cells has numbers that bfloat16 lacks."""

    @times(1)
    @given(masks(), QUARTER, TEMPERATURE)
    def holds(mask, quarter, temperature):
        mask = mask.repeat(1, 1, 300 // mask.shape[2] + 1)
        embedding = PositionEmbedding2D(4 * quarter, temperature)
        exact, found = (
            embedding(torch.zeros(mask.shape, dtype=dtype)[:, None], mask)
            for dtype in (torch.float32, half)
        )
        assert found.dtype == half and torch.equal(found, exact.to(half))

    holds()


@times(1)
@given(SIDE, SIDE, QUARTER, TEMPERATURE)
def test_one_half_of_the_channels_is_of_y_and_the_other_of_x(height, width, quarter, temperature):
    found = PositionEmbedding2D(4 * quarter, temperature)(torch.zeros(1, 1, height, width))[0]
    y, x = found.chunk(2)
    assert torch.equal(y, y[:, :, :1].expand_as(y)) and torch.equal(x, x[:, :1].expand_as(x))
    other = PositionEmbedding2D(4 * quarter, temperature)(torch.zeros(1, 1, width, height))[0]
    assert torch.equal(other, torch.cat((x, y)).transpose(1, 2))  # x and y are treated alike
    for half, axis in ((y, 1), (x, 2)):  # no two rows are the same, nor two columns
        places = half.movedim(axis, 0).flatten(1)
        assert len(places.unique(dim=0)) == len(places)


@times(1)
@given(masks(), QUARTER, st.integers(1, 5))
def test_only_the_size_of_the_features_counts(mask, quarter, channels):
    embedding = PositionEmbedding2D(4 * quarter)
    batch, height, width = mask.shape
    empty = embedding(torch.zeros(batch, 1, height, width), mask)
    noise = torch.randn(batch, channels, height, width, requires_grad=True)
    found = embedding(noise, mask)
    assert torch.equal(found, empty) and not found.requires_grad
    clear = torch.zeros_like(mask)
    assert torch.equal(embedding(noise, clear), embedding(noise))


@times(1)
@given(SIDE, SIDE, *[st.integers(0, 5)] * 4, QUARTER)
def test_padding_on_any_side_leaves_the_image_its_positions(
    height, width, top, bottom, left, right, quarter
):
    assume(top + bottom + left + right > 0)
    embedding = PositionEmbedding2D(4 * quarter)
    alone = embedding(torch.zeros(1, 1, height, width))
    mask = torch.ones(1, top + height + bottom, left + width + right, dtype=torch.bool)
    inside = ..., slice(top, top + height), slice(left, left + width)
    mask[inside] = False
    found = embedding(torch.zeros(1, 1, *mask.shape[1:]), mask)
    assert torch.equal(found[inside], alone)


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_a_model_has_the_temperature_that_it_is_given(temperature, images):
    mask = torch.zeros(2, 97, 130, dtype=torch.bool)
    mask[1, 40:] = True
    context = small_step(3, temperature=temperature).encode(images, mask)
    embedding = PositionEmbedding2D(32, temperature)
    expected = embedding(context["features"], context["padding_mask"])
    assert torch.equal(context["pos_emb"], expected)
    assert not torch.equal(expected, PositionEmbedding2D(32)(context["features"]))
