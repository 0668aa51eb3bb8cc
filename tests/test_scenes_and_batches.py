"""Scenes that never change, and batches that the step decides."""

import hashlib
import tracemalloc

import numpy as np
import pytest
import torch

from detr_steps import box_cxcywh_to_xyxy, box_iou
from detr_steps.training import scenes as scenes_module
from detr_steps.training.batches import StepSampler, collate, flip_some
from detr_steps.training.evaluation import count_duplicates, scores
from detr_steps.training.scenes import CLASSES, LONGEST, MAX_IOU, SHORTEST, Scenes, iou, outline
from detr_steps.training.trainer import dense_owners, dense_pairs


def test_scenes_are_the_same_on_every_machine():
    digest = hashlib.sha256()
    for index in range(40):
        picture, labels, boxes = Scenes(40).draw(index)
        digest.update(picture.tobytes())
        digest.update(labels.astype("<i8").tobytes() + boxes.astype("<f8").tobytes())
    assert digest.hexdigest()[:16] == "711726a06f4dba69"


def test_a_scene_depends_on_seed_split_and_index_alone():
    one, other = Scenes(5), Scenes(5000)
    image = one[3][0]
    np.random.seed(1)  # the state that a scene must not depend on
    torch.manual_seed(1)
    _ = other[2]
    assert torch.equal(other[3][0], image)
    for different in (Scenes(5, "test"), Scenes(5, "choose"), Scenes(5, seed=1)):
        assert not torch.equal(one[3][0], different[3][0])


def test_what_is_kept_of_scenes_is_small_bounded_and_gives_the_same_again(monkeypatch):
    scenes, first = Scenes(40), []
    tracemalloc.start()
    try:
        for index in range(20):
            first.append(scenes[index][0].sum())
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 20 * 2048 < kept < 20 * 6 * 1024 and scenes_module.KEPT * 4096 <= 2**27
    assert len(scenes.plans) == 20
    monkeypatch.setattr(scenes_module, "KEPT", 22)
    again, fresh = [[each[i][0] for i in range(40)] for each in (scenes, Scenes(40))]
    assert list(scenes.plans) == list(range(22))
    assert all(map(torch.equal, again, fresh))
    assert [image.sum() for image in again[:20]] == first
    drawn = [scenes.plans[index].drawn for index in range(22)]
    monkeypatch.setattr(Scenes, "plan", lambda *_: pytest.fail("a kept scene is planned again"))
    assert torch.equal(scenes[21][0], fresh[21]) and len(drawn[0]) == 128 * 128 // 8


def test_targets_are_valid():
    scenes = Scenes(200)
    seen = set()
    for image, target in (scenes[i] for i in range(200)):
        assert list(image.shape) == [3, 128, 128] and image.isfinite().all()
        assert 1 <= len(target["labels"]) <= 6
        cx, cy, w, h = target["boxes"].unbind(-1)
        edges = torch.stack((cx - w / 2, cy - h / 2, 1 - cx - w / 2, 1 - cy - h / 2))
        assert (edges > -1e-6).all()
        corners = box_cxcywh_to_xyxy(target["boxes"])
        assert (box_iou(corners, corners).fill_diagonal_(0) <= MAX_IOU + 1e-6).all()
        seen |= set(target["labels"].tolist())
    assert seen == set(range(len(CLASSES)))


def test_sides_are_spread_evenly_over_doublings():
    sides = torch.cat([Scenes(400)[i][1]["boxes"][:, 2:].flatten() for i in range(400)])
    assert sides.min() >= SHORTEST and sides.max() <= LONGEST
    middle = (SHORTEST * LONGEST) ** 0.5
    # more than half are short: a crowded scene has less room for long ones
    assert 0.45 < (sides < middle).float().mean() < 0.6


@pytest.mark.parametrize(("width", "height"), [(90, 60), (19, 19)])
def test_every_outline_touches_the_four_sides_of_its_box_and_is_hollow(width, height):
    for name in CLASSES:
        y, x = np.mgrid[:height, :width]
        mask = outline(name, float(width), float(height), x + 0.5, y + 0.5)
        assert mask.any(1)[[0, -1]].all() and mask.any(0)[[0, -1]].all(), name
        assert not mask[height // 2, width // 2], name


def test_outlines_are_what_is_drawn_and_all_of_one_colour():
    scenes = Scenes(20)
    for index in range(20):
        picture, labels, boxes = scenes.draw(index)
        drawn = scenes.outlines(labels, boxes).any(0)
        spread = np.ptp(picture[drawn].astype(int), axis=0)
        assert (spread <= 17).all()  # the noise
        distance = np.abs(picture[~drawn].astype(int) - picture[drawn].mean(0)).sum(-1)
        assert distance.min() > 100


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="split: expected one of train, choose, test, found 'dev'"):
        Scenes(3, "dev")
    with pytest.raises(IndexError, match=r"0\.\.2, found 3"):
        Scenes(3)[3]


def test_the_scenes_to_train_choose_and_test_on_are_others():
    images = [Scenes(1, split)[0][0] for split in ("train", "choose", "test")]
    pairs = [(images[i], images[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert not any(torch.equal(one, other) for one, other in pairs)
    assert Scenes(3, "test", seed=5).source == ("test", 5)


@pytest.mark.parametrize(
    ("other", "expected"),
    [([0, 0, 4, 2], 1), ([4, 0, 4, 2], 0), ([9, 9, 1, 1], 0), ([2, 0, 4, 2], 1 / 3)],
)
def test_two_boxes_of_a_scene_overlap_by_their_iou(other, expected):
    assert iou(np.array([0.0, 0, 4, 2]), np.array(other, float)) == pytest.approx(expected)


def test_collate_pads_and_marks():
    items = [(torch.ones(3, h, w), {"boxes": torch.rand(1, 4)}) for h, w in ((4, 6), (5, 3))]
    images, mask, targets = collate(items)
    assert list(images.shape) == [2, 3, 32, 32] and len(targets) == 2  # whole cells of any map
    assert torch.equal(images[:, 0] == 0, mask)
    assert (~mask).sum((1, 2)).tolist() == [24, 15]
    assert collate([items[0], items[0]])[1] is None
    assert torch.equal(collate(items[:1])[0], items[0][0][None])


def test_steps_go_on_where_they_stopped_and_processes_share_them():
    whole = list(StepSampler(50, 8, 0, 20, seed=3))
    assert list(StepSampler(50, 8, 13, 20, seed=3)) == whole[13:]
    assert len(StepSampler(50, 8, 13, 20, seed=3)) == 7
    shares = [list(StepSampler(50, 8, 0, 20, 3, process, 2)) for process in range(2)]
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(b) for b in whole]
    epoch = [index for batch in whole[:6] for index in batch]
    assert len(set(epoch)) == 48  # no image twice in an epoch
    many = [flip for step in range(200) for flip in StepSampler(50, 8, 0, 200, 3).flips(step)]
    assert 0.45 < sum(many) / len(many) < 0.55
    flips = StepSampler(50, 8, 0, 20, 3).flips(7)
    halves = [StepSampler(50, 8, 0, 20, 3, process, 2).flips(7) for process in range(2)]
    assert flips == [halves[i % 2][i // 2] for i in range(8)]
    with pytest.raises(ValueError, match="batch_size: expected at most the 5 images, found 8"):
        StepSampler(5, 8, 0, 1)


def test_flips_mirror_image_and_box_together():
    images = torch.rand(2, 3, 4, 6)
    targets = [{"boxes": torch.tensor([[0.2, 0.4, 0.1, 0.3]])} for _ in range(2)]
    flipped, mirrored = flip_some(images, targets, [True, False])
    assert torch.equal(flipped[0], images[0].flip(-1)) and torch.equal(flipped[1], images[1])
    assert torch.allclose(mirrored[0]["boxes"], torch.tensor([[0.8, 0.4, 0.1, 0.3]]))
    assert torch.equal(mirrored[1]["boxes"], targets[1]["boxes"])
    assert torch.equal(targets[0]["boxes"], torch.tensor([[0.2, 0.4, 0.1, 0.3]]))


def test_a_cell_is_paired_with_the_smallest_box_over_its_centre():
    target = {
        "labels": torch.tensor([2, 1]),
        "boxes": torch.tensor([[0.25, 0.25, 0.3, 0.3], [0.5, 0.5, 1.0, 0.5]]),
    }
    everywhere = torch.ones(1, 4, 4, dtype=torch.bool)
    ((cell, index),) = dense_pairs(dense_owners([target], everywhere))
    assert cell.tolist() == [0, 1, 4, 5, 6, 7, 8, 9, 10, 11]
    assert index.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    padded = torch.zeros(1, 5, 6, dtype=torch.bool)
    padded[:, :4, :4] = True
    ((cell, again),) = dense_pairs(dense_owners([target], padded))
    assert cell.tolist() == [0, 1, 6, 7, 8, 9, 12, 13, 14, 15]
    assert torch.equal(index, again)


def test_a_duplicate_is_a_second_box_of_the_same_class_on_the_same_place():
    box = [0.0, 0.0, 10.0, 10.0]
    boxes = torch.tensor([box, [0.0, 0.0, 10.0, 9.0], box, [20.0, 0.0, 30.0, 10.0], box])
    labels = torch.tensor([1, 1, 2, 1, 1])
    one = {"boxes": boxes, "labels": labels}
    assert count_duplicates([one]) == 2  # the second and the last; the third is of another class
    assert count_duplicates([one, one]) == 4
    assert count_duplicates([one], iou=0.95) == 1
    assert count_duplicates([{"boxes": boxes[:0], "labels": labels[:0]}]) == 0


def test_a_data_set_says_from_which_size_on_objects_are_large():
    box = torch.tensor([[0.0, 0.0, 80.0, 80.0]])
    wanted = [{"boxes": box, "labels": torch.tensor([1])}]
    found = [{**wanted[0], "scores": torch.tensor([0.9])}]
    coco, scenes = scores(found, wanted), scores(found, wanted, Scenes.large)
    assert coco["map"] == scenes["map"] == pytest.approx(100)
    # below 0 where there is no object of that size
    assert coco["map_large"] < 0 and scenes["map_large"] == pytest.approx(100)
    assert coco["map_medium"] == pytest.approx(100) and scenes["map_medium"] < 0
