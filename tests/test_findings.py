"""What a model does on data, what is known about its numbers, and the page that shows both."""

import re
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from cli import accepted
from test_coco import make
from torch import nn
from torch.utils.data import Dataset

from detr_steps import Step8
from detr_steps.training import page
from detr_steps.training.detectors import load_detector
from detr_steps.training.evaluation import evaluate
from detr_steps.training.findings import FEW_STEPS, KNOWN, Findings, find_out, sure_of, symptoms
from detr_steps.training.page import write_page
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import Settings, Trainer

ACCELERATOR = Accelerator(cpu=True)


@pytest.fixture(scope="module")
def scenes():
    return Scenes(20, "test")


@pytest.fixture(scope="module")
def shipped(scenes):
    """What the shipped model does."""
    return find_out(load_detector().model, scenes, ACCELERATOR, scenes.classes)


def known(name, found):
    """Whether a symptom is among those that were found."""
    return KNOWN[name] in [(one.cause, one.remedy) for one in found]


def test_findings_of_a_good_model(scenes, shipped):
    assert shipped.scores == evaluate(load_detector().model, scenes, ACCELERATOR)
    labels = torch.cat([scenes[i][1]["labels"] for i in range(20)])
    assert shipped.objects == len(labels)
    counts = labels.bincount(minlength=6).tolist()
    assert shipped.class_counts == dict(zip(scenes.classes, counts, strict=True))
    mean = sum(shipped.class_scores.values()) / len(shipped.class_scores)
    assert mean == pytest.approx(shipped.scores["map"], abs=0.1)
    assert abs(shipped.fired.sum().item() - shipped.objects) < 0.2 * shipped.objects
    assert symptoms(shipped) == []


def test_mistakes_are_counted(shipped):
    index = next(i for i in range(20) if shipped.mistakes(i) == 0)
    one, target = shipped.found[index], shipped.wanted[index]
    nothing = {name: values[:0] for name, values in one.items()}
    silent = replace(shipped, found=[nothing] * 20)
    assert silent.mistakes(index) == len(target["labels"])
    wrong = one | {"labels": (one["labels"] + 1) % 6}
    twice = replace(shipped, found=[wrong] * 20)
    sure = int((one["scores"] > 0.5).sum())
    assert twice.mistakes(index) == len(target["labels"]) + sure


class AlwaysTheSame(Step8):
    """Step8 whose decoder reads a memory of zeros, whatever the image."""

    def decode(self, context):
        return super().decode({**context, "mem": torch.zeros_like(context["mem"])})


def test_a_silent_model_and_one_that_does_not_see_are_recognised(scenes):
    torch.manual_seed(0)
    model = small_detr(6, AlwaysTheSame)
    found = symptoms(find_out(model, scenes, ACCELERATOR, scenes.classes))
    assert known("same boxes", found)
    with torch.no_grad():
        model.class_head.bias[-1] = 100.0
    found = symptoms(find_out(model, scenes, ACCELERATOR, scenes.classes))
    assert known("silence", found) and not known("misplaced", found)


def test_numbers_that_are_none_are_recognised(scenes, shipped):
    model = small_detr(6)
    with torch.no_grad():
        model.bbox_head[-1].bias[0] = float("nan")
    found = find_out(model, scenes, ACCELERATOR, scenes.classes)
    assert known("numbers", symptoms(found)) and len(symptoms(found)) == 1
    assert known("numbers", symptoms(shipped, losses=[1.0, float("inf")]))


def test_misplaced_boxes_duplicates_and_learning_by_heart_are_recognised(scenes, shipped):
    far = replace(shipped, scores=shipped.scores | {"map": 0.1, "map_50": 0.3})
    assert known("misplaced", symptoms(far)) and not known("silence", symptoms(far))
    doubled = [{k: torch.cat([v, v]) for k, v in one.items()} for one in shipped.found]
    assert known("duplicates", symptoms(replace(shipped, found=doubled)))
    assert known("by heart", symptoms(far, shipped)) and not symptoms(shipped, shipped)


@pytest.mark.parametrize(
    ("changes", "name", "healthy"),
    [
        ({"spread": 0.0099}, "same boxes", {"spread": 0.01}),
        ({"spread": 0.0, "images": 2}, "same boxes", {"spread": 0.0, "images": 1}),
        ({"map_50": 0.9}, "misplaced", {"map_50": 1.0}),
        ({"copies": 4}, "duplicates", {"copies": 3}),  # of 10 objects
        ({"map": 20.0}, "by heart", {"map": 25.0}),  # and 40 on training data
    ],
)
def test_each_symptom_has_its_limit(changes, name, healthy):
    def findings(images=2, copies=0, spread=0.2, **scores):
        boxes = torch.tensor([[0.0, 0, 1, 1]]).expand(1 + copies, 4)
        labels = torch.zeros(1 + copies, dtype=torch.long)
        one = {"boxes": boxes, "labels": labels, "scores": torch.full((1 + copies,), 0.9)}
        nothing = [{key: value[:0] for key, value in one.items()}] * (images - 1)
        scores = {"map": 40.0, "map_50": 60.0} | scores
        counts = {"a": 7, "b": 3}
        fired = torch.ones(3)
        return Findings(scores, {}, counts, [one, *nothing], [], fired, spread, True)

    (found,) = symptoms(findings(**changes), findings())
    assert known(name, [found])
    assert symptoms(findings(**healthy), findings()) == []


def test_a_run_too_short_to_learn_is_recognised(scenes, shipped):
    torch.manual_seed(0)
    model = small_detr(6)
    found = find_out(model, scenes, ACCELERATOR, scenes.classes)
    (short,) = symptoms(found, steps=30)
    assert known("short", [short]) and "AP is 0.0 after 30 steps" in short.seen
    assert not known("short", symptoms(found, steps=FEW_STEPS))
    assert not known("short", symptoms(found)) and not symptoms(shipped, steps=30)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    class Broken(Step8):
        def compute_loss(self, outputs, targets):
            return super().compute_loss(outputs, targets) * float("nan")

    settings = Settings(steps=3, pretrain_steps=0, batch_size=2)
    trainer = Trainer(small_detr(6, Broken), Scenes(4), None, settings, tmp_path, ACCELERATOR)
    with pytest.raises(ValueError, match="at step 1 of train, found nan"):
        trainer.run()
    assert not list(tmp_path.iterdir())


def counted(right, missed):
    """Findings of images with so many objects that are found, and so many that are not."""
    box, found, wanted = torch.tensor([[0.0, 0, 9, 9]]), [], []
    for one, other in zip(right, missed, strict=True):
        away = torch.tensor([[50.0, 50, 60, 60]])
        boxes = torch.cat([box.expand(one, 4), away.expand(other, 4)])
        wanted.append({"boxes": boxes, "labels": torch.zeros(one + other, dtype=torch.long)})
        some = min(one, 1)
        labels, scores = torch.zeros(some, dtype=torch.long), torch.full((some,), 0.9)
        found.append({"boxes": box.expand(some, 4), "labels": labels, "scores": scores})
    return Findings({}, {}, {}, found, wanted, torch.tensor([2, 0, 1]), 0.1, True)


def test_the_best_and_the_worst_images_are_shown(monkeypatch):
    shown = []
    monkeypatch.setattr(page, "draw_images", lambda chosen, *rest: shown.append(chosen))
    findings = counted(right=[0, 2, 0, 1, 1, 0], missed=[3, 0, 1, 0, 2, 0])
    figures = list(page.draw_figures(findings, range(6), ["a"], [], []))
    assert [heading for heading, _, _ in figures] == [
        *("The best images", "The worst images", "The queries")
    ]
    assert shown == [[1, 3, 5, 2], [0, 4, 2, 5]]
    assert "Mistakes: 0, 0, 0, 1." in figures[0][1] and "Mistakes: 3, 2, 1, 0." in figures[1][1]
    for history, losses in (([{"step": 1, "map": 2, "map_50": 3}], []), ([], [(1, 0.5)])):
        headings = [one[0] for one in page.draw_figures(findings, range(6), ["a"], history, losses)]
        assert headings[0] == "The training" and len(headings) == 4


def test_the_curves_are_those_of_the_run():
    history = [{"step": 5, "map": 20, "map_50": 30}, {"step": 10, "map": 40, "map_50": 60}]
    left, right = page.draw_curves(history, [(1, 9.0), (2, 4.0), (3, 1.0)]).axes
    assert left.lines[0].get_xydata().tolist() == [[1, 9], [2, 4], [3, 1]]
    curves = {line.get_label(): line.get_xydata().tolist() for line in right.lines}
    assert curves == {"AP50": [[5, 30], [10, 60]], "AP": [[5, 20], [10, 40]]}
    assert right.get_ylim() == (0, 100)
    assert not page.draw_curves(history, []).axes[0].lines[0].get_xydata().size
    (bars,) = page.draw_queries(torch.tensor([2, 0, 1])).axes[0].containers
    assert [bar.get_height() for bar in bars] == [2, 0, 1]


def test_a_class_that_was_not_measured_has_a_dash(scenes, shipped, tmp_path):
    one = replace(shipped, class_counts={"a": 7, "b": 8}, class_scores={"a": 41.26})
    file = tmp_path / "new" / "folder" / "page.html"
    write_page(file, "A page", one, [], scenes, scenes.classes)
    text = re.sub(r"<[^>]+>|\s", " ", file.read_text())
    assert re.search(r"a +7 +41\.3 +b +8 +- ", text), text


def test_the_page_holds_everything_and_needs_no_network(scenes, shipped, tmp_path):
    path = tmp_path / "page.html"
    trouble = symptoms(shipped, losses=[float("nan")])
    history = [{"step": 5, **shipped.scores}]
    write_page(
        path, "A <title>", shipped, trouble, scenes, scenes.classes, history, [(1, 2.0), (2, 1.0)]
    )
    page = path.read_text()
    assert "A &lt;title&gt;" in page and not re.search("https?:", page)
    assert trouble[0].seen in page and trouble[0].remedy in page
    assert all(f"<td>{name}</td>" in page for name in scenes.classes)
    pictures = re.findall(r'src="data:image/png;base64,[A-Za-z0-9+/=]+" alt="[^"]{30,}"', page)
    assert len(pictures) == page.count("<img") == 4


def test_training_and_evaluation_write_pages_and_say_what_is_wrong(tmp_path):
    photos, annotations = make(tmp_path)
    data = ["--images", photos, "--annotations", annotations]
    short = ["--steps=2", "--pretrain-steps=1", "--batch-size=2", "--side=64"]
    printed = accepted("train", "--cpu", "--out", tmp_path / "run", *data, *short)
    assert "remedy: " in printed and "report.html" in printed
    assert "an AP near 0 is expected" in printed
    page = (tmp_path / "run" / "report.html").read_text()
    assert "What may be wrong" in page and "The training" in page
    weights = ["--weights", tmp_path / "run" / "best.safetensors"]
    page = ["--page", tmp_path / "new" / "page.html"]
    accepted("evaluate", "--cpu", *data, *weights, *page)
    assert "on 6 images" in (tmp_path / "new" / "page.html").read_text()


class Says(nn.Module):
    """A model that gives the same outputs for two images, whatever they show."""

    def __init__(self, logits, boxes):
        super().__init__()
        self.outputs = {"class_logits": torch.tensor(logits), "bbox_pred": torch.tensor(boxes)}

    def forward(self, images, padding_mask=None):
        return self.outputs


def test_findings_are_those_of_the_predictions(scenes):
    """Of four queries, two classes and "no object": what is sure, how far boxes move, no luck."""
    nothing, first, last, half = [0.0, 0, 9], [9.0, 0, 0], [0.0, 9, 0], [0.0, -200, 0]
    logits = [[first, last, nothing, half], [first, nothing, nothing, half]]
    here, there = [0.125, 0.125, 0.125, 0.125], [0.125, 0.125, 0.375, 0.125]
    model = Says(logits, [[here] * 4, [there] * 4])

    class Two(Dataset):
        """Two images, with an object of each class in the first one."""

        classes, short_side, large = ("a", "b"), 64, 32

        def __len__(self):
            return 2

        def __getitem__(self, index):
            boxes = torch.tensor([here, [0.75, 0.75, 0.25, 0.25]])[: 2 - 2 * index]
            target = {"labels": torch.arange(len(boxes)), "boxes": boxes}
            return torch.zeros(3, 64, 64), target | {"size": torch.tensor([64, 64])}

    found = find_out(model, Two(), ACCELERATOR, Two.classes)
    assert found.fired.tolist() == [2, 1, 0, 0]  # one half is not sure
    assert found.spread == pytest.approx(0.125 / 4)
    assert found.class_counts == {"a": 1, "b": 1}
    assert found.class_scores["b"] == 0 and found.class_scores["a"] > 40
    assert [len(one["scores"]) for one in sure_of(found.found)] == [2, 1]


def test_a_short_run_is_one_below_one_percent(shipped):
    for ap, short in ((0.99, True), (1.0, False), (1.5, False)):
        one = replace(shipped, scores=shipped.scores | {"map": ap})
        assert known("short", symptoms(one, steps=30)) == short


def test_an_image_is_shown_with_what_is_there_and_what_was_found(monkeypatch):
    shown = []

    def record(image, frames, side, width):
        shown.append(([[one.corners.tolist(), one.colour, one.names] for one in frames], side))
        return torch.zeros(3, side, side, dtype=torch.uint8)

    monkeypatch.setattr(page, "draw_tile", record)
    data = [(torch.zeros(3, 50, 100), {"size": torch.tensor([100, 200])})]
    one = {"boxes": torch.tensor([[20.0, 10, 100, 50]]), "labels": torch.tensor([1])}
    sure = one | {"scores": torch.tensor([0.9])}
    findings = Findings({}, {}, {}, [sure], [one], torch.zeros(1), 0.1, True)
    page.draw_images([0], findings, data, ["a", "b"])
    corners = [[pytest.approx(0.1), pytest.approx(0.1), 0.5, 0.5]]
    assert shown == [([[corners, page.BLUE, None], [corners, page.ORANGE, ["b"]]], page.TILE)]
