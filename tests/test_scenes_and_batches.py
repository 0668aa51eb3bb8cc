"""Scenes that never change, and batches that the step decides."""

import hashlib

import numpy as np
import pytest
import torch

from detr_steps.training.batches import StepSampler, collate, flip_some
from detr_steps.training.evaluation import count_duplicates
from detr_steps.training.scenes import CLASSES, Scenes, inside_shape
from detr_steps.training.trainer import dense_targets


def test_scenes_are_the_same_on_every_machine():
    digest = hashlib.sha256()
    for index in range(40):
        picture, labels, boxes = Scenes(40).draw(index)
        digest.update(picture.tobytes())
        digest.update(labels.astype("<i8").tobytes() + boxes.astype("<f8").tobytes())
    assert digest.hexdigest()[:16] == "2fce96dd70f78cfb"


def test_a_scene_depends_on_seed_split_and_index_alone():
    one, other = Scenes(5), Scenes(5000)
    image = one[3][0]
    np.random.seed(1)  # the state that a scene must not depend on
    torch.manual_seed(1)
    _ = other[2]
    assert torch.equal(other[3][0], image)
    for different in (Scenes(5, "test"), Scenes(5, "choose"), Scenes(5, seed=1)):
        assert not torch.equal(one[3][0], different[3][0])


def test_targets_are_valid_and_boxes_fit_their_shapes():
    scenes = Scenes(200)
    seen = set()
    for image, target in (scenes[i] for i in range(200)):
        assert list(image.shape) == [3, 96, 96] and image.isfinite().all()
        assert 1 <= len(target["labels"]) <= 5
        cx, cy, w, h = target["boxes"].unbind(-1)
        edges = torch.stack((cx - w / 2, cy - h / 2, 1 - cx - w / 2, 1 - cy - h / 2))
        assert (edges > -1e-6).all()
        seen |= set(target["labels"].tolist())
    assert seen == set(range(len(CLASSES)))


def test_every_shape_fills_its_box():
    y, x = (np.mgrid[:101, :101] - 50) / 50.0
    for name in CLASSES:
        rows, columns = inside_shape(name, x, y).nonzero()
        assert max(rows.min(), columns.min()) <= 2 and min(rows.max(), columns.max()) >= 98, name


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="split: expected one of train, choose, test, found 'dev'"):
        Scenes(3, "dev")
    with pytest.raises(IndexError, match=r"0\.\.2, found 3"):
        Scenes(3)[3]


def test_collate_pads_and_marks():
    items = [(torch.ones(3, h, w), {"boxes": torch.rand(1, 4)}) for h, w in ((4, 6), (5, 3))]
    images, mask, targets = collate(items)
    assert list(images.shape) == [2, 3, 5, 6] and len(targets) == 2
    assert torch.equal(images[:, 0] == 0, mask)
    assert (~mask).sum((1, 2)).tolist() == [24, 15]
    assert collate([items[0], items[0]])[1] is None


def test_steps_go_on_where_they_stopped_and_processes_share_them():
    whole = list(StepSampler(50, 8, 0, 20, seed=3))
    assert list(StepSampler(50, 8, 13, 20, seed=3)) == whole[13:]
    shares = [list(StepSampler(50, 8, 0, 20, 3, process, 2)) for process in range(2)]
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(b) for b in whole]
    epoch = [index for batch in whole[:6] for index in batch]
    assert len(set(epoch)) == 48  # no image twice in an epoch
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


def test_a_cell_takes_the_class_of_the_smallest_box_over_it():
    target = {
        "labels": torch.tensor([2, 1]),
        "boxes": torch.tensor([[0.25, 0.25, 0.3, 0.3], [0.5, 0.5, 1.0, 0.5]]),
    }
    dense = dense_targets([target], (4, 4), num_classes=3)[0]
    assert dense.tolist() == [[2, 2, 3, 3], [2, 2, 1, 1], [1, 1, 1, 1], [3, 3, 3, 3]]


def test_a_duplicate_is_a_second_box_of_the_same_class_on_the_same_place():
    box = [0.0, 0.0, 10.0, 10.0]
    boxes = torch.tensor([box, [0.0, 0.0, 10.0, 9.0], box, [20.0, 0.0, 30.0, 10.0], box])
    labels = torch.tensor([1, 1, 2, 1, 1])
    one = {"boxes": boxes, "labels": labels}
    assert count_duplicates([one]) == 2  # the second and the last; the third is of another class
    assert count_duplicates([one, one]) == 4
    assert count_duplicates([one], iou=0.95) == 1
    assert count_duplicates([{"boxes": boxes[:0], "labels": labels[:0]}]) == 0
