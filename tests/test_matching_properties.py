"""Matching: what holds for all predictions and targets, with equal costs among them."""

from itertools import permutations

import torch
from conftest import times
from drawn import cases, plain_cost, rearranged
from hypothesis import given
from hypothesis import strategies as st


def total(cost, pairs) -> float:
    """What an assignment costs."""
    query, target = pairs
    return sum(cost[q][t] for q, t in zip(query.tolist(), target.tolist(), strict=True))


def as_lists(matching):
    """Pairs of each image as plain lists."""
    return [[index.tolist() for index in pairs] for pairs in matching]


def by_target(pairs) -> dict[int, int]:
    """The query of each object."""
    query, target = pairs
    return dict(zip(target.tolist(), query.tolist(), strict=True))


@times(1)
@given(cases())
def test_every_object_has_one_query_and_no_query_two_objects(case):
    for matching in case.match_all():
        for (query, target), objects in zip(matching, case.targets, strict=True):
            assert sorted(target.tolist()) == list(range(len(objects["labels"])))
            assert query.tolist() == sorted(set(query.tolist()))
            assert query.dtype == target.dtype == torch.int64
            assert ((query >= 0) & (query < case.bbox_pred.shape[2])).all()


@times(2)
@given(cases())
def test_no_other_assignment_is_cheaper(case):
    queries = range(case.bbox_pred.shape[2])
    for layer, matching in enumerate(case.match_all()):
        for image, pairs in enumerate(matching):
            cost = plain_cost(case, layer, image)
            ways = permutations(queries, len(pairs[0]))
            cheapest = min(sum(cost[q][t] for t, q in enumerate(way)) for way in ways)
            assert abs(total(cost, pairs) - cheapest) < 1e-9


@times(1)
@given(cases(coarse=False), st.data())
def test_a_new_order_of_objects_queries_or_images_is_the_order_of_the_result(case, data):
    images, queries = case.bbox_pred.shape[1:3]
    orders = [data.draw(st.permutations(range(len(t["labels"])))) for t in case.targets]
    query_order = data.draw(st.permutations(range(queries)))
    image_order = data.draw(st.permutations(range(images)))
    expected = [[by_target(pairs) for pairs in matching] for matching in case.match_all()]

    moved = case._replace(targets=rearranged(case.targets, orders))
    for matching, before in zip(moved.match_all(), expected, strict=True):
        for pairs, order, wanted in zip(matching, orders, before, strict=True):
            assert {order[t]: q for t, q in by_target(pairs).items()} == wanted

    moved = case._replace(
        class_logits=case.class_logits[:, :, query_order],
        bbox_pred=case.bbox_pred[:, :, query_order],
    )
    for matching, before in zip(moved.match_all(), expected, strict=True):
        for pairs, wanted in zip(matching, before, strict=True):
            assert {t: query_order[q] for t, q in by_target(pairs).items()} == wanted

    moved = case._replace(
        class_logits=case.class_logits[:, image_order],
        bbox_pred=case.bbox_pred[:, image_order],
        targets=[case.targets[i] for i in image_order],
    )
    for matching, before in zip(moved.match_all(), expected, strict=True):
        assert [by_target(pairs) for pairs in matching] == [before[i] for i in image_order]


@times(1)
@given(cases(coarse=True), st.data())
def test_with_equal_costs_a_new_order_costs_the_same(case, data):
    orders = [data.draw(st.permutations(range(len(t["labels"])))) for t in case.targets]
    moved = case._replace(targets=rearranged(case.targets, orders))
    for layer, matchings in enumerate(zip(case.match_all(), moved.match_all(), strict=True)):
        for image, pairs in enumerate(zip(*matchings, strict=True)):
            before, after = plain_cost(case, layer, image), plain_cost(moved, layer, image)
            assert abs(total(before, pairs[0]) - total(after, pairs[1])) < 1e-9


@times(1)
@given(cases())
def test_layers_and_images_do_not_meet(case):
    """Each is matched as if it were alone; `match` matches the last layer."""
    together = case.match_all()
    for i, layer in enumerate(case.layers):
        assert as_lists(case.model.match(layer, case.targets)) == as_lists(together[i])
        for j, target in enumerate(case.targets):
            alone = {key: value[j : j + 1] for key, value in layer.items()}
            assert as_lists(case.model.match(alone, [target])) == as_lists([together[i][j]])
    assert as_lists(case.model.match(case.outputs, case.targets)) == as_lists(together[-1])


@times(1)
@given(cases())
def test_equal_layers_have_equal_matchings(case):
    same = case._replace(
        class_logits=case.class_logits[:1].expand(3, -1, -1, -1),
        bbox_pred=case.bbox_pred[:1].expand(3, -1, -1, -1),
    )
    first, second, third = map(as_lists, same.match_all())
    assert first == second == third


@times(1)
@given(cases(coarse=False), st.floats(-100, 100))
def test_what_is_added_to_all_logits_of_a_query_changes_nothing(case, added):
    offset = added * torch.arange(case.bbox_pred.shape[2]).double()[:, None]
    moved = case._replace(class_logits=case.class_logits + offset)
    assert list(map(as_lists, moved.match_all())) == list(map(as_lists, case.match_all()))


@times(1)
@given(cases(coarse=False))
def test_queries_that_were_left_over_could_be_missing(case):
    layer, pairs = case.layers[-1], case.model.match(case.outputs, case.targets)
    for image, (query, target) in enumerate(pairs):
        kept = {key: value[image : image + 1, query] for key, value in layer.items()}
        if len(query):
            found = case.model.match(kept, case.targets[image : image + 1])
            assert as_lists(found) == [[list(range(len(query))), target.tolist()]]


@times(1)
@given(cases(coarse=False), st.sampled_from([2.0**-10, 0.5, 3.0, 2.0**10]))
def test_only_the_ratio_of_the_costs_counts(case, factor):
    expected = list(map(as_lists, case.match_all()))
    for name in ("cost_class", "cost_bbox", "cost_giou"):
        setattr(case.model, name, factor * getattr(case.model, name))
    assert list(map(as_lists, case.match_all())) == expected


@times(1)
@given(cases(least=1))
def test_equal_predictions_are_matched_all_the_same(case):
    """Every assignment then costs the same; the result is still one to one."""
    same = case._replace(
        class_logits=torch.zeros_like(case.class_logits),
        bbox_pred=torch.full_like(case.bbox_pred, 0.5),
    )
    for matching in same.match_all():
        for (query, target), objects in zip(matching, case.targets, strict=True):
            assert len(set(query.tolist())) == len(set(target.tolist())) == len(objects["labels"])


@times(1)
@given(cases(coarse=False))
def test_predictions_that_are_the_objects_find_them(case):
    """Object i is what query N-1-i predicts."""
    logits, boxes = torch.zeros_like(case.class_logits), torch.rand_like(case.bbox_pred)
    for image, target in enumerate(case.targets):
        for i, label in enumerate(target["labels"].tolist()):
            logits[:, image, -1 - i, label] = 20.0
            boxes[:, image, -1 - i] = target["boxes"][i]
    exact = case._replace(class_logits=logits, bbox_pred=boxes)
    last = boxes.shape[2] - 1
    for matching in exact.match_all():
        for pairs in matching:
            assert by_target(pairs) == {i: last - i for i in range(len(pairs[0]))}
