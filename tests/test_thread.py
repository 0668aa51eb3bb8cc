"""What runs through all notebooks: one scene, and a scoreboard that is measured on it."""

import re

import matplotlib.pyplot as plt
import pytest
import torch

from detr_steps import Step2, Step5, box_cxcywh_to_xyxy, box_iou
from detr_steps.inference import detections
from detr_steps.notebook import scoreboard
from detr_steps.notebook.drawing import draw_outlines, panels
from detr_steps.notebook.scene import COLOURS, NAMES, load_scene, scene_outlines
from detr_steps.training.detectors import load_detector
from detr_steps.training.scenes import CLASSES
from detr_steps.training.small import small_detr


def test_the_scene_has_three_objects_two_of_one_class_that_overlap():
    image, target = load_scene()
    assert list(image.shape) == [1, 3, 128, 128] and len(COLOURS) == 3
    classes = [CLASSES[label] for label in target["labels"]]
    assert classes == [name.split()[0] for name in NAMES] == ["ring", "triangle", "triangle"]
    corners = box_cxcywh_to_xyxy(target["boxes"])
    overlap = box_iou(corners, corners)
    assert 0.05 < overlap[1, 2] < 0.5 and overlap[0, 1] == overlap[0, 2] == 0
    assert target["boxes"][1, 0] < target["boxes"][2, 0]  # A is the left one
    for mask, (x1, y1, x2, y2) in zip(scene_outlines(), 128 * corners, strict=True):
        rows, columns = mask.nonzero().T
        ends = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (ends - torch.stack((x1, y1, x2, y2))).abs().max() <= 1.5


def test_the_shipped_model_finds_each_object_of_the_scene_once():
    image, target = load_scene()
    with torch.no_grad():
        outputs = load_detector("shipped").model(image)
    (found,) = detections(outputs, [(1, 1)], 0.7)
    labels, boxes = found["labels"], found["boxes"]
    assert sorted(labels.tolist()) == sorted(target["labels"].tolist())
    assert len(boxes) == 3
    overlap = box_iou(boxes, box_cxcywh_to_xyxy(target["boxes"]))
    assert (overlap.max(0).values > 0.85).all()


def test_the_measurements_tell_the_steps_apart(monkeypatch):
    assert scoreboard.image_moves_boxes(Step2) == 0 < 0.1 < scoreboard.image_moves_boxes(Step5)
    assert scoreboard.positions_change_memory() > 0.2
    own, equal = scoreboard.attention_to_own_object()
    assert equal + 0.1 < own < 1
    assert scoreboard.boxes_found() == 3
    blind = small_detr(6).eval()
    for layer in blind.encoder:
        torch.nn.init.zeros_(layer.self_attn.in_proj_weight[:128])  # queries and keys
        torch.nn.init.zeros_(layer.self_attn.in_proj_bias[:128])
    monkeypatch.setattr(scoreboard, "trained", lambda: blind)
    assert scoreboard.positions_change_memory() < 1e-6
    own, equal = scoreboard.attention_to_own_object()
    assert own == pytest.approx(equal, abs=1e-6)


@pytest.mark.parametrize("step", range(9))
def test_the_scoreboard_grows_by_a_row_a_step(step, monkeypatch):
    shown = []
    monkeypatch.setattr(scoreboard, "display", lambda markdown: shown.append(markdown.data))
    scoreboard.show_scoreboard(step)
    scoreboard.show_scoreboard(step, filled=True)
    opening, closing = ([line for line in one.splitlines() if "|" in line] for one in shown)
    assert len(opening) == len(closing) == step + 3
    assert opening[:-1] == closing[:-1] and opening[-1].count("?") == 5
    assert "?" not in closing[-1] and closing[-1].startswith(f"| **{step} ")
    assert ("section 4.2" in shown[1]) == (step >= 3)  # notes come with the rows that need them


def test_each_answer_is_told_in_full_where_it_is_new():
    told = [" ".join(scoreboard.answers(step)) for step in range(9)]
    assert "0.00" in told[2] and re.search(r"yes\*\*: .* 0\.\d\d", told[5])
    assert re.search(r"by \d\d%", told[4]) and "3 boxes for 3 objects" in told[8]
    assert scoreboard.lost_without(4).startswith("-3.9 / -8.")


def test_outlines_are_drawn_around_the_objects():
    figure, (axes,) = panels(1)
    draw_outlines(axes, scene_outlines(), COLOURS)
    corners = 128 * box_cxcywh_to_xyxy(load_scene()[1]["boxes"])
    assert len(axes.collections) == 3
    for drawn, box in zip(axes.collections, corners.tolist(), strict=True):
        points = torch.from_numpy(drawn.get_paths()[0].vertices)
        extent = [*points.amin(0).tolist(), *points.amax(0).tolist()]
        assert extent == pytest.approx(box, abs=2)
    plt.close(figure)
