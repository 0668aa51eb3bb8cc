"""Boxes of any size and place, against the same formula in exact fractions.

In every dtype all holds to a few roundings while the sum of the two areas and the area of the hull
are at most `finfo.max`, and the areas of the union and the hull at least `finfo.tiny`, or 0. For
squares of the same order of size these are sides of

- 1.1e-19 to 9e18 in float32,
- 1.5e-154 to 6e153 in float64.

Below, IoU is 0 but for rounding; above, it becomes 0, infinite or NaN.
"""

from fractions import Fraction

import pytest
import torch
from conftest import times
from hypothesis import assume, given
from hypothesis import strategies as st

from detr_steps import box_cxcywh_to_xyxy, box_iou, generalized_box_iou, giou_loss

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
COARSE = st.integers(-8, 8)  # of a few places, so that edges meet, and corners are swapped
CORNERS = st.tuples(COARSE, COARSE, COARSE, COARSE)


def span(low, high) -> Fraction:
    """Length from low to high; 0 if they are in the wrong order."""
    return max(high - low, Fraction(0))


def exact_areas(a, b) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """Of two boxes as corners: intersection, union, hull, and the sum of both areas."""
    a, b = ([Fraction(corner) for corner in box] for box in (a, b))
    both = sum(span(x1, x2) * span(y1, y2) for x1, y1, x2, y2 in (a, b))
    inner, outer = Fraction(1), Fraction(1)
    for low, high in ((0, 2), (1, 3)):
        inner *= span(max(a[low], b[low]), min(a[high], b[high]))
        outer *= span(min(a[low], b[low]), max(a[high], b[high]))
    return inner, both - inner, outer, both


def exact(a, b) -> tuple[Fraction, Fraction]:
    """IoU and GIoU."""
    inner, union, hull, _ = exact_areas(a, b)
    iou = inner / union if union else Fraction(0)
    return iou, iou - ((hull - union) / hull if hull else 0)


def in_range(a, b, dtype) -> bool:
    """Whether the areas are those for which the functions are exact."""
    _, union, hull, both = exact_areas(a, b)
    finfo = torch.finfo(dtype)
    return max(both, hull) <= finfo.max and all(x == 0 or x >= finfo.tiny for x in (union, hull))


def as_boxes(*corners, dtype=torch.float64):
    """Each box as a tensor [1, 4]."""
    return [torch.tensor([box], dtype=dtype) for box in corners]


@st.composite
def wide_pairs(draw, dtype):
    """Two boxes with any mantissas, of any size that the dtype holds, thin ones included."""
    most = 120 if dtype == torch.float32 else 1000
    scale = [draw(st.integers(-most, most))]
    scale.append(draw(st.one_of(st.just(scale[0]), st.integers(-most, most))))
    apart = draw(st.integers(-30, 0))  # the second box may be far smaller
    part = st.floats(-1, 1, width=32)
    boxes = []
    for factor in (1.0, 2.0**apart):
        corners = [draw(part) * factor * 2.0 ** scale[i % 2] for i in range(4)]
        boxes.append(torch.tensor(corners, dtype=dtype).tolist())
    return boxes


@DTYPES
def test_iou_giou_and_loss_are_the_exact_ones_over_the_whole_range(dtype):
    eps = torch.finfo(dtype).eps

    @times(5)
    @given(wide_pairs(dtype))
    def holds(pair):
        assume(in_range(*pair, dtype))
        a, b = as_boxes(*pair, dtype=dtype)
        iou, giou = exact(*pair)
        assert abs(Fraction(box_iou(a, b).item()) - iou) <= 4 * eps
        assert abs(Fraction(generalized_box_iou(a, b).item()) - giou) <= 8 * eps
        assert abs(Fraction(giou_loss(a, b).item()) - (1 - giou)) <= 9 * eps

    holds()


@pytest.mark.parametrize(("dtype", "n"), [(torch.float32, 63), (torch.float64, 511)], ids=str)
def test_the_range_ends_where_an_area_leaves_the_numbers_of_the_dtype(dtype, n):
    def values(side):
        """Of a square with itself and with its right half, and of neighbours along the diagonal."""
        a, half, other = as_boxes(
            (0, 0, side, side), (side / 2, 0, side, side), (-side, -side, 0, 0), dtype=dtype
        )
        return [box_iou(a, a), box_iou(a, half), generalized_box_iou(a, other)]

    assert torch.finfo(dtype).tiny == 2.0 ** (-2 * n)
    for side in (2.0**-n, 2.0 ** (n - 1)):
        assert values(side) == [1, 0.5, -0.5]
    assert values(2.0 ** -(n + 1))[0] < 1e-30  # a union below finfo.tiny counts as none
    itself, _, neighbours = values(2.0**n)
    assert itself == 1 and neighbours.isnan()  # the hull is the first that is too large
    assert values(2.0 ** (n + 1))[0].isnan()


def test_the_shipped_use_is_far_inside_of_the_range():
    """Boxes in 0..1 down to a millionth of a side, and boxes in pixels of large pictures."""
    for side in (1e-6, 1e5):
        a, b = as_boxes((0, 0, side, side), (side / 2, 0, 2 * side, side), dtype=torch.float32)
        assert abs(box_iou(a, b).item() - 0.25) < 1e-6


@DTYPES
def test_corners_are_rounded_once(dtype):
    finfo = torch.finfo(dtype)
    part = st.floats(-1, 1, width=32)

    @times(5)
    @given(st.tuples(part, part, part, part), st.integers(-100, 100))
    def holds(parts, exponent):
        (box,) = as_boxes([part * 2.0**exponent for part in parts], dtype=dtype)
        cx, cy, w, h = (Fraction(number) for number in box[0].tolist())
        expected = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        for found, wanted in zip(box_cxcywh_to_xyxy(box)[0].tolist(), expected, strict=True):
            assert abs(Fraction(found) - wanted) <= finfo.eps / 2 * abs(wanted) + finfo.tiny

    holds()


@DTYPES
def test_boxes_by_centre_and_size_lose_as_many_digits_as_they_are_smaller_than_the_image(dtype):
    eps = torch.finfo(dtype).eps
    centre, size = st.floats(0, 1, width=32), st.floats(2**-10, 1, width=32)

    @times(5)
    @given(*[st.tuples(centre, centre, size, size)] * 2)
    def holds(a, b):
        corners = [
            [Fraction(c) + s * Fraction(d) / 2 for s in (-1, 1) for c, d in ((cx, w), (cy, h))]
            for cx, cy, w, h in (a, b)
        ]
        expected = exact(*corners)
        pair = [box_cxcywh_to_xyxy(box) for box in as_boxes(a, b, dtype=dtype)]
        found = box_iou(*pair), generalized_box_iou(*pair)
        for ours, wanted in zip(found, expected, strict=True):
            assert abs(Fraction(ours.item()) - wanted) <= 8 * eps / min(*a[2:], *b[2:])

    holds()


@times(5)
@given(CORNERS, CORNERS)
def test_boxes_on_a_grid_have_exactly_rounded_values(first, second):
    """Swapped corners are a box without area; two boxes without area have IoU and GIoU 0."""
    a, b = as_boxes(first, second)
    iou, giou = exact(first, second)
    assert box_iou(a, b).item() == float(iou)
    assert abs(generalized_box_iou(a, b).item() - float(giou)) <= 2e-16
    if not (first[0] < first[2] and first[1] < first[3]):
        assert iou == 0


@DTYPES
def test_values_are_bounded_and_symmetric(dtype):
    slack = 4 * torch.finfo(dtype).eps
    part = st.floats(-1, 1, width=32)
    box = st.one_of(CORNERS, st.tuples(part, part, part, part))

    @times(5)
    @given(box, box)
    def holds(first, second):
        assume(in_range(first, second, dtype) and in_range(first, first, dtype))
        a, b = as_boxes(first, second, dtype=dtype)
        iou, giou, loss = box_iou(a, b), generalized_box_iou(a, b), giou_loss(a, b)
        assert torch.equal(iou, box_iou(b, a))
        assert torch.equal(giou, generalized_box_iou(b, a))
        assert torch.equal(loss, giou_loss(b, a))
        assert 0 <= iou <= 1  # without any slack
        assert -1 <= giou <= min(iou, torch.ones(())) + slack
        assert torch.equal(loss, 1 - giou[0]) and -slack <= loss <= 2
        area = (a[0, 2:] - a[0, :2]).clamp(min=0).prod()
        assert box_iou(a, a) == generalized_box_iou(a, a) == (area > 0)

    holds()


@times(5)
@given(CORNERS, CORNERS, COARSE, COARSE, st.integers(-40, 40), st.integers(-40, 40))
def test_values_do_not_change_with_place_and_scale(first, second, dx, dy, x_scale, y_scale):
    """Exactly so for what binary numbers hold exactly."""
    scale = torch.tensor([2.0**x_scale, 2.0**y_scale] * 2, dtype=torch.float64)
    shift = torch.tensor([dx, dy] * 2, dtype=torch.float64)
    a, b = as_boxes(first, second)
    for function in (box_iou, generalized_box_iou, giou_loss):
        value = function(a, b)
        assert torch.equal(function(a + shift, b + shift), value)
        assert torch.equal(function(a * scale, b * scale), value)
        assert torch.equal(function(a[:, [1, 0, 3, 2]], b[:, [1, 0, 3, 2]]), value)  # x with y
        assert torch.equal(function(-a[:, [2, 3, 0, 1]], -b[:, [2, 3, 0, 1]]), value)  # mirrored


@times(5)
@given(st.lists(CORNERS, min_size=1, max_size=4), st.lists(CORNERS, min_size=1, max_size=4))
def test_all_pairs_at_once_are_the_pairs_one_by_one(first, second):
    a, b = (torch.tensor(boxes, dtype=torch.float64) for boxes in (first, second))
    for function in (box_iou, generalized_box_iou):
        together = function(a, b)
        alone = [[function(x[None], y[None]).item() for y in b] for x in a]
        assert together.tolist() == alone
    least = min(len(a), len(b))
    losses = 1 - generalized_box_iou(a, b).diagonal()
    assert torch.equal(giou_loss(a[:least], b[:least]), losses)


@DTYPES
def test_gradients_are_finite(dtype):
    """Also where edges meet, where boxes have no area, and where they are very small or large."""
    scale = st.integers(-30, 30)

    @times(5)
    @given(CORNERS, CORNERS, scale, scale)
    def holds(first, second, x_scale, y_scale):
        unit = torch.tensor([2.0**x_scale, 2.0**y_scale] * 2, dtype=dtype)
        a, b = (box * unit for box in as_boxes(first, second, dtype=dtype))
        for function in (box_iou, generalized_box_iou, giou_loss):
            inputs = a.clone().requires_grad_(), b.clone().requires_grad_()
            gradients = torch.autograd.grad(function(*inputs).sum(), inputs)
            assert all(gradient.isfinite().all() for gradient in gradients)

    holds()


@times(1)
@given(st.permutations(range(4)), st.permutations(range(4)), st.integers(0, 2**32))
def test_gradients_are_the_slopes(xs, ys, seed):
    """Where no two edges meet: there the functions have no corner."""
    noise = 0.6 * torch.rand(2, 4, generator=torch.Generator().manual_seed(seed)).double()
    x, y = (torch.tensor(order).double() + noise[i] for i, order in enumerate((xs, ys)))
    corners = torch.stack((x[:2].sort()[0], y[:2].sort()[0], x[2:].sort()[0], y[2:].sort()[0]))
    a, b = corners[:2].T.reshape(1, 4), corners[2:].T.reshape(1, 4)
    inputs = (a.clone().requires_grad_(), b.clone().requires_grad_())
    assert torch.autograd.gradcheck(giou_loss, inputs)
    assert torch.autograd.gradcheck(box_iou, inputs)
    assert torch.autograd.gradcheck(box_cxcywh_to_xyxy, (inputs[0],))


def test_a_box_that_is_apart_is_pulled_towards_the_other():
    """The slope of the loss along the way is negative, however far the boxes are apart."""
    target = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    for distance in (1.5, 10.0, 1e4):
        a = (target + distance).requires_grad_()
        (gradient,) = torch.autograd.grad(giou_loss(a, target).sum(), a)
        assert gradient[0, :2].sum() > 0 and gradient.sum() > 0
