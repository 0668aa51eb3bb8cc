"""Which part a parameter plays: the search's own parts, on models of a few numbers."""

import pytest
import torch
from torch import nn

from detr_steps.exercises import roles
from detr_steps.exercises.cutting import Block, cut
from detr_steps.exercises.roles import (
    Search,
    agree,
    changed,
    close,
    fill,
    first_results,
    free_parameters,
    in_order,
    match_roles,
    pair_kinds,
    results_alike,
    scaled,
    split,
    try_values,
)

INPUT = torch.tensor([[0.3, -1.2, 0.7], [1.1, 0.4, -0.5]], dtype=torch.float64)


class Two(nn.Module):
    """Two layers, called as told, whose results are told apart by a weight for each."""

    def __init__(self, first, second, backbone=False):
        super().__init__()
        if backbone:
            self.backbone = nn.Linear(2, 2)
        self.names = first, second
        self.add_module(first, nn.Linear(3, 3))
        self.add_module(second, nn.Linear(3, 3))

    def forward(self, x):
        first, second = (self.get_submodule(name) for name in self.names)
        return second(first(x).tanh())


def run_it(model):
    return {"y": model(INPUT)}


def called_in_turn():
    """A model of layers a and b that calls b first."""
    model = Two("a", "b")
    model.names = "b", "a"
    return model


def kinds_of(model, kinds, seed):
    """A model of double precision whose blocks have such values."""
    model = model.double()
    fill(model, cut(dict(model.named_parameters())), kinds, seed)
    return model


# numbers that are the same


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ([1000.0, 1.0], [1000.0, 1.09], True),
        ([1000.0, 1.0], [1000.0, 1.11], False),
        ([0.1, 0.0], [0.1, 1.1e-5], False),
        ([0.0, 0.0], [0.0, 0.9e-7], True),
        ([0.0, 0.0], [0.0, 2e-7], False),
        ([2.0], [2.0, 2.0], False),
        ([], [], True),
    ],
)
def test_results_are_close_up_to_a_ten_thousandth_of_the_largest(left, right, found):
    assert close(torch.tensor(left), torch.tensor(right)) == found


def test_results_agree_where_all_are_there_and_close():
    one, two = {"a": torch.ones(2)}, {"a": torch.ones(2), "b": torch.zeros(1)}
    assert agree(one, {"a": torch.ones(2)}) and agree({}, {})
    assert not agree(one, two) and not agree(two, one)
    assert not agree(two, {"a": torch.ones(2), "b": torch.ones(1)})
    assert not agree(None, one) and not agree(one, None) and not agree(None, None)


# values that blocks get


def test_weights_are_scaled_by_their_number_of_inputs():
    assert torch.equal(scaled(torch.ones(3, 4)), torch.full((3, 4), 0.5))
    assert torch.equal(scaled(torch.ones(2, 4, 4)), torch.full((2, 4, 4), 0.25))
    assert torch.equal(scaled(torch.ones(9)), torch.full((9,), 1 / 3))


def test_blocks_of_a_kind_have_the_same_values_and_others_have_others():
    model = kinds_of(Two("a", "b"), [0, 1, 0, 1], 1)
    assert torch.equal(model.a.weight, model.b.weight) and torch.equal(model.a.bias, model.b.bias)
    model = kinds_of(model, [0, 1, 2, 3], 1)
    assert not torch.equal(model.a.weight, model.b.weight)
    again, other = kinds_of(Two("a", "b"), [0, 1, 2, 3], 1), kinds_of(Two("a", "b"), [0] * 4, 2)
    assert torch.equal(model.b.weight, again.b.weight)
    assert not torch.equal(other.a.weight, again.a.weight)
    # the kinds of one seed are none of another's
    values = [
        kinds_of(Two("a", "b"), [kind] * 4, seed).a.weight for kind in (1, 2) for seed in (1, 2)
    ]
    assert len({tuple(one.flatten().tolist()) for one in values}) == 4


def test_vectors_are_half_as_large_and_outputs_as_weights():
    def drawn(*shape):
        return torch.randn(shape, generator=torch.Generator().manual_seed(2003)).double()

    linear = nn.Linear(4, 2).double()
    fill(linear, [Block("weight", (2, 4)), Block("bias", (2,))], [3, 3], 2)
    assert torch.allclose(linear.weight, drawn(2, 4) / 2)
    assert torch.allclose(linear.bias, 0.5 * drawn(2))
    outputs = [Block("weight", (4,), (), (0, 1), (row,)) for row in range(2)]
    fill(linear, [*outputs, Block("bias", (2,), (0,))], [3, 3, 3], 2)
    assert torch.allclose(linear.weight, (drawn(4) / 2).expand(2, 4))
    assert torch.allclose(linear.bias, drawn(2) / 2**0.5)
    turned = Block("weight", (4, 2), (0, 0), (1, 0))  # as a whole: its vector is no output
    fill(linear, [turned, Block("bias", (2,), (0,))], [3, 3], 2)
    assert torch.allclose(linear.weight, drawn(4, 2).T / 2**0.5)
    assert torch.allclose(linear.bias, 0.5 * drawn(2))


def test_the_gradient_of_each_block_comes_with_the_results():
    model = Two("a", "b").double()
    blocks = cut(dict(model.named_parameters()), rows=1)
    results, found = try_values(model, blocks, list(range(len(blocks))), 3, run_it)
    assert torch.equal(results["y"], model(INPUT)) and not results["y"].requires_grad
    assert [g.shape for g in found] == [block.shape for block in blocks]
    assert all(g.abs().sum() > 0 for g in found)
    unused = nn.ModuleDict({"used": nn.Linear(3, 3), "unused": nn.Linear(3, 3)}).double()
    blocks = cut(dict(unused.named_parameters()))
    _, found = try_values(unused, blocks, [0, 1, 2, 3], 1, lambda m: {"y": m["used"](INPUT)})
    assert [bool(g.any()) for g in found] == [True, True, False, False]


def test_results_with_alike_blocks_are_none_where_a_model_fails():
    blocks = cut(dict(Two("a", "b").named_parameters()))
    one, other = (
        results_alike(Two(*names).double(), blocks, blocks, run_it) for names in ("ab", "ab")
    )
    assert agree(one, other)
    failing = results_alike(Two("a", "b").double(), blocks, blocks, lambda model: model.nothing)
    assert failing is None
    first = results_alike(Two("a", "b").double(), blocks, blocks, run_it)["y"]
    assert torch.allclose(first, kinds_of(Two("a", "b"), [0, 1, 0, 1], 1)(INPUT))


# which blocks belong together


def test_the_closest_gradients_of_a_kind_are_paired():
    theirs = [torch.tensor([x]) for x in (1.0, 5.0, 9.0, 1.0)]
    ours = [torch.tensor([x]) for x in (9.1, 1.1, 1.0, 5.2)]
    assert pair_kinds(theirs, ours, [0, 0, 0, 1], [0, 0, 1, 0]) == [(0, 1), (1, 3), (2, 0), (3, 2)]
    same = [torch.tensor([2.0])] * 4
    assert pair_kinds(same, same, [7] * 4, [7] * 4) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    # two pairs that are alike keep their order beside others that are far away
    theirs = [torch.tensor([x]) for x in (2.0, 2.0, 1e3)]
    assert pair_kinds(theirs, theirs, [0] * 3, [0] * 3) == [(0, 0), (1, 1), (2, 2)]
    far = [torch.tensor([x]) for x in (1e3, 2.0, 2.0)]
    assert pair_kinds(theirs, far, [0] * 3, [0] * 3) == [(0, 1), (1, 2), (2, 0)]


def test_blocks_are_parted_by_their_gradients():
    gradients = [torch.tensor([x], dtype=torch.float64) for x in (3.0, 1.0, 3.0, 3.0, 0.0, 0.0)]
    assert split(gradients, [0, 0, 0, 1, 1, 1]) == ([0, 1, 0, 2, 3, 3], [0])
    assert split(gradients[:2], [0, 1]) == ([0, 1], [])
    assert split(gradients[:3], [4, 4, 4]) == ([0, 1, 0], [0])
    assert split([], []) == ([], [])
    pairs = [torch.tensor([x, y], dtype=torch.float64) for x, y in ((3, 4), (-3, -4), (3, 4))]
    assert split(pairs, [0, 0, 0]) == ([0, 1, 0], [0])


def test_gradients_are_alike_up_to_the_noise_of_the_largest():
    def parted(*numbers, of=2):
        gradients = [torch.tensor([x], dtype=torch.float64) for x in numbers]
        return split(gradients, [0] * of + [1] * (len(numbers) - of))

    assert parted(1.0, 1.0 + 0.9e-7) == ([0, 0], [0])
    assert parted(1.0, 1.0 + 2e-7) == ([0, 1], [])
    assert parted(1e-3, 1e-3 + 0.9e-10) == ([0, 0], [0])
    assert parted(1e-3, 1e-3 + 5e-10) == ([0, 1], [])
    # beside a gradient of 1e6 there is noise of 1e-4: such blocks have none
    assert parted(1e-3, 1.05e-3, 1e6) == ([0, 0, 1], [0])
    assert parted(1e-3, 1.2e-3, 1e6) == ([0, 1, 2], [])
    assert parted(0.9e-4, 0.5e-4, 1e6) == ([0, 0, 1], [])
    assert parted(1e-4, 1e-4, 1e6) == ([0, 0, 1], [])


def test_one_kind_of_a_list_is_changed():
    kinds = [5, 6, 7, 8]
    assert changed(kinds, 1, 9) == [5, 9, 7, 8] and changed(kinds, 3, 9) == [5, 6, 7, 9]
    assert changed(kinds, 0, 9) == [9, 6, 7, 8] and kinds == [5, 6, 7, 8]


# the search


def search(left, right):
    sides = [(one.double(), cut(dict(one.named_parameters()))) for one in (left, right)]
    return Search(*sides, run_it)


def test_layers_are_found_whatever_their_names_and_order():
    found = search(Two("a", "b"), Two("b", "a"))
    assert sorted(found.pairs()) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    found = search(Two("a", "b"), called_in_turn())
    pairs = found.pairs()
    assert sorted(pairs) == [(0, 2), (1, 3), (2, 0), (3, 1)] and found.holds(pairs)
    assert not found.holds([(0, 0), (1, 1), (2, 2), (3, 3)])
    assert found.rounds == 2


class Summed(nn.Module):
    """Rows whose answers are added: none plays a part of its own."""

    def __init__(self, rows=3):
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(3, 2) for _ in range(rows))
        self.last = nn.ModuleList(nn.Linear(2, 2) for _ in range(rows))

    def forward(self, x, order=(0, 1, 2)):
        pairs = [(self.parts[i], self.last[j]) for i, j in enumerate(order)]
        return sum(last(part(x).tanh()) for part, last in pairs)


def test_of_parts_that_nothing_tells_apart_one_is_chosen():
    """Each of the first layers belongs to one of the last: to which shows once it is chosen."""
    found = search(Summed(), Summed())
    pairs = found.pairs()
    assert found.holds(pairs) and sorted(i for i, _ in pairs) == list(range(12))
    mixed = Search(
        *found.sides,
        lambda model: {"y": model(INPUT, (1, 2, 0) if model is found.sides[1][0] else (0, 1, 2))},
    )
    pairs = mixed.pairs()
    assert mixed.holds(pairs)
    of = {mixed.sides[0][1][i].name: mixed.sides[1][1][j].name for i, j in pairs}
    for i in range(3):
        number = int(of[f"parts.{i}.weight"].split(".")[1])
        assert of[f"last.{i}.weight"] == f"last.{(1, 2, 0)[number]}.weight"


def test_a_search_has_an_end(monkeypatch):
    rounds = search(Summed(), Summed())
    assert rounds.pairs() is not None
    for most, ends in ((rounds.rounds, True), (rounds.rounds - 1, False)):
        monkeypatch.setattr(roles, "MOST_ROUNDS", most)
        found = search(Summed(), Summed())
        assert (found.pairs() is not None) == ends


def test_models_that_differ_have_no_pairs():
    class Other(Two):
        def forward(self, x):
            return super().forward(x) + 1e-2

    assert search(Two("a", "b"), Other("a", "b")).pairs() is None


# the match


def matched(left, right, run=run_it):
    """The names of the parameters that a match pairs, or None."""
    match = match_roles(left, right, run)
    return match and sorted({(a.name, b.name) for a, b in match.pairs})


def test_a_model_is_matched_by_what_its_parameters_do():
    right = called_in_turn()
    kept = right.state_dict()["a.weight"].clone()
    swapped = [
        (f"{a}.{kind}", f"{b}.{kind}") for a, b in ("ab", "ba") for kind in ("bias", "weight")
    ]
    assert matched(Two("a", "b"), right) == swapped
    assert torch.equal(right.a.weight, kept) and right.a.weight.dtype == torch.float32


def test_the_backbone_is_the_same_and_not_searched():
    def run_both(model):
        return {"y": model(INPUT) + model.backbone(INPUT[:, :2]).sum()}

    left, right = (Two("a", "b", backbone=True) for _ in range(2))
    right.names = "b", "a"
    names = matched(left, right, run_both)
    assert ("backbone.weight", "backbone.weight") in names and ("a.bias", "b.bias") in names
    fixed, (reference, theirs), (model, ours) = free_parameters(left, right)
    assert {block.name for pair in fixed for block in pair} == {"backbone.weight", "backbone.bias"}
    assert set(theirs) == set(ours) == {"a.weight", "a.bias", "b.weight", "b.bias"}
    assert torch.equal(reference.backbone.weight, model.backbone.weight)
    assert model.backbone.weight.dtype == torch.float64
    assert not torch.equal(right.backbone.weight, left.backbone.weight)
    assert reference is not left and model is not right


def test_a_model_that_computes_something_else_is_not_matched():
    class Other(Two):
        def forward(self, x):
            return super().forward(x).tanh()

    class Failing(Two):
        def forward(self, x):
            raise RuntimeError

    for other in (Other("a", "b"), Failing("a", "b")):
        assert match_roles(Two("a", "b"), other, run_it) is None


def test_outputs_in_another_order_are_not_a_match():
    """Rows of one matrix may be cut apart, and have to stay in their order."""
    left, right = nn.Linear(3, 3), nn.Linear(3, 3)
    assert match_roles(left, right, run_it) is not None

    def turned(model):
        return {"y": model(INPUT)[:, [1, 0, 2]] if model.turn else model(INPUT)}

    left.turn, right.turn = False, True
    assert match_roles(left, right, turned) is None


def test_pairs_keep_the_order_of_outputs():
    def row(name, number):
        return Block(name, (3,), (), (0, 1), (number,))

    def number(name, start):
        return Block(name, (1,), (start,))

    for part in (row, number):
        assert in_order([(part("a", 0), part("b", 1)), (part("a", 1), part("b", 2))])
        assert not in_order([(part("a", 0), part("b", 2)), (part("a", 1), part("b", 1))])
        assert in_order([(part("a", 0), part("b", 2)), (part("a", 1), part("c", 1))])
        assert in_order([(part("a", 0), part("b", 2)), (part("d", 1), part("b", 1))])
        assert not in_order([(part("a", 1), part("b", 1)), (part("a", 0), part("b", 2))])
    wide = [Block("a", (2,), (start,)) for start in (0, 2)]
    assert in_order([(wide[0], wide[1]), (wide[1], wide[0])])
    # a row that becomes a part of a vector, or a vector that becomes rows, says nothing
    parts = [Block("b", (3,), (start,)) for start in (3, 0)]
    assert in_order([(row("a", 0), parts[0]), (row("a", 1), parts[1])])
    assert in_order([(parts[1], row("a", 1)), (parts[0], row("a", 0))])
    cut_too = [Block("b", (3,), (start,), (1, 0)) for start in (3, 0)]
    assert in_order([(row("a", 0), cut_too[0]), (row("a", 1), cut_too[1])])
    assert in_order([(Block("a", (1,)), number("b", 1)), (Block("a", (1,)), number("b", 0))])
    assert in_order([(number("a", 1), Block("b", (1,))), (number("a", 0), number("b", 0))])


def test_first_results_are_those_of_the_smallest_blocks():
    left, right = Two("a", "b"), called_in_turn()
    found = first_results(left, right, run_it)
    assert found and all(agree(one, first_results(left, left, run_it)[0]) for one in found)
    outputs = [Block(f"{name}.weight", (3,), (), (0, 1), (i,)) for name in "ab" for i in range(3)]
    vectors = [Block(f"{name}.bias", (3,), (0,)) for name in "ab"]
    whole = results_alike(
        Two("a", "b").double(), [*outputs, *vectors], [outputs[0], vectors[0]], run_it
    )
    assert any(agree(one, whole) for one in found)

    def attend(model):
        x = INPUT.repeat(1, 2)[:, None, :4]
        return {"y": model(x, x, x)[0]}

    one = nn.MultiheadAttention(4, 2)
    (found,) = first_results(one, one, attend)
    blocks = cut(dict(one.named_parameters()), rows=2, columns=2)
    assert agree(found, results_alike(nn.MultiheadAttention(4, 2).double(), blocks, blocks, attend))
