"""The benchmarks run, compare like with like, and their pages say what was measured."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from conftest import small_step

from benchmarks import measure, models, report, rows, runtimes
from benchmarks.levers import levers
from benchmarks.run import GROUPS, run_benchmarks
from detr_steps.inference import for_inference
from detr_steps.notebook import lesson

ROOT = Path(__file__).parent.parent
TINY = {"depths": (1, 1, 1, 1), "num_queries": 20}
RESULTS = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))


def test_inference_rows_are_of_the_same_answers():
    found = list(rows.inference(1, sizes={"tiny": (2, 64, 96)}, **TINY))
    assert [row.name for row in found] == ["tiny", "tiny, padded"]
    assert all(row.ours > 0 and row.theirs > 0 and row.ratio > 0 for row in found)
    assert all(row.goal == 0.55 and row.reached > 0 for row in found)
    assert all(0 < row.convolutions < 1 for row in found)


def test_different_answers_are_refused():
    ours, theirs = models.make_pair(**TINY)
    batch = models.make_batch(1, 64, 64)
    rows.assert_same_predictions(ours, theirs, batch)
    rows.assert_same_loss(ours, theirs, batch)
    with torch.no_grad():
        ours.class_head.bias[0] += 1
    with pytest.raises(AssertionError):
        rows.assert_same_predictions(ours, theirs, batch)
    with pytest.raises(AssertionError):
        rows.assert_same_loss(ours, theirs, batch)


def test_runtimes_are_held_against_the_faster_other_of_their_own_numbers():
    single, half = torch.float32, torch.bfloat16
    found = [
        runtimes.Contestant("Step8 as it is", single, True, False, None),
        runtimes.Contestant("compile=True", single, True, True, None),
        runtimes.Contestant("ONNX Runtime", single, False, False, None),
        runtimes.Contestant("OpenVINO", single, False, False, None),
        runtimes.Contestant("for_inference", half, True, True, None),
        runtimes.Contestant("OpenVINO", half, False, False, None),
    ]
    times = [[8, 16, 8], [6, 10, 4], [5, 9, 9], [4, 8, 4], [1, 2, 3], [2, 2, 2]]
    made = list(runtimes.runtime_rows("2x3x64x64", found, times))
    assert [row["ratio"] for row in made] == [2, 1.25, 1.25, 1, 1, 1]
    assert [row["of_plain"] for row in made[:3]] == [1, 0.625, 0.625]
    assert (made[1]["lowest"], made[1]["highest"]) == (1, 1.5)
    assert [row["goal"] for row in made] == [None, 1.05, None, None, 1.5, None]
    first, second = report.runtime_table(made).splitlines()[2:4]
    assert (
        first
        == "| float32, 2x3x64x64, Step8 as it is | 8.00 s | 1.00 | **2.00** | 2.00 to 2.00 |  |"
    )
    assert second.endswith("| 6.00 s | 0.62 | **1.25** | 1.00 to 1.50 | 1.05 ✗ |")


@pytest.mark.slow
def test_all_runtimes_give_the_same_answers():
    tiny = {"sizes": {"tiny": (2, 64, 96)}, "compiled": False}
    made = list(runtimes.runtimes(1, **tiny, model=small_step(8, dec_layers=1).eval()))
    names = [row["name"].removeprefix("tiny, ") for row in made]
    own = ["for_inference", 'compile="openvino"']
    first = ["Step8 as it is", *own, "ONNX Runtime", "OpenVINO"]
    assert names == [*first, *own, "OpenVINO"]
    assert all(row["seconds"] > 0 and row["lowest"] <= row["ratio"] for row in made)


def test_lost_precision_is_measured(monkeypatch):
    def two(model, file, compiled):
        assert file.exists()
        half = for_inference(model)
        half.bbox_head[-1].bias.data += 0.05
        yield runtimes.Contestant("whole", torch.float32, True, False, model)
        yield runtimes.Contestant("half", torch.bfloat16, True, True, half)

    monkeypatch.setattr(runtimes, "contestants", two)
    monkeypatch.setattr(runtimes, "export", lambda model, file, *notes: file.touch())
    whole, half = runtimes.precision(count=20)
    assert whole["ap"] > 70 and whole["loss"] == 0 and whole["goal"] is None
    assert half["loss"] == whole["ap"] - half["ap"] > 0.5 and half["goal"] == 0.3


def test_other_answers_of_a_runtime_are_refused():
    def shifted(images):
        return {"bbox_pred": images + 0.02}

    right = runtimes.Contestant("a", torch.float32, True, False, lambda x: {"bbox_pred": x})
    wrong = runtimes.Contestant("b", torch.bfloat16, False, False, shifted)
    batch = models.make_batch(1, 8, 8)
    runtimes.assert_same_boxes([right, right], batch)
    with pytest.raises(AssertionError):
        runtimes.assert_same_boxes([right, wrong], batch)


def test_losses_are_the_same_and_timed():
    (row,) = rows.matching_and_loss(1, sizes=[(4, 10)], **TINY)
    assert row.goal == 0.32 and row.name == "batch 4, 10 objects an image"
    with pytest.raises(AssertionError):
        ours, _ = models.make_pair(**TINY)
        ours.w_bbox = 7.0
        mine, other = rows.loss_works(ours, 2, 3)
        torch.testing.assert_close(mine(), other())


def test_training_steps_train_both_and_freeze_both():
    first, second = rows.training(1, size=(1, 64, 64), **TINY)
    assert first.name == "all parameters" and second.goal == 0.65
    for model in models.make_pair(**TINY):
        before = sum(p.numel() for p in model.parameters() if p.requires_grad)
        rows.freeze_stem(model)
        after = sum(p.numel() for p in model.parameters() if p.requires_grad)
        assert before - after == 64 * 3 * 49 + 64 * 64 + 64 * 64 * 9 + 2 * 64 * 256


def test_memory_is_of_a_process_of_its_own():
    size = 64 * 2**20
    assert measure.peak_memory(take_memory, size) > 0.9 * size


def take_memory(size):
    torch.ones(size, dtype=torch.uint8)


def test_the_exponent_of_a_power():
    sizes = [1.0, 2.0, 5.0]
    assert measure.exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)


def test_ratios_are_of_neighbours_in_time():
    times = measure.Times(ours=[1, 2, 30], theirs=[2, 4, 30], product=[0.1, 0.2, 3.0])
    assert times.ratio == 0.5 and times.spread == (0.5, 1.0)
    assert times.reached(5 * measure.SIDE**3) == pytest.approx(0.5)


def test_a_short_run_writes_its_report(tmp_path):
    row = rows.Row("peak memory", "x", 2**21, 2**22, 0.5, 0.4, 0.6, goal=0.4)
    steps = list(rows.steps(1, side=64, backbone="resnet18", emb_dim=16))
    assert [step["step"] for step in steps] == list(range(9)) and steps[8]["time"] == 1
    pulled = [asdict(row) for row in levers(1, side=64, **TINY)]
    assert len(pulled) == 10 and all(row["ratio"] > 0 for row in pulled)
    growths = [growth.as_dict() for growth in rows.growth(1, short=True, **TINY)]
    for group in report.TABLE:
        report.store(tmp_path, group, [asdict(row)] if group == "memory" else [])
    pace = {"group": "float32", "name": "x", "ours": True, "seconds": 2.0, "of_plain": 0.5}
    pace |= {"ratio": 1.1, "lowest": 1.0, "highest": 1.2, "goal": 1.05}
    precise = {"group": "bfloat16", "name": "x", "ap": 75.1, "loss": -0.001, "goal": 0.3}
    beside = {"growth": growths, "steps": steps, "levers": pulled}
    for group, found in (beside | {"runtimes": [pace], "precision": [precise]}).items():
        report.store(tmp_path, group, found)
    results = report.read(tmp_path)
    assert set(results["groups"]) == set(GROUPS) == set(RESULTS["groups"])
    report.draw(tmp_path, results)
    assert all((tmp_path / f"{p}.png").stat().st_size > 1000 for p in ("growth", "runtimes"))
    parts = report.parts(results)
    assert "| 2 MiB | 4 MiB | **0.50** | 0.40 to 0.60 | 0.40 ✗ |  |  |" in parts["table"]
    assert len(parts["growth"].splitlines()) == 2 + 6
    assert len(parts["levers"].splitlines()) == 2 + 10
    assert parts["precision"].endswith("| bfloat16, x | 75.10 | **0.00** | 0.30 ✓ |")
    assert parts["runtimes"].endswith("| 2.00 s | 0.50 | **1.10** | 1.00 to 1.20 | 1.05 ✗ |")
    assert parts["machine"] == parts["machine of the runtimes"] != ""


def test_an_unknown_group_is_refused():
    with pytest.raises(ValueError, match=r"expected one of inference, .*, found speed"):
        run_benchmarks(only=["speed"])


def test_a_page_without_a_place_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table -->\nold\n<!-- end of table -->\nb\n", encoding="utf-8")
    report.fill(page, {"table": "new"})
    assert page.read_text(encoding="utf-8") == (
        "a\n<!-- table -->\n\nnew\n\n<!-- end of table -->\nb\n"
    )
    with pytest.raises(ValueError, match="expected <!-- growth -->"):
        report.fill(page, {"growth": "new"})


def test_the_page_shows_the_stored_results():
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    parts = report.parts(RESULTS)
    shown = re.findall(r"<!-- (?!end of)([a-z ]+) -->\n\n(.*?)\n\n<!-- end of", text, re.DOTALL)
    assert dict(shown) == parts


def test_the_stored_results_are_whole():
    goals = [row for row in report.table_rows(RESULTS) if row["goal"] is not None]
    assert len(goals) == 11
    assert sum(row["goal"] is not None for row in RESULTS["groups"]["runtimes"]) == 10
    lost = [row for row in RESULTS["groups"]["precision"] if row["goal"] is not None]
    assert len(lost) == 5 and all(row["loss"] <= row["goal"] for row in lost)
    assert RESULTS["machines"].keys() == RESULTS["groups"].keys()
    for i, step in enumerate(RESULTS["groups"]["steps"]):
        parameters, multiply_adds = lesson.count_cost(lesson.STEPS[i])
        assert (step["parameters"], step["multiply_adds"]) == (parameters, multiply_adds)


def test_the_notebooks_costs_are_those_of_the_benchmarks():
    for i, path in enumerate(sorted((ROOT / "notebooks").glob("Step*.ipynb"))):
        step = RESULTS["groups"]["steps"][i]
        text = path.read_text(encoding="utf-8")
        assert f"{step['parameters']:,} |" in text
        assert f"{step['multiply_adds'] / 1e9:.2f} G |" in text
