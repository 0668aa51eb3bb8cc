"""The ablations: each takes out what it says, and a difference inside the noise is not claimed."""

import pytest
import torch

from detr_steps import box_cxcywh_to_xyxy, box_iou, generalized_box_iou
from detr_steps.notebook.attention import silenced
from detr_steps.notebook.results import ablation_table, read_ablations, summarize
from detr_steps.training.small import small_detr
from experiments import ablations
from experiments.ablations import VARIANTS, broken_giou


def variant(name):
    torch.manual_seed(0)
    return small_detr(6, **VARIANTS[name])


def test_each_variant_lacks_its_part():
    image = torch.rand(1, 3, 96, 96)
    target = [{"labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.3, 0.3]])}]
    base = variant("DETR")
    outputs = base(image)
    assert outputs["pos_emb"].abs().sum() > 0
    assert len(base.encoder) == 1
    terms = base.loss_terms(outputs, target)
    assert len(terms) == 2
    assert base.class_weight[-1].item() == pytest.approx(0.1)
    assert variant("without positions")(image)["pos_emb"].abs().sum() == 0
    assert len(variant("without encoder").encoder) == 0
    alone = variant("without deep supervision")
    assert alone(image)["aux_outputs"] == []
    assert alone.loss_terms(alone(image), target) == [terms[-1]]
    assert variant("no-object weight 1").class_weight[-1].item() == pytest.approx(1.0)


def test_the_broken_giou_reaches_matching_and_loss():
    near, far = torch.tensor([[[0.2, 0.2, 0.1, 0.1]], [[0.8, 0.8, 0.1, 0.1]]])
    base, broken = variant("DETR"), variant("broken GIoU")
    assert broken.pair_giou(near, far).item() == pytest.approx(-1.0)
    assert -1 < base.pair_giou(near, far).item() < 0
    (l1, giou), (base_l1, base_giou) = (model.box_losses(near, far) for model in (broken, base))
    assert giou.item() == pytest.approx(2.0) and base_giou.item() < 1.99
    assert torch.equal(l1, base_l1)
    boxes = 0.1 + 0.5 * torch.rand(2, 7, 4)
    l1, giou = broken.box_losses(*boxes)
    corners = [box_cxcywh_to_xyxy(each) for each in boxes]
    assert torch.allclose(giou, 2 - 2 * box_iou(*corners).diagonal())


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
    lines = ablation_table(result).splitlines()
    assert lines[3].endswith("| within the noise |") and lines[4].endswith("| shows |")


def test_the_stored_results_have_five_seeds_of_every_variant():
    rows = read_ablations()
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
            silent = model(image)
        after = model(image)
    assert silent["pos_emb"].abs().sum() == 0
    assert not torch.equal(silent["bbox_pred"], before["bbox_pred"])
    assert torch.equal(after["bbox_pred"], before["bbox_pred"])
