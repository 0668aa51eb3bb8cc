"""The loss: against one that is written out in plain numbers, and what holds for all inputs."""

import math
from itertools import permutations

import pytest
import torch
from conftest import times
from drawn import cases, plain_cost, plain_giou, rearranged
from hypothesis import assume, given
from hypothesis import strategies as st

from detr_steps import box_cxcywh_to_xyxy, giou_loss


def cheapest(case, layer: int, image: int) -> tuple[int, ...]:
    """The query of each object, by trying all assignments."""
    cost = plain_cost(case, layer, image)
    ways = permutations(range(len(cost)), len(case.targets[image]["labels"]))
    return min(ways, key=lambda way: sum(cost[q][t] for t, q in enumerate(way)))


def plain_terms(case, layer: int) -> dict[str, float]:
    """Equation 2 for one layer, query by query."""
    no_object = case.class_logits.shape[-1] - 1
    negative, weights, distance, giou, objects = 0.0, 0.0, 0.0, 0.0, 0
    for image, target in enumerate(case.targets):
        way = cheapest(case, layer, image)
        objects += len(way)
        for query, logits in enumerate(case.class_logits[layer, image].tolist()):
            label = target["labels"][way.index(query)].item() if query in way else no_object
            weight = case.weights["no_object_weight"] if label == no_object else 1.0
            log_sum = math.log(sum(math.exp(x) for x in logits))
            negative += weight * (log_sum - logits[label])
            weights += weight
        for query, wanted in zip(way, target["boxes"].tolist(), strict=True):
            box = case.bbox_pred[layer, image, query].tolist()
            distance += sum(abs(x - y) for x, y in zip(box, wanted, strict=True))
            giou += 1 - plain_giou(box, wanted)
    objects = max(objects, 1)
    return {"class": negative / weights, "bbox": distance / objects, "giou": giou / objects}


def with_gradients(case):
    """The same case whose predictions collect gradients."""
    return case._replace(
        class_logits=case.class_logits.clone().requires_grad_(),
        bbox_pred=case.bbox_pred.clone().requires_grad_(),
    )


def is_close(found, expected) -> bool:
    """Equal but for rounding in double precision."""
    found, expected = (torch.as_tensor(x, dtype=torch.float64).item() for x in (found, expected))
    return math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)


@times(2)
@given(cases(coarse=False))
def test_the_loss_is_the_one_in_plain_numbers(case):
    weights, expected = case.weights, 0.0
    for layer, terms in enumerate(case.terms()):
        plain = plain_terms(case, layer)
        assert terms.keys() == plain.keys()
        assert all(is_close(terms[name], plain[name]) for name in plain)
        expected += weights["w_class"] * plain["class"]
        expected += weights["w_bbox"] * plain["bbox"] + weights["w_giou"] * plain["giou"]
    assert is_close(case.loss(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_loss_and_gradients_are_finite(dtype):
    """Also for boxes of size 0 and 1 at the image's borders, and for logits that are certain."""

    @times(1)
    @given(cases(dtype=dtype), st.sampled_from([0.0, 1.0, 100.0, 1e6, 1e30]))
    def holds(case, certainty):
        case = with_gradients(case._replace(class_logits=certainty * case.class_logits))
        loss = case.loss()
        loss.backward()
        assert loss.isfinite() and loss >= -1e-6 and loss.dtype == dtype and loss.dim() == 0
        assert case.class_logits.grad.isfinite().all() and case.bbox_pred.grad.isfinite().all()

    holds()


@times(1)
@given(cases(coarse=False), st.data())
def test_the_order_of_objects_queries_and_images_does_not_matter(case, data):
    expected = case.loss()
    orders = [data.draw(st.permutations(range(len(t["labels"])))) for t in case.targets]
    image_order = data.draw(st.permutations(range(len(orders))))
    query_order = data.draw(st.permutations(range(case.bbox_pred.shape[2])))
    targets = rearranged(case.targets, orders)
    moved = case._replace(
        class_logits=case.class_logits[:, image_order][:, :, query_order],
        bbox_pred=case.bbox_pred[:, image_order][:, :, query_order],
        targets=[targets[i] for i in image_order],
    )
    assert is_close(moved.loss(), expected)


@times(1)
@given(cases(coarse=False))
def test_boxes_learn_where_they_are_matched_and_nowhere_else(case):
    case = with_gradients(case)
    case.loss().backward()
    for gradient, matching in zip(case.bbox_pred.grad, case.match_all(), strict=True):
        for boxes, (query, _) in zip(gradient, matching, strict=True):
            learned = torch.zeros(len(boxes), dtype=torch.bool)
            learned[query] = True
            assert torch.equal(boxes.abs().amax(-1) > 0, learned)
    # every query learns a class; what pulls one class up pushes the others down as much
    assert (case.class_logits.grad.abs().amax(-1) > 0).all()
    assert case.class_logits.grad.sum(-1).abs().max() < 1e-12


@times(0.5)
@given(cases(coarse=False))
def test_gradients_are_the_slopes_of_the_loss(case):
    """The matching is held; at a place where it does not change, it has no slope."""
    model, pairs = case.model, case.match_all()
    count = model.count_boxes(case.targets, case.bbox_pred)

    def loss(class_logits, bbox_pred):
        layers = case._replace(class_logits=class_logits, bbox_pred=bbox_pred).layers
        terms = [
            model.layer_terms(layer, matching, case.targets, count)
            for layer, matching in zip(layers, pairs, strict=True)
        ]
        return sum(
            model.w_class * t["class"] + model.w_bbox * t["bbox"] + model.w_giou * t["giou"]
            for t in terms
        )

    case = with_gradients(case)
    inputs = case.class_logits, case.bbox_pred
    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)
    whole = torch.autograd.grad(case.loss(), inputs)
    for ours, expected in zip(whole, torch.autograd.grad(loss(*inputs), inputs), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


@times(1)
@given(cases(), st.sampled_from(["w_class", "w_bbox", "w_giou"]), st.floats(0, 100))
def test_the_loss_is_linear_in_its_weights(case, name, weight):
    term = {"w_class": "class", "w_bbox": "bbox", "w_giou": "giou"}[name]
    step = sum(layer[term] for layer in case.terms())
    before, old = case.loss(), getattr(case.model, name)
    setattr(case.model, name, weight)
    assert is_close(case.loss(), before + (weight - old) * step)


@times(1)
@given(cases())
def test_the_loss_of_all_layers_is_the_sum_of_theirs(case):
    alone = sum(case.model.compute_loss(layer, case.targets) for layer in case.layers)
    assert is_close(case.loss(), alone)


@times(1)
@given(cases())
def test_a_batch_twice_has_the_same_loss(case):
    """All terms are means, over queries or objects; only no object at all counts as one."""
    twice = case._replace(
        class_logits=torch.cat((case.class_logits, case.class_logits), 1),
        bbox_pred=torch.cat((case.bbox_pred, case.bbox_pred), 1),
        targets=case.targets * 2,
    )
    assert is_close(twice.loss(), case.loss())


@times(1)
@given(cases(), st.floats(-50, 50))
def test_what_is_added_to_all_logits_changes_nothing(case, added):
    assert is_close(case._replace(class_logits=case.class_logits + added).loss(), case.loss())


@times(1)
@given(cases())
def test_without_objects_only_no_object_is_learnt(case):
    case = with_gradients(case)
    empty = case._replace(targets=rearranged(case.targets, [[] for _ in case.targets]))
    loss = empty.loss()
    loss.backward()
    wanted = empty.class_logits.log_softmax(-1)[..., -1]  # its weight divides itself out
    assert is_close(loss, -case.model.w_class * wanted.mean((1, 2)).sum())
    assert not empty.bbox_pred.grad.any() and empty.class_logits.grad.any()


@times(1)
@given(cases(coarse=False, least=1))
def test_the_boxes_of_a_single_object_are_divided_by_one(case):
    """The normaliser counts the objects of the batch, and an image without any adds none."""
    targets = rearranged(case.targets, [[0]] + [[] for _ in case.targets[1:]])
    one = case._replace(targets=targets)
    for layer, terms in enumerate(one.terms()):
        query = cheapest(one, layer, 0)[0]
        found, wanted = one.bbox_pred[layer, 0, query], targets[0]["boxes"][0]
        assert is_close(terms["bbox"], (found - wanted).abs().sum())
        assert is_close(terms["giou"], 1 - plain_giou(found.tolist(), wanted.tolist()))


@times(1)
@given(cases(coarse=False, least=1))
def test_predictions_that_are_the_objects_have_no_loss(case):
    logits = torch.zeros_like(case.class_logits)
    logits[..., -1] = 60.0
    boxes = case.bbox_pred.clone()
    for image, target in enumerate(case.targets):
        assume((target["boxes"][:, 2:] > 0).all())
        for i, label in enumerate(target["labels"].tolist()):
            logits[:, image, i, label] = 120.0
            boxes[:, image, i] = target["boxes"][i]
    exact = case._replace(class_logits=logits, bbox_pred=boxes)
    assert exact.loss() < 1e-12
    assert case.loss() > exact.loss()


@pytest.mark.parametrize("weight", [2.0, 4.0, 65536.0])
def test_two_boxes_on_a_line_have_finite_gradients_whatever_the_weight(weight):
    """Their union and hull have no area; 65536 is where scaling of float16 gradients begins."""
    predicted = torch.tensor([[0.5, 0.25, 0.0, 1.0]], requires_grad=True)
    wanted = torch.tensor([[0.5, 0.5, 0.0, 0.5]])
    pair = box_cxcywh_to_xyxy(predicted), box_cxcywh_to_xyxy(wanted)
    (weight * giou_loss(*pair)).sum().backward()
    assert predicted.grad.isfinite().all()
