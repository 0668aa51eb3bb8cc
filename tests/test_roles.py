"""A right answer passes however it cuts, orders and names its parameters; a wrong one does not."""

import pytest
import torch
from torch import Tensor, nn

from detr_steps import FPN, Step3, Step4
from detr_steps.exercises import check
from detr_steps.exercises.catalogue import TASKS
from detr_steps.exercises.transfer import cut, match_parameters


class Attention(nn.Module):
    """Four projections of their own."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.o, self.v, self.k, self.q = (nn.Linear(width, width) for _ in range(4))
        self.heads, self.drop = heads, nn.Dropout(dropout)

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        return [self.q(query), self.k(key), self.v(value)]

    def join(self, answers: Tensor) -> Tensor:
        return self.o(answers.transpose(1, 2).flatten(2))

    def forward(self, query, key, value, padding=None):
        projected = self.project(query, key, value)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in projected)
        similarity = q @ k.mT / q.shape[-1] ** 0.5
        if padding is not None:
            similarity = similarity.masked_fill(padding[:, None, None], -torch.inf)
        return self.join(self.drop(similarity.softmax(-1)) @ v)


class Fused(Attention):
    """One matrix, the values first."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__(width, heads, dropout)
        self.vqk = nn.Linear(width, 3 * width)
        del self.q, self.k, self.v

    def project(self, query, key, value):
        width = query.shape[-1]
        return [
            self.vqk(x)[..., i * width : (i + 1) * width]
            for x, i in ((query, 1), (key, 2), (value, 0))
        ]


class ByHead(Attention):
    """A module for each head and each projection, and a matrix out of each head."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__(width, heads, dropout)
        one = width // heads
        self.parts = nn.ModuleList(
            nn.ModuleList(nn.Linear(width, one) for _ in range(3)) for _ in range(heads)
        )
        self.out = nn.ModuleList(nn.Linear(one, width, bias=False) for _ in range(heads))
        self.bias = nn.Parameter(torch.zeros(width))
        del self.q, self.k, self.v, self.o

    def project(self, *given):
        return [torch.cat([part[i](x) for part in self.parts], -1) for i, x in enumerate(given)]

    def join(self, answers):
        joined = zip(self.out, answers.unbind(1), strict=True)
        return sum(out(answer) for out, answer in joined) + self.bias


class Layer(nn.Module):
    """A decoder layer without names for its norms, in which the last part is built first."""

    def __init__(self, attention: type, width: int, heads: int, inner: int, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.feedforward = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width)
        )
        self.cross, self.own = (attention(width, heads, dropout) for _ in range(2))
        self.drop = nn.Dropout(dropout)

    def forward(self, state, query_pos, mem, mem_pos, padding):
        query = state + query_pos
        state = self.norms[2](state + self.drop(self.own(query, query, state)))
        attended = self.cross(state + query_pos, mem + mem_pos, mem, padding)
        state = self.norms[0](state + self.drop(attended))
        return self.norms[1](state + self.drop(self.feedforward(state)))


def make_decoder(attention: type, layer: type = Layer) -> type:
    """An own Step5."""

    class MyStep5(Step4):
        def __init__(self, dec_layers=6, **kwargs):
            super().__init__(**kwargs)
            self.last = nn.LayerNorm(self.emb_dim)
            self.stack = nn.ModuleList(
                layer(attention, *self.layer_args) for _ in range(dec_layers)
            )

        def decode(self, context):
            state, padding = super().decode(context), context.get("padding_mask")
            padding = None if padding is None else padding.flatten(1)
            for one in self.stack:
                places = context["query_pos"], context["mem"], context["mem_pos"]
                state = one(state, *places, padding)
            return self.last(state)

    return MyStep5


class Batched(nn.MultiheadAttention):
    """PyTorch's, called as the others."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__(width, heads, dropout, batch_first=True)

    def forward(self, query, key, value, padding=None):
        return super().forward(query, key, value, key_padding_mask=padding)[0]


@pytest.mark.parametrize("attention", [Batched, Attention, Fused, ByHead])
def test_an_own_attention_passes_however_it_is_cut(attention):
    answer = check(make_decoder(attention))
    assert answer.passed, answer


class ForgetsTheScale(Attention):
    def forward(self, query, key, value, padding=None):
        return super().forward(query * 2, key, value, padding)


class PositionsInValues(Layer):
    def forward(self, state, query_pos, mem, mem_pos, padding):
        return super().forward(state, query_pos, mem + mem_pos, 0 * mem_pos, padding)


@pytest.mark.parametrize(
    ("attention", "layer"), [(ForgetsTheScale, Layer), (Attention, PositionsInValues)]
)
def test_a_wrong_one_with_parameters_of_its_own_does_not(attention, layer):
    assert not check(make_decoder(attention, layer)).passed


def test_a_mistake_is_named_in_spite_of_own_parameters():
    answer = check(make_decoder(Attention, PositionsInValues))
    assert answer.mistake == "positions on values", answer


class MyFPN(nn.Module):
    """Built from the coarsest level on, and pair by pair."""

    def __init__(self, in_channels, emb_dim=256):
        super().__init__()
        self.pairs = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(emb_dim, emb_dim, 3, padding=1), nn.Conv2d(c, emb_dim, 1)])
            for c in reversed(in_channels.values())
        )

    def forward(self, features):
        above, found = None, []
        for (output, lateral), c in zip(self.pairs, reversed(features), strict=True):
            here = lateral(c)
            if above is not None:
                here = here + nn.functional.interpolate(above, here.shape[-2:])
            above = here
            found.insert(0, output(here))
        return found


def test_a_pyramid_may_be_built_from_its_top():
    answer = check(MyFPN, "FPN")
    assert answer.passed, answer


class MyStep4(Step3):
    """A list for each kind of part, and no class for a layer."""

    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        width, many = self.emb_dim, range(enc_layers)
        self.after = nn.ModuleList(nn.LayerNorm(width) for _ in many)
        self.between = nn.ModuleList(nn.LayerNorm(width) for _ in many)
        self.attend = nn.ModuleList(Attention(width, nhead, dropout) for _ in many)
        self.shrink = nn.ModuleList(nn.Linear(dim_feedforward, width) for _ in many)
        self.grow = nn.ModuleList(nn.Linear(width, dim_feedforward) for _ in many)
        self.drop = nn.Dropout(dropout)

    def encode(self, images, padding_mask=None):
        context = super().encode(images, padding_mask)
        x, pos = (context[name].flatten(2).mT for name in ("features", "pos_emb"))
        mask = context.get("padding_mask")
        mask = None if mask is None else mask.flatten(1)
        parts = zip(self.attend, self.between, self.grow, self.shrink, self.after, strict=True)
        for attend, between, grow, shrink, after in parts:
            x = between(x + self.drop(attend(x + pos, x + pos, x, mask)))
            x = after(x + self.drop(shrink(self.drop(grow(x).relu()))))
        return {**context, "mem_pos": pos, "mem": x}


def test_an_encoder_needs_no_class_for_its_layers_and_any_order_of_keys():
    answer = check(MyStep4)
    assert answer.passed, answer


def test_blocks_cover_each_parameter_once():
    reference = TASKS["Step5"].reference
    parameters = {name: torch.zeros_like(p) for name, p in reference.named_parameters()}
    for sizes in ({}, {"rows": 24}, {"rows": 12, "columns": 12}):
        for block in cut(parameters, **sizes):
            block.of(parameters).add_(1)
        assert all((p == 1).all() for p in parameters.values())
        for p in parameters.values():
            p.zero_()


def test_parameters_of_other_names_find_each_other():
    left = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    right = nn.ModuleDict({"out": nn.Linear(3, 2), "a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    match = match_parameters(left, right, by_name=False)
    pairs = {theirs.name: ours.name for theirs, ours in match.pairs}
    assert pairs["0.weight"] == "a.weight" and pairs["1.weight"] == "b.weight"
    assert pairs["2.bias"] == "out.bias" and match.missing == match.added == []
    match.copy(left, right)
    assert torch.equal(right["b"].weight, left[1].weight)
    short = match_parameters(left, nn.Sequential(nn.Linear(3, 3)))
    assert short.missing == ["1.weight", "1.bias", "2.weight", "2.bias"]


def test_gradients_come_back_in_the_shape_of_the_reference():
    left, right = nn.MultiheadAttention(4, 2, batch_first=True), Attention(4, 2, 0.0)
    match = match_parameters(left, right)
    match.copy(left, right)
    found = match.translate(dict(right.named_parameters()), left)
    for name, parameter in left.named_parameters():
        assert torch.equal(found[name], parameter)


def test_the_packages_pyramid_still_passes():
    assert check(FPN, "FPN").passed
