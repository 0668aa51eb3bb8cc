"""The ablations: each takes out what it says, and a difference inside the noise is not claimed."""

from concurrent.futures import Future

import pytest
import torch

from detr_steps import box_cxcywh_to_xyxy, box_iou, generalized_box_iou
from detr_steps.notebook.attention import silenced
from detr_steps.notebook.results import (
    COLUMNS,
    MEASURES,
    ablation_table,
    read_ablations,
    summarize,
)
from detr_steps.training.small import small_detr
from experiments import ablations
from experiments.ablations import VARIANTS, Study, broken_giou, write_row


def variant(name):
    torch.manual_seed(0)
    return small_detr(6, **VARIANTS[name])


def test_each_variant_lacks_its_part():
    image = torch.rand(1, 3, 64, 64)
    target = [{"labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.3, 0.3]])}]
    base = variant("DETR")
    outputs = base(image)
    assert outputs["pos_emb"].abs().sum() > 0
    assert len(base.encoder) == len(base.decoder.layers) == 3
    terms = base.loss_terms(outputs, target)
    assert len(terms) == 3
    assert base.class_weight[-1].item() == pytest.approx(0.1)
    assert variant("without positions")(image)["pos_emb"].abs().sum() == 0
    assert len(variant("without encoder").encoder) == 0
    assert len(variant("one decoder layer").decoder.layers) == 1
    alone = variant("without deep supervision")
    assert alone(image)["aux_outputs"] == []
    assert alone.loss_terms(alone(image), target) == [terms[-1]]
    assert variant("no-object weight 1").class_weight[-1].item() == pytest.approx(1.0)
    flat = variant("without L1")
    assert flat.cost_bbox == 0
    rest = sum(2 * term["class"] + 2 * term["giou"] for term in flat.loss_terms(outputs, target))
    assert flat.compute_loss(outputs, target).item() == pytest.approx(rest.item())


@pytest.mark.parametrize(
    ("name", "later"), [("positions at the input alone", 0), ("positions at the input as well", 1)]
)
def test_positions_at_the_input_reach_the_features_and_what_follows_as_named(name, later):
    image = torch.rand(1, 3, 64, 64)
    base, moved = variant("DETR").eval(), variant(name).eval()
    with torch.no_grad():
        outputs, others = base(image), moved(image)
    assert torch.equal(others["mem_pos"], later * outputs["mem_pos"])
    assert torch.allclose(others["features"], outputs["features"] + outputs["pos_emb"], atol=1e-6)


def test_queries_without_self_attention_do_not_see_each_other():
    image = torch.rand(1, 3, 64, 64)
    for name, alone in (("DETR", False), ("without the queries' self-attention", True)):
        model = variant(name).eval()
        with torch.no_grad():
            before = model(image)["bbox_pred"][:, 1:]
            model.queries[0] += 1
            after = model(image)["bbox_pred"][:, 1:]
        assert torch.equal(before, after) == alone, name


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


def test_all_variants_are_trained_and_runs_that_exist_are_not_repeated(monkeypatch, tmp_path):
    losses, out = [], tmp_path / "runs.csv"

    class Recorded(ablations.Trainer):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, report=self.record, **kwargs)

        def record(self, stage, step, steps, loss):
            losses.append((stage, loss))

    monkeypatch.setattr(ablations, "Trainer", Recorded)
    monkeypatch.setattr(ablations, "CHOOSE_SCENES", 4)
    threads, study = torch.get_num_threads(), Study(steps=1, pretrain_steps=2, scenes=16)
    out.write_text(",".join(COLUMNS) + "\n")
    ablations.run_seed(0, list(VARIANTS), study, threads, out)
    rows = read_ablations(out)
    assert [row["variant"] for row in rows] == list(VARIANTS)
    assert all(0 <= float(row["map"]) <= 100 for row in rows)
    assert [stage for stage, _ in losses].count(
        "pretrain"
    ) == 2 * 8  # three variants share DETR's warm start, one has none
    first = [loss for stage, loss in losses if stage == "train"]
    assert len(set(first)) == len(VARIANTS)  # each of them starts with another loss

    asked = []
    monkeypatch.setattr(ablations, "ProcessPoolExecutor", lambda *_, **__: Inline(asked))
    one_is_missing = out.read_text().splitlines(keepends=True)
    out.write_text("".join(one_is_missing[:3] + one_is_missing[4:]))
    monkeypatch.setattr(ablations, "report", lambda rows: f"{len(rows)} rows")
    ablations.run_ablations(out, 1, study)
    assert asked == [(0, [list(VARIANTS)[2]])]
    ablations.run_ablations(tmp_path / "few.csv", 1, study, only=["without L1"])
    assert asked[1:] == [(0, ["DETR", "without L1"])]


def test_an_unknown_variant_is_named_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match=r"only: expected some of DETR, .*, found without L2"):
        ablations.run_ablations(tmp_path / "runs.csv", 1, Study(1, 1, 16), only=["without L2"])
    assert not (tmp_path / "runs.csv").exists()


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (",".join(COLUMNS), "DETR,0,800" + ",1" * len(MEASURES)),
        ("variant,seed,steps,map", "DETR,0,1,1"),
    ],
)
def test_rows_of_another_study_are_refused(header, row, tmp_path):
    out = tmp_path / "runs.csv"
    out.write_text(f"{header}\n{row}\n")
    with pytest.raises(ValueError, match="expected rows of this study with 1 steps"):
        ablations.run_ablations(out, 1, Study(1, 1, 16))
    assert out.read_text() == f"{header}\n{row}\n"


class Inline:
    """Takes the place of a pool of processes, and notes what it is asked to do."""

    def __init__(self, asked):
        self.asked = asked

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, function, seed, variants, study, threads, out):
        self.asked.append((seed, variants))
        done = Future()
        write_row(
            {"variant": variants[0], "seed": seed, "steps": 1} | dict.fromkeys(MEASURES, 1.0), out
        )
        done.set_result(None)
        return done


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
    half = 4.303 * 0.28868 / 3**0.5  # Student's t of 95% and 2 degrees of freedom, and the spread
    assert broken.high - broken.difference == pytest.approx(half, rel=1e-3)
    assert broken.difference - broken.low == pytest.approx(half, rel=1e-3)
    lines = ablation_table(result).splitlines()
    assert lines[3].endswith("| within the noise |") and lines[4].endswith("| shows |")


def test_the_stored_results_have_several_seeds_of_every_variant():
    rows = read_ablations()
    for name in VARIANTS:
        seeds = {row["seed"] for row in rows if row["variant"] == name}
        assert len(seeds) >= 6, name
    assert len({row["steps"] for row in rows}) == 1


def test_a_silenced_module_answers_zeros_only_inside_of_the_block():
    model = small_detr(6).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)
        with silenced(model.position_embedding, model.encoder[0].self_attn):
            silent = model(image)
        after = model(image)
    assert silent["pos_emb"].abs().sum() == 0
    assert not torch.equal(silent["bbox_pred"], before["bbox_pred"])
    assert torch.equal(after["bbox_pred"], before["bbox_pred"])
