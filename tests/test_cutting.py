"""Parameters as blocks: which axes are inputs, how long the parts of a vector are, what fits."""

import pytest
import torch
from torch import nn

from detr_steps.exercises import cutting
from detr_steps.exercises.cutting import (
    ROWS,
    WHOLE,
    Block,
    cut_outputs,
    normal,
    orientations,
    possible,
    vector_part,
    ways_to_cut,
    ways_to_pair,
)


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((), ((), 0)),
        ((5,), ((0,), 0)),
        ((5, 3), ((0, 1), 1)),
        ((5, 3, 2, 2), ((0, 1, 2, 3), 3)),
    ],
)
def test_the_first_axis_of_pytorchs_layers_is_the_outputs(shape, found):
    assert normal(shape) == found


@pytest.mark.parametrize(
    ("length", "width", "part"),
    [
        *((12, WHOLE, 12), (0, WHOLE, 1), (12, ROWS, 12), (10, ROWS, 1)),
        *((10, 5, 5), (12, 5, 12), (10, 1, 1), (12, 6, 6), (0, 5, 5), (1, 4, 1)),
    ],
)
def test_the_parts_of_a_vector(length, width, part):
    """Some layer has 12 inputs; a width that does not divide a vector leaves it whole."""
    assert vector_part(length, {12}, width) == part


def test_axes_are_parted_so_that_a_layer_has_as_many_inputs():
    assert list(possible((12,), {12})) == [((0,), 0)]
    assert list(possible((5, 12), {12})) == [((0, 1), 1)]
    assert list(possible((12, 5), {12})) == [((1, 0), 1)]
    assert list(possible((12, 12), {12})) == [((0, 1), 1), ((1, 0), 1)]
    assert list(possible((4, 5), {12})) == [((0, 1), 1)]  # as PyTorch's where none fits
    assert list(possible((5, 3, 4), {12})) == [((0, 1, 2), 2)]
    assert list(possible((3, 5, 4), {12, 4})) == [((0, 1, 2), 1), ((1, 0, 2), 2)]
    assert list(possible((3, 4), {12})) == [((0, 1), 2)]  # a vector in two axes
    # the last axes first, then in the order of the axes
    assert [order for order, _ in possible((2, 2, 2), {2})] == [(0, 1, 2), (1, 2, 0), (0, 2, 1)]


def test_a_kernel_whose_sides_come_first_has_its_inputs_in_the_order_of_pytorchs():
    """[k, k, in, out]: 3x3 of 4 inputs and 5 outputs."""
    assert next(possible((3, 3, 4, 5), {36})) == ((3, 2, 0, 1), 3)
    assert ((3, 2, 0, 1), 3) not in possible((3, 2, 4, 5), {24})
    assert ((3, 2, 0, 1), 3) not in possible((3, 2, 2, 5), {12})
    # without the order of a kernel's sides where there are no such sides
    assert next(possible((5, 4, 3, 3), {36})) == ((0, 1, 2, 3), 3)
    assert all(len(order) == 3 for order, _ in possible((2, 2, 3), {6, 4}))


def test_orientations_are_chosen_for_each_shape():
    parameters = {"a": torch.zeros(4, 4), "b": torch.zeros(4, 4), "c": torch.zeros(4, 6)}
    both, normal_c = [((0, 1), 1), ((1, 0), 1)], ((1, 0), 1)
    assert list(orientations(parameters, {4}, ())) == [[one, one, normal_c] for one in both]
    # what lies as the reference's stays; others of its shape turn alike
    assert list(orientations(parameters, {4}, {"a"})) == [[both[0], one, normal_c] for one in both]
    assert list(orientations(parameters, {4}, set(parameters))) == [[both[0], both[0], ((0, 1), 1)]]


def test_of_many_orientations_the_first_ones_are_tried(monkeypatch):
    """Each of these three shapes may lie in six ways or three."""
    shapes = ((2, 2, 2), (2, 2, 1), (1, 2, 2))
    parameters = {str(shape): torch.zeros(shape) for shape in shapes}
    counts = [len(list(possible(shape, {2, 4}))) for shape in shapes]
    product = counts[0] * counts[1] * counts[2]
    assert all(count > 2 for count in counts)
    monkeypatch.setattr(cutting, "MOST_CHOICES", product)
    assert len(list(orientations(parameters, {2, 4}, ()))) == product
    monkeypatch.setattr(cutting, "MOST_CHOICES", product - 1)
    assert len(list(orientations(parameters, {2, 4}, ()))) == 2 * 2 * 2
    monkeypatch.setattr(cutting, "MOST_CHOICES", 5)
    assert len(list(orientations(parameters, {2, 4}, ()))) == 5


def test_an_output_is_a_block():
    parameters = {"bias": torch.zeros(4), "weight": torch.zeros(2, 3), "after": torch.zeros(2)}
    choice = [normal(p.shape) for p in parameters.values()]
    weight = [Block("weight", (3,), (), (0, 1), (row,)) for row in range(2)]
    assert cut_outputs(parameters, choice, {3}, 2) == [
        Block("bias", (2,), (0,)),
        Block("bias", (2,), (2,)),
        *weight,
        Block("after", (2,), (0,)),
    ]
    whole = [Block("bias", (4,), (0,)), *weight, Block("after", (2,), (0,))]
    assert cut_outputs(parameters, choice, {3}, WHOLE) == whole
    transposed = cut_outputs({"weight": torch.zeros(3, 2)}, [((1, 0), 1)], {3}, WHOLE)
    assert transposed == [Block("weight", (3,), (), (1, 0), (row,)) for row in range(2)]


def test_vectors_in_several_axes_and_stacked_ones_are_parts_of_vectors():
    """Six numbers in two axes, of a model whose layers have five inputs."""
    stacked, choice = {"x": torch.zeros(2, 3)}, [((0, 1), 1)]
    assert cut_outputs(stacked, choice, {5}, 6) == [Block("x", (6,), (), (0, 1), ())]
    single = [Block("x", (1,), (), (0, 1), (i, j)) for i in range(2) for j in range(3)]
    assert cut_outputs(stacked, choice, {5}, 1) == single
    assert cut_outputs(stacked, choice, {5}, 3) == [
        Block("x", (3,), (), (0, 1), (row,)) for row in range(2)
    ]
    # a row that is as long as a layer's inputs is one of weights
    assert cut_outputs(stacked, choice, {3}, 1) == cut_outputs(stacked, choice, {3}, 6)
    assert len(cut_outputs(stacked, choice, {3}, 6)) == 2
    kernel = cut_outputs({"k": torch.zeros(5, 2, 3, 3)}, [normal((5, 2, 3, 3))], {18}, WHOLE)
    assert kernel == [Block("k", (18,), (), (0, 1, 2, 3), (row,)) for row in range(5)]


class Attending(nn.Module):
    """An attention of 12 channels with 3 heads, and a projection to it."""

    def __init__(self):
        super().__init__()
        self.project, self.attention = nn.Linear(6, 12), nn.MultiheadAttention(12, 3)


def parameters_of(model):
    return dict(model.named_parameters())


def numbers(ways):
    """The number of each way to pair: where the reference is cut alike, the same."""
    return [number for number, _, _ in ways]


def test_a_model_is_cut_as_wide_as_itself_and_as_its_heads():
    assert list(ways_to_cut(nn.Linear(3, 2))) == [{}]
    assert list(ways_to_cut(Attending())) == [
        *({}, {"rows": 12}, {"rows": 4}, {"rows": 4, "columns": 4}),
    ]


def test_models_of_one_structure_are_paired_at_every_size():
    reference = Attending()
    left = parameters_of(reference)
    found = list(ways_to_pair(reference, left, parameters_of(Attending())))
    assert numbers(found) == [0, 1, 2, 3]
    blocks = [6, 6 + 2 + 2, 2 * 3 + 2 * 9 + 2 * 3]
    assert [len(theirs) for _, theirs, _ in found[:3]] == blocks
    assert all(theirs == ours for _, theirs, ours in found)


def test_matrices_that_lie_otherwise_are_turned():
    """Three projections in one matrix, transposed: they fit once they are turned."""
    reference = Attending()
    left = parameters_of(reference)
    right = {**left, "attention.in_proj_weight": torch.zeros(12, 36)}
    found = list(ways_to_pair(reference, left, right))
    assert numbers(found) == [0, 1, 2, 3, 3]
    turned = {block.name for block in found[1][2] if block.order}
    assert turned == {"attention.in_proj_weight"}
    # square blocks are as many either way
    assert [any(block.order for block in ours) for _, _, ours in found] == [True] * 3 + [
        False,
        True,
    ]
    assert not any(block.order for _, theirs, _ in found for block in theirs)


def test_what_has_other_numbers_is_not_paired():
    reference = Attending()
    left = parameters_of(reference)
    assert list(ways_to_pair(reference, left, {**left, "more": torch.zeros(5)})) == []


def test_outputs_are_paired_where_no_block_is():
    """A matrix, or its rows one by one; the biases whole, then as single numbers."""
    reference = nn.Linear(3, 2)
    left = parameters_of(reference)
    right = {"first": torch.zeros(3), "second": torch.zeros(3), "biases": torch.zeros(2)}
    found = list(ways_to_pair(reference, left, right))
    assert numbers(found) == [1, 2]
    rows = [Block("weight", (3,), (), (0, 1), (row,)) for row in range(2)]
    assert found[0][1] == [*rows, Block("bias", (2,), (0,))]
    assert found[1][1] == [*rows, Block("bias", (1,), (0,)), Block("bias", (1,), (1,))]
    # without attention also where whole parameters fit
    assert numbers(ways_to_pair(reference, left, left)) == [0, 1, 2, 3]


def test_an_attention_is_cut_on_where_no_block_fits():
    """Its rows one by one: biases as wide as the model, then whole."""
    reference = nn.MultiheadAttention(4, 2, bias=False)
    left = parameters_of(reference)
    rows = [row for p in left.values() for row in p.detach()]
    right = {str(number): row for number, row in enumerate(rows)}
    assert numbers(ways_to_pair(reference, left, right)) == [4, 5]


def test_too_many_outputs_are_not_paired(monkeypatch):
    reference = nn.Linear(3, 2)
    left = parameters_of(reference) | {"scale": torch.tensor(1.0)}
    monkeypatch.setattr(cutting, "MOST_OUTPUTS", 4)
    assert numbers(ways_to_pair(reference, left, left)) == [0, 1, 2, 3]
    monkeypatch.setattr(cutting, "MOST_OUTPUTS", 3)
    assert numbers(ways_to_pair(reference, left, left)) == [0]
