"""The ablations: each takes out what it says, and a difference inside the noise is not claimed."""

from contextlib import contextmanager

import pytest
import torch

from detr_steps import generalized_box_iou, giou_loss
from detr_steps.notebook.attention import silenced
from detr_steps.training.small import small_detr
from experiments import ablations
from experiments.ablations import VARIANTS, broken_giou, read_results, summarize, table


@contextmanager
def variant(name):
    change, arguments = VARIANTS[name]
    torch.manual_seed(0)
    model = small_detr(6, **arguments)
    with change(model):
        yield model


def test_each_variant_lacks_its_part():
    image = torch.rand(1, 3, 96, 96)
    target = [{"labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.3, 0.3]])}]
    with variant("DETR") as base:
        outputs = base(image)
        assert outputs["pos_emb"].abs().sum() > 0
        assert len(base.encoder) == 1
        assert len(base.loss_terms(outputs, target)["class"]) == 2
        assert base.class_weight[-1].item() == pytest.approx(0.1)
    with variant("without positions") as model:
        assert model(image)["pos_emb"].abs().sum() == 0
    with variant("without encoder") as model:
        assert len(model.encoder) == 0
    with variant("without deep supervision") as model:
        outputs = model(image)
        assert len(outputs["aux_outputs"]) == 1
        assert len(model.loss_terms(outputs, target)["class"]) == 1
    assert len(model.loss_terms(outputs, target)["class"]) == 2  # outside of the block
    with variant("no-object weight 1") as model:
        assert model.class_weight[-1].item() == pytest.approx(1.0)
    corners = torch.tensor([[0.1, 0.1, 0.2, 0.2]]), torch.tensor([[0.8, 0.8, 0.9, 0.9]])
    with variant("broken GIoU"):
        assert giou_loss(*corners).item() == pytest.approx(2.0)
    assert giou_loss(*corners).item() < 1.99


def test_the_broken_giou_cannot_tell_near_from_far():
    box = torch.tensor([[0.1, 0.1, 0.2, 0.2]])
    others = torch.tensor([[0.3, 0.1, 0.4, 0.2], [0.8, 0.8, 0.9, 0.9]])
    assert broken_giou(box, others).tolist() == [[-1.0, -1.0]]
    near, far = generalized_box_iou(box, others)[0]
    assert near > far


def test_all_variants_are_trained_and_evaluated(monkeypatch):
    losses = []

    class Recorded(ablations.Trainer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, report=self.record, **kwargs)

        def record(self, stage, step, steps, loss):
            losses.append((stage, loss))

    monkeypatch.setattr(ablations, "Trainer", Recorded)
    threads = torch.get_num_threads()
    rows = ablations.train_variants(0, steps=1, pretrain_steps=5, scenes=16, threads=threads)
    assert [row["variant"] for row in rows] == list(VARIANTS)
    assert all(0 <= row["map"] <= 100 for row in rows)
    assert [stage for stage, _ in losses] == ["pretrain"] * 5 + ["train"] * len(VARIANTS)
    first = dict(zip(VARIANTS, (loss for _, loss in losses[5:]), strict=True))
    assert len(set(first.values())) == len(VARIANTS)  # each of them starts with another loss


def test_only_a_difference_outside_of_the_noise_is_claimed():
    values = {"DETR": (50, 61, 52), "without encoder": (50, 62, 51), "broken GIoU": (39, 50, 41.5)}
    rows = [
        {"variant": variant, "seed": str(seed), "map": str(ap)}
        for variant, aps in values.items()
        for seed, ap in reversed(list(enumerate(aps)))
    ]
    result = summarize(rows)
    assert list(result) == list(values)
    assert result["DETR"].values == [50, 61, 52]
    assert not result["without encoder"].shows and result["broken GIoU"].shows
    broken = result["broken GIoU"]
    assert broken.difference == pytest.approx(-10.833, abs=1e-3)
    half = 9.925 * 0.28868 / 3**0.5  # Student's t of 99% and 2 degrees of freedom, and the spread
    assert broken.high - broken.difference == pytest.approx(half, rel=1e-3)
    assert broken.difference - broken.low == pytest.approx(half, rel=1e-3)
    lines = table(result).splitlines()
    assert lines[3].endswith("| within the noise |") and lines[4].endswith("| shows |")


def test_the_stored_results_have_five_seeds_of_every_variant():
    rows = read_results()
    for name in VARIANTS:
        seeds = {row["seed"] for row in rows if row["variant"] == name}
        assert len(seeds) >= 5, name
    assert len({row["steps"] for row in rows}) == 1


def test_a_silenced_module_answers_zeros_only_inside_of_the_block():
    model = small_detr(6).eval()
    image = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        before = model(image)
        with silenced(model.position_embedding, model.encoder[0].self_attn):
            hushed = model(image)
        after = model(image)
    assert hushed["pos_emb"].abs().sum() == 0
    assert not torch.equal(hushed["bbox_pred"], before["bbox_pred"])
    assert torch.equal(after["bbox_pred"], before["bbox_pred"])
