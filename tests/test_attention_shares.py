"""Measures of attention: which cells an object has, and how much of the weight falls on them."""

import pytest
import torch

from detr_steps.notebook.attention import (
    cells_of,
    cells_within,
    extremes_of,
    own_shares,
    owners_of,
    recorded_attention,
)
from detr_steps.training.small import small_detr

EVERYWHERE = torch.ones(6, 6, dtype=torch.bool)


def frame(top, bottom, left, right, side=32):
    """The outline of a rectangle, its ends included: bool [side, side]."""
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[top : bottom + 1, left : right + 1] = True
    mask[top + 1 : bottom, left + 1 : right] = False
    return mask


def test_a_cell_belongs_to_the_only_outline_that_runs_through_it():
    cells = cells_of(torch.stack([frame(0, 15, 0, 15), frame(12, 31, 12, 31)]), 8)
    first, second = cells.view(2, 4, 4).int().tolist()
    assert first == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert second == [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 0, 1], [0, 1, 1, 1]]
    owners = owners_of(cells).view(4, 4).tolist()
    assert owners == [[0, 0, -1, -1], [0, -1, 1, 1], [-1, 1, -1, 1], [-1, 1, 1, 1]]


def test_even_attention_gives_each_object_the_share_of_its_cells():
    owners = torch.tensor([0, 0, 0, 1, 1, -1])
    measured, expected = own_shares(torch.full((2, 6, 6), 1 / 6), owners, EVERYWHERE)
    assert expected.tolist() == pytest.approx([0.5, 0.5, 0.5, 0.25, 0.25])
    assert torch.allclose(measured, expected.expand(2, -1))


def test_attention_to_its_own_object_alone_is_a_share_of_one():
    owners = torch.tensor([0, -1, 0, 1, 1])
    weights = (owners[:, None] == owners).float()[None]
    weights[0, :, 1] = 5.0  # the ground is left out
    weights[0].fill_diagonal_(7.0)  # and so is the cell itself
    measured, expected = own_shares(weights, owners, EVERYWHERE[:5, :5])
    assert measured.tolist() == [[1.0] * 4]
    assert expected.tolist() == pytest.approx([1 / 3] * 4)


def test_of_near_cells_alone_those_count_that_have_both_kinds_of_keys():
    owners = torch.tensor([0, 0, 1, 1, 1, 2])  # a map of one row
    near = cells_within(1, 1, 6)
    assert near[2].tolist() == [False, True, True, True, False, False]
    weights = torch.arange(1.0, 7.0).expand(1, 6, 6)
    measured, expected = own_shares(weights, owners, near)
    assert expected.tolist() == [0.5] * 3  # cells 1, 2 and 4
    assert measured[0].tolist() == pytest.approx([1 / 4, 4 / 6, 4 / 10])


def test_near_is_counted_in_rows_and_in_columns():
    near = cells_within(1, 3, 4).view(3, 4, 3, 4).int()
    assert near[0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert near[1, 2].tolist() == [[0, 1, 1, 1]] * 3
    assert near[2, 3].tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_extremes_are_the_cells_in_the_outermost_rows_and_columns():
    cells = torch.tensor(
        [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [1, 0, 1, 0, 1], [0, 1, 1, 1, 0]], dtype=torch.bool
    )
    wanted = [[0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1], [0, 1, 1, 1, 0]]
    assert extremes_of(cells.flatten()[None], 5).shape == (1, 20)
    assert extremes_of(cells.flatten()[None], 5).view(4, 5).int().tolist() == wanted
    cross = torch.zeros(5, 5, dtype=torch.bool)
    cross[2], cross[:, 2] = True, True
    ends = extremes_of(cross.flatten()[None], 5)[0].view(5, 5).nonzero().tolist()
    assert ends == [[0, 2], [2, 0], [2, 4], [4, 2]]


def test_heads_are_recorded_apart_or_averaged():
    model = small_detr(6).eval()
    attention = model.encoder[0].self_attn
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        with recorded_attention(attention) as averaged:
            model(image)
        with recorded_attention(attention, average=False) as apart:
            model(image)
    assert list(apart[0].shape) == [1, 4, 64, 64]
    assert torch.allclose(apart[0].mean(1), averaged[0], atol=1e-6)
