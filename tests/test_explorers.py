"""The pictures with controls: their numbers, and what is left of them without a kernel."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import torchvision
from matplotlib.patches import Rectangle

from detr_steps import Step7
from detr_steps.notebook import explorers
from detr_steps.notebook.runner import execute, read

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
COST = torch.tensor([[1.0, 2, 7], [2, 9, 4], [8, 8, 3], [5, 6, 6]])
MOVED = """
import ipywidgets
import matplotlib.pyplot as plt
from detr_steps.notebook import explorers

made, slider = [], ipywidgets.IntSlider(2, 0, 9)
explorers.HTML = lambda: made.append(ipywidgets.HTML()) or made[-1]


def draw(side):
    return plt.figure(figsize=(side, 1)), f"A white strip, {side} inches wide and < 2 inches high."


explorers.explore(draw, {"side": slider})
before = made[0].value
slider.value = 4
print(made[0].value != before, made[1].value)
"""


pytestmark = pytest.mark.usefixtures("no_figure_stays_open")


def frames(axis):
    """The position (x, y) of the rectangles of a picture."""
    corners = [patch.get_xy() for patch in axis.patches if isinstance(patch, Rectangle)]
    return [(float(x), float(y)) for x, y in corners]


def test_the_encoders_picture_holds_the_weights_of_the_chosen_cell():
    image = torch.rand(3, 30, 40)
    attention = torch.rand(12, 3, 4)
    attention[7] = torch.tensor([[0.0, 0.62, 0, 0], [0, 0, 0, 0.04], [0.34, 0, 0, 0]])
    figure, alt = explorers.draw_encoder(image, attention, row=1, column=3)
    (heat,) = figure.axes[1].images
    assert np.array_equal(heat.get_array(), 100 * attention[7])
    assert heat.get_extent() == figure.axes[0].images[0].get_extent()  # as large as the image
    assert "cell (1, 3)" in alt and alt.endswith("(0, 1) 62%, (2, 0) 34%, (1, 3) 4%.")
    assert frames(figure.axes[0]) == frames(figure.axes[1]) == [(29.5, 9.5)]


def test_the_decoders_picture_tells_box_class_and_score_of_each_layer():
    attention = torch.rand(2, 3, 4)
    prob = torch.tensor([[0.25, 0.65, 0.10], [0.05, 0.05, 0.90]])
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.4], [0.25, 0.5, 0.5, 0.4]])
    figure, alt = explorers.draw_decoder(
        torch.rand(3, 30, 40), 7, attention, prob, boxes, ["cat", "dog"]
    )
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:3] == ["the image", "layer 1: dog 0.65", "layer 2: no object 0.90"]
    for i, (axis, (x, y)) in enumerate(zip(figure.axes[1:3], [(10, 9), (0, 9)], strict=True)):
        assert np.array_equal(axis.images[0].get_array(), 100 * attention[i])
        assert axis.patches[0].get_bbox().bounds == pytest.approx((x, y, 20, 12))
    assert "query 7" in alt and "layer 1: dog 0.65, box (0.50, 0.50, 0.50, 0.40)" in alt


def test_the_largest_weights_are_named_first():
    weights = torch.tensor([[0.1, 0.05, 0.3], [0.25, 0.2, 0.1]])
    assert explorers.name_cells(weights, 2) == "(0, 2) 30%, (1, 0) 25%"


@pytest.mark.parametrize("second", [[0.5, 0.45, 0.3, 0.3], [0.8, 0.8, 0.1, 0.2]])
def test_losses_and_gradients_are_those_of_torchvision(second):
    first, second = torch.tensor([0.4, 0.4, 0.2, 0.4], requires_grad=True), torch.tensor(second)
    corners = [torchvision.ops.box_convert(box, "cxcywh", "xyxy") for box in (first, second)]
    iou = torchvision.ops.box_iou(*(box[None] for box in corners))[0, 0]
    expected = 1 - iou, torchvision.ops.generalized_box_iou_loss(*corners), (first - second).abs()
    expected = torch.stack([loss.sum() for loss in expected])
    values, gradients = explorers.pair_losses(first.detach(), second)
    assert torch.allclose(values, expected, atol=1e-5)
    for loss, gradient in zip(expected, gradients, strict=True):
        (wanted,) = torch.autograd.grad(loss, first, retain_graph=True)
        assert torch.allclose(gradient, wanted, atol=1e-4)


def test_boxes_apart_get_an_arrow_from_giou_and_l1_alone():
    first, second = torch.tensor([0.2, 0.3, 0.2, 0.2]), torch.tensor([0.7, 0.6, 0.3, 0.3])
    figure, alt = explorers.draw_losses(first, second)
    left, right = figure.axes
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels == ["1 - IoU: none", "1 - GIoU", "L1"]
    _, gradients = explorers.pair_losses(first, second)
    arrows = [text for text in left.texts if text.get_text() == ""]
    for arrow, gradient in zip(arrows, gradients[1:, :2], strict=True):
        shift = np.array(arrow.xy) - first[:2].numpy()
        assert shift == pytest.approx(-0.2 * gradient.numpy() / gradient.norm().item(), abs=1e-5)
    assert "L1 is 1.00 and asks for (1.00, 1.00, 1.00, 1.00)" in alt


def test_crossing_boxes_get_three_arrows_and_their_numbers():
    first, second = torch.tensor([0.4, 0.4, 0.2, 0.4]), torch.tensor([0.45, 0.4, 0.2, 0.4])
    left, right = explorers.draw_losses(first, second)[0].axes
    assert len([text for text in left.texts if text.get_text() == ""]) == 3
    cells = right.tables[0].get_celld()
    values, gradients = explorers.pair_losses(first, second)
    for i in range(3):
        wanted = [values[i].item(), *(-gradients[i]).tolist()]
        shown = [float(cells[i + 1, j].get_text().get_text()) for j in range(5)]
        assert shown == pytest.approx(wanted, abs=0.006)


def test_an_explorer_draws_as_large_as_it_should():
    """In inches: a row of panels fits beside the text."""
    image, attention = torch.rand(3, 30, 40), torch.rand(12, 3, 4)
    prob, boxes = torch.rand(2, 3), torch.rand(2, 4)
    encoder, _ = explorers.draw_encoder(image, attention, row=1, column=3)
    decoder, _ = explorers.draw_decoder(image, 7, attention[:2], prob, boxes, ["cat", "dog"])
    sizes = [figure.get_size_inches().round(2).tolist() for figure in (encoder, decoder)]
    assert sizes == [[7.2, 3.8], [9.6, 3.2]]


def test_a_control_with_one_value_leaves_no_choice():
    assert explorers.has_choice(explorers.slider("a", 1, 1, 2))
    assert not explorers.has_choice(explorers.slider("a", 1, 1, 1))


def test_greedy_pays_more_than_the_assignment():
    figure, alt = explorers.draw_assignments(COST, ["A", "B", "C"])
    assert [axis.get_title() for axis in figure.axes] == [
        "cheapest in sum: 7",
        "cheapest pair first: 10",
    ]
    chosen = [{(round(x), round(y)) for x, y in frames(axis)} for axis in figure.axes]
    assert chosen == [{(1, 0), (0, 1), (2, 2)}, {(0, 0), (2, 2), (1, 3)}]
    assert "q0 with B, q1 with A, q2 with C, 7 in all" in alt


def test_greedy_takes_the_cheapest_pair_and_uses_no_one_twice():
    for seed in range(20):
        cost = torch.from_numpy(np.random.default_rng(seed).random((5, 3)))
        query, target = explorers.assign_greedily(cost)
        assert (query.diff() > 0).all() and sorted(target.tolist()) == [0, 1, 2]
        assert cost[query, target].min() == cost.min()
        assert cost[query, target].sum() >= cost[Step7.assign(cost)].sum()


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook with an explorer, saved with its widgets, as `run --save` then stores it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(MOVED)])
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    execute(notebook, tmp_path_factory.mktemp("explorer"), "explorer")
    return notebook


def test_a_moved_control_redraws(executed):
    printed = [output.text for output in executed.cells[0].outputs if "text" in output]
    assert printed == ["True <em>A white strip, 4 inches wide and &lt; 2 inches high.</em>\n"]


def test_a_stored_explorer_is_a_picture_and_nothing_of_a_widget(executed):
    alt = "A white strip, 2 inches wide and < 2 inches high."
    picture, caption, _ = executed.cells[0].outputs
    assert set(picture.data) == {"image/png", "text/plain"}
    assert picture.data["text/plain"] == f"[picture: {alt}]"
    assert picture.metadata["image/png"]["alt"] == alt
    assert caption.data["text/markdown"] == f"*{alt}*"
    assert "widget" not in json.dumps({**executed.metadata, "outputs": executed.cells[0].outputs})


def test_every_explorer_stands_in_a_notebook_and_none_left_a_widget_there():
    found = {}
    for path in NOTEBOOKS:
        notebook = read(path)
        assert "widgets" not in notebook.metadata
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            kinds = [set(output.get("data", {})) for output in cell.outputs]
            assert not any("widget" in kind for kind in set().union(*kinds)), cell.source
            for name in re.findall(r"explorers\.(explore_\w+)\(", cell.source):
                found[name] = path.name[:5]
                assert "nbval-ignore-output" in cell.metadata.tags
                assert {"image/png", "text/plain"} in kinds
    assert found == {
        "explore_encoder": "Step4",
        "explore_decoder": "Step6",
        "explore_losses": "Step7",
        "explore_matching": "Step7",
    }
