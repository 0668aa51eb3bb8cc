"""Steps 7 and 8: boxes, matching, loss."""

import os
import tempfile
from itertools import permutations

import pytest
import torch
import torch.multiprocessing as mp
import torch.nn.functional as F
import torchvision
from conftest import make_targets, small_step
from torch import distributed as dist

from detr_steps import box_cxcywh_to_xyxy, box_iou, generalized_box_iou, giou_loss
from detr_steps.step8_set_loss import mean_over_processes


def predictions(layers=1, batch=2, queries=12, classes=5, **options):
    return (
        torch.randn(layers, batch, queries, classes + 1, **options),
        torch.rand(layers, batch, queries, 4, **options),
    )


def as_outputs(class_logits, bbox_pred):
    *aux, last = (
        {"class_logits": c, "bbox_pred": b} for c, b in zip(class_logits, bbox_pred, strict=True)
    )
    return {**last, "aux_outputs": aux}


def test_boxes_are_torchvisions():
    a, b = 0.1 + 0.8 * torch.rand(2, 40, 4, dtype=torch.float64)
    ours, other = box_cxcywh_to_xyxy(a), box_cxcywh_to_xyxy(b)
    torch.testing.assert_close(ours, torchvision.ops.box_convert(a, "cxcywh", "xyxy"))
    torch.testing.assert_close(box_iou(ours, other), torchvision.ops.box_iou(ours, other))
    expected = torchvision.ops.generalized_box_iou(ours, other)
    torch.testing.assert_close(generalized_box_iou(ours, other), expected)
    torch.testing.assert_close(giou_loss(ours, other), 1 - expected.diagonal())


def test_boxes_work_on_leading_axes():
    a, b = torch.rand(3, 2, 5, 4), torch.rand(2, 7, 4)
    all_at_once = generalized_box_iou(a, b)
    assert list(all_at_once.shape) == [3, 2, 5, 7]
    torch.testing.assert_close(all_at_once[2, 1], generalized_box_iou(a[2, 1], b[1]))


def test_boxes_without_area_give_finite_values_and_gradients():
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.2, 0.2, 0.2, 0.6], [0.1, 0.1, 0.4, 0.4]])
    a, b = boxes.clone().requires_grad_(), boxes.clone().requires_grad_()
    value = generalized_box_iou(a, b)
    value.sum().backward()
    assert value.isfinite().all() and a.grad.isfinite().all() and b.grad.isfinite().all()
    assert box_iou(boxes, boxes)[0, 0] == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_matching_is_the_cheapest_of_all(seed):
    torch.manual_seed(seed)
    model = small_step(7, num_queries=5)
    class_logits, bbox_pred = predictions(queries=5)
    targets = make_targets(3, 2)
    pairs = model.match(as_outputs(class_logits, bbox_pred), targets)
    for i, (target, (query, index)) in enumerate(zip(targets, pairs, strict=True)):
        count = len(target["labels"])
        prob = class_logits[0, i].softmax(-1)
        corners = [
            torchvision.ops.box_convert(boxes, "cxcywh", "xyxy")
            for boxes in (bbox_pred[0, i], target["boxes"])
        ]
        cost = (
            -2 * prob[:, target["labels"]]
            + 5 * torch.cdist(bbox_pred[0, i], target["boxes"], p=1)
            - 2 * torchvision.ops.generalized_box_iou(*corners)
        )
        totals = [cost[list(way), range(count)].sum() for way in permutations(range(5), count)]
        torch.testing.assert_close(cost[query, index].sum(), min(totals))
        assert query.dtype == index.dtype == torch.int64
        assert sorted(index.tolist()) == list(range(count))
        assert len(set(query.tolist())) == count


def test_all_layers_and_images_at_once_equal_one_by_one():
    model, targets = small_step(8), make_targets(4, 0, 1)
    class_logits, bbox_pred = predictions(layers=3, batch=3)
    outputs = as_outputs(class_logits, bbox_pred)
    together = model.match_layers([*outputs["aux_outputs"], outputs], targets)
    for i in range(3):
        for j in range(3):
            outputs = as_outputs(class_logits[[i], j : j + 1], bbox_pred[[i], j : j + 1])
            alone = model.match(outputs, targets[j : j + 1])[0]
            assert [p.tolist() for p in together[i][j]] == [p.tolist() for p in alone]


def test_no_image_meets_the_objects_of_another():
    model = small_step(7)
    class_logits, bbox_pred = predictions(batch=3)
    labels, boxes = torch.zeros(3, 4, dtype=torch.int64), torch.rand(3, 4, 4)
    cost = model.pair_costs(class_logits, bbox_pred, labels, boxes)
    assert list(cost.shape) == [1, 3, 12, 4]
    boxes[2] = 0.5
    changed = model.pair_costs(class_logits, bbox_pred, labels, boxes)
    assert torch.equal(cost[:, :2], changed[:, :2]) and not torch.equal(cost[:, 2], changed[:, 2])


def test_the_loss_by_libraries_layer_by_layer():
    model, targets = small_step(8), make_targets(3, 1)
    class_logits, bbox_pred = predictions(layers=3)
    outputs = as_outputs(class_logits, bbox_pred)
    weight = torch.tensor([1.0] * 5 + [0.1])
    expected = 0
    for layer in [*outputs["aux_outputs"], outputs]:
        classes = torch.full((2, 12), 5)
        boxes = []
        for i, (query, index) in enumerate(model.match(layer, targets)):
            classes[i, query] = targets[i]["labels"][index]
            boxes.append((layer["bbox_pred"][i, query], targets[i]["boxes"][index]))
        predicted, wanted = (torch.cat(parts) for parts in zip(*boxes, strict=True))
        corners = (torchvision.ops.box_convert(b, "cxcywh", "xyxy") for b in (predicted, wanted))
        giou = torchvision.ops.generalized_box_iou_loss(*corners, reduction="sum") / 4
        l1 = F.l1_loss(predicted, wanted, reduction="sum") / 4
        logits = layer["class_logits"].transpose(1, 2)
        expected += 2 * F.cross_entropy(logits, classes, weight) + 5 * l1 + 2 * giou
    torch.testing.assert_close(model.compute_loss(outputs, targets), expected)


def test_the_losses_of_boxes_are_pair_by_pair():
    predicted = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.25, 0.5, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    wanted = torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.75, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]])
    l1, giou = small_step(8).box_losses(predicted, wanted)
    assert l1.tolist() == [0, 0.5, 1]
    torch.testing.assert_close(giou, torch.tensor([0, 1, 0.75]))


def test_the_loss_is_the_sum_over_the_layers():
    model, targets = small_step(8), make_targets(3, 1)
    outputs = as_outputs(*predictions(layers=4))
    terms = model.loss_terms(outputs, targets)
    assert len(terms) == 4
    layers = [2 * one["class"] + 5 * one["bbox"] + 2 * one["giou"] for one in terms]
    torch.testing.assert_close(model.compute_loss(outputs, targets), sum(layers))


@pytest.mark.parametrize(
    ("sizes", "count"),
    [((0,), 1), ((1,), 1), ((2,), 2), ((0, 0), 1), ((0, 1), 1), ((1, 1), 2), ((3, 0, 2), 5)],
)
def test_the_boxes_terms_are_divided_by_the_objects_and_by_1_at_least(sizes, count):
    model, targets = small_step(8), make_targets(*sizes)
    outputs = as_outputs(*predictions(batch=len(sizes)))
    assert model.count_boxes(targets, outputs["bbox_pred"]) == count
    l1, giou = 0.0, 0.0
    for i, (query, index) in enumerate(model.match(outputs, targets)):
        predicted, wanted = outputs["bbox_pred"][i, query], targets[i]["boxes"][index]
        corners = (torchvision.ops.box_convert(b, "cxcywh", "xyxy") for b in (predicted, wanted))
        l1 += F.l1_loss(predicted, wanted, reduction="sum").item()
        giou += torchvision.ops.generalized_box_iou_loss(*corners, reduction="sum").item()
    (terms,) = model.loss_terms(outputs, targets)
    assert terms["bbox"].item() == pytest.approx(l1 / count, rel=1e-5)
    assert terms["giou"].item() == pytest.approx(giou / count, rel=1e-5)
    loss = 2 * terms["class"].item() + (5 * l1 + 2 * giou) / count
    assert model.compute_loss(outputs, targets).item() == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("sizes", [(0, 3), (0, 0)])
def test_images_without_objects_are_valid(sizes, images):
    model = small_step(8)
    loss = model.compute_loss(model(images), make_targets(*sizes))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_a_box_without_area_is_valid(images):
    model, targets = small_step(8), make_targets(2, 1)
    targets[0]["boxes"][0, 2:] = 0.0
    loss = model.compute_loss(model(images), targets)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_as_many_objects_as_queries_is_valid():
    model, targets = small_step(8, num_queries=12), make_targets(12, 12)
    assert [len(q) for q, _ in model.match(as_outputs(*predictions()), targets)] == [12, 12]


def test_inputs_are_left_as_they_were():
    model, targets = small_step(8), make_targets(3, 1)
    outputs = as_outputs(*predictions(layers=2))
    copies = [{key: value.clone() for key, value in target.items()} for target in targets]
    logits = outputs["class_logits"].clone()
    model.compute_loss(outputs, targets)
    assert all(
        torch.equal(t[key], c[key]) for t, c in zip(targets, copies, strict=True) for key in t
    )
    assert torch.equal(outputs["class_logits"], logits)


def share_objects(rank: int, file: str, results: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    mean = mean_over_processes(torch.tensor((1.0, 6.0)[rank]))
    torch.save(mean, f"{results}.{rank}")
    dist.destroy_process_group()


@pytest.mark.parametrize(("available", "initialized"), [(False, True), (True, False)])
def test_one_process_asks_no_other(monkeypatch, available, initialized):
    monkeypatch.setattr(dist, "is_available", lambda: available)
    monkeypatch.setattr(dist, "is_initialized", lambda: initialized)
    assert mean_over_processes(torch.tensor(2.5)).item() == 2.5


def test_a_mean_over_three_processes_leaves_the_number_itself(monkeypatch):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "all_reduce", lambda value: value.add_(3.5))
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    value = torch.tensor(2.5)
    assert mean_over_processes(value).item() == 2 and value.item() == 2.5


@pytest.mark.skipif(os.name == "nt", reason="gloo's file store needs a POSIX file")
def test_boxes_are_normalised_by_the_objects_of_all_processes():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(share_objects, (f"{folder}/store", f"{folder}/mean"), nprocs=2)
        means = [torch.load(f"{folder}/mean.{rank}").item() for rank in range(2)]
    assert means == [3.5, 3.5]
    assert mean_over_processes(torch.tensor(2.5)).item() == 2.5
