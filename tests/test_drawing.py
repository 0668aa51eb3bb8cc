"""What the drawing functions draw, by the parts of the picture."""

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.colors import to_hex

from detr_steps.notebook import differences, drawing

pytestmark = pytest.mark.usefixtures("no_figure_stays_open")


@pytest.fixture
def axis():
    """An empty picture."""
    return drawing.panels(1)[1][0]


def rectangles(axis):
    """Bounds (x, y, w, h) of the rectangles of a picture."""
    return [tuple(round(float(n), 4) for n in patch.get_bbox().bounds) for patch in axis.patches]


def written(axis):
    """What is written in a picture, and where."""
    return [(text.get_text(), *map(float, text.get_position())) for text in axis.texts]


def test_panels_stand_in_one_row_and_have_their_size():
    figure, axes = drawing.panels(3, width=2, height=1.5)
    assert figure.get_size_inches().tolist() == [6, 1.5] and len(axes) == 3
    assert figure.get_layout_engine() is not None
    assert drawing.panels(2)[0].get_size_inches().tolist() == [6, pytest.approx(3.2)]
    shared = drawing.panels(2, sharey=True)[1]
    assert shared[0].get_shared_y_axes().joined(*shared)


def test_a_shown_figure_is_a_png_of_its_size_with_its_text(monkeypatch):
    shown = []
    monkeypatch.setattr(drawing, "display", lambda what, **options: shown.append((what, options)))
    for caption in (True, False):
        drawing.show(drawing.panels(1)[0], "An <empty> picture.", caption=caption)
    (first, options), (markdown, _), (second, _) = shown
    assert first["text/plain"] == second["text/plain"] == "[picture: An <empty> picture.]"
    assert options == {"metadata": {"image/png": {"alt": "An <empty> picture."}}, "raw": True}
    assert markdown.data == "*An <empty> picture.*"
    assert first["image/png"].startswith(b"\x89PNG") and not plt.get_fignums()


def test_numbers_are_drawn_as_colours_with_their_scale(axis):
    values = torch.tensor([[0.0, 1.0], [2.0, 3.0]], requires_grad=True)
    drawing.draw_heat(axis, values, "title", "label", vmin=-1)
    (heat,) = axis.images
    assert heat.get_array().tolist() == [[0, 1], [2, 3]] and heat.get_clim() == (-1, 3)
    assert heat.get_cmap().name == "magma" and axis.get_title() == "title"
    assert heat.colorbar.ax.get_ylabel() == "label"
    assert not len(axis.get_xticks()) and not len(axis.get_yticks())
    drawing.draw_heat(axis, values, cmap="Reds")
    assert axis.images[1].get_cmap().name == "Reds"


def test_a_cell_and_a_grid_lie_on_their_pixels(axis):
    image = torch.zeros(3, 30, 40)
    drawing.draw_cell(axis, image, (3, 4), row=1, column=3, colour="red")
    assert rectangles(axis) == [(29.5, 9.5, 10, 10)]
    assert not axis.patches[0].get_fill() and axis.patches[0].get_edgecolor()[0] == 1
    with pytest.raises(ValueError, match="shorter"):
        drawing.draw_cell(axis, image, (3,), row=1, column=3)
    drawing.draw_grid(axis, image, (3, 2))
    rows, columns = ([line.tolist() for line in one.get_segments()] for one in axis.collections)
    assert rows == [[[-0.5, y], [39.5, y]] for y in (-0.5, 9.5, 19.5, 29.5)]
    assert columns == [[[x, -0.5], [x, 29.5]] for x in (-0.5, 19.5, 39.5)]


def test_boxes_are_drawn_in_pixels_with_labels_for_the_first(axis):
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.25, 0.5, 0.5, 1.0]], requires_grad=True)
    drawing.draw_boxes(axis, boxes, (20, 40), "red", labels=["a"], linestyle="--")
    assert rectangles(axis) == [(10, 5, 20, 10), (0, 0, 20, 20)]
    assert written(axis) == [("a", 10, 5)]
    patch = axis.patches[0]
    assert to_hex(patch.get_edgecolor()) == "#ff0000" and not patch.get_fill()
    assert patch.get_linewidth() == 2 and patch.get_linestyle() == "--"
    drawing.draw_boxes(axis, boxes[:1], (20, 40), linewidth=5, fill=True)
    assert axis.patches[2].get_linewidth() == 5 and axis.patches[2].get_fill()
    assert to_hex(axis.patches[2].get_edgecolor()) == drawing.VERMILLION.lower()


def test_detections_from_the_threshold_on_are_drawn(axis):
    found = {
        "scores": torch.tensor([0.9, 0.75, 0.5]),
        "labels": torch.tensor([1, 0, 1]),
        "boxes": torch.tensor([[1.0, 2, 11, 22], [3, 4, 5, 6], [0, 0, 1, 1]]),
    }
    drawing.draw_detections(axis, torch.zeros(3, 30, 40), found, ["cat", "dog"], threshold=0.75)
    assert rectangles(axis) == [(1, 2, 10, 20), (3, 4, 2, 2)]
    assert written(axis) == [("dog 0.90", 1, 2), ("cat 0.75", 3, 4)]
    assert not any(patch.get_fill() for patch in axis.patches)
    assert axis.images[0].get_array().shape == (30, 40, 3)


def test_matched_boxes_are_joined(axis):
    objects = torch.tensor([[0.5, 0.5, 0.25, 0.5], [0.25, 0.25, 0.5, 0.5]])
    guesses = torch.tensor([[0.25, 0.75, 0.5, 0.5], [0.5, 0.25, 0.25, 0.5], [0.5, 0.5, 1, 1]])
    pairs = torch.tensor([0, 2]), torch.tensor([1, 0])
    drawing.draw_matching(axis, objects, ["A", "B"], guesses, pairs)
    assert rectangles(axis) == [
        *((0.375, 0.25, 0.25, 0.5), (0, 0, 0.5, 0.5)),
        *((0, 0.5, 0.5, 0.5), (0.375, 0, 0.25, 0.5), (0, 0, 1, 1)),
    ]
    assert [patch.get_linestyle() for patch in axis.patches] == ["solid"] * 2 + ["--"] * 3
    assert [to_hex(patch.get_edgecolor()) for patch in axis.patches][1:3] == [
        *(drawing.BLUE.lower(), drawing.ORANGE.lower())
    ]
    assert written(axis) == [
        *(("A", 0.375, 0.25), ("B", 0, 0)),
        *(("q0", 0.5, 1), ("q1", 0.625, 0.5), ("q2", 1, 1)),
    ]
    lines = [line.get_xydata().tolist() for line in axis.lines]
    assert lines == [[[0.25, 0.75], [0.25, 0.25]], [[0.5, 0.5], [0.5, 0.5]]]
    assert axis.get_xlim() == (0, 1) and axis.get_ylim() == (1, 0)
    assert not len(axis.get_xticks()) and axis.get_title() == "boxes and matching"


def test_costs_are_written_so_that_they_can_be_read_and_pairs_framed(axis):
    cost = torch.tensor([[0.0, 5.0], [10.0, 5.5], [1.0, 2.25]])
    drawing.draw_costs(axis, cost, ["A", "B"], (torch.tensor([0, 2]), torch.tensor([1, 0])))
    assert written(axis) == [
        *(("0.0", 0, 0), ("5.0", 1, 0), ("10.0", 0, 1)),
        *(("5.5", 1, 1), ("1.0", 0, 2), ("2.2", 1, 2)),
    ]
    inks = [text.get_color() for text in axis.texts]
    assert inks == ["white", "white", "black", "black", "white", "white"]
    assert rectangles(axis) == [(0.52, -0.46, 0.96, 0.92), (-0.48, 1.54, 0.96, 0.92)]
    assert not any(patch.get_fill() for patch in axis.patches)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["A", "B"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["q0", "q1", "q2"]


def test_an_outline_lies_on_the_image_and_on_its_map(axis):
    outline = torch.zeros(1, 8, 16, dtype=torch.bool)
    outline[0, 2:6, 4:12] = True
    drawing.draw_outlines(axis, outline, ["red"])
    drawing.draw_outlines(axis, outline, ["red"], cells=(4, 4))
    whole, cells = (one.get_paths()[0].get_extents().extents for one in axis.collections)
    assert whole.tolist() == [3.5, 1.5, 11.5, 5.5]
    assert cells.tolist() == [0.5, 0.5, 2.5, 2.5]
    assert to_hex(axis.collections[0].get_edgecolor()[0]) == "#ff0000"
    with pytest.raises(ValueError, match="shorter"):
        drawing.draw_outlines(axis, outline, [])


def test_lines_of_a_difference_are_coloured_by_their_sign():
    shown = {
        "+++ a.b <new>": "<b>+++ a.b &lt;new&gt;</b>",
        "  --- c": "<b>  --- c</b>",
        '    x = "y"': '    x = "y"',
        "": "",
    }
    for line, expected in shown.items():
        assert differences.coloured(line) == expected
    for sign, (tag, shade) in differences.SHADES.items():
        coloured = differences.coloured(f"  {sign}a < b")
        assert coloured.startswith(f"<{tag} style=") and shade in coloured
        assert coloured.endswith(f">  {sign}a &lt; b</{tag}>")
    assert differences.to_html(["a", "b"]) == "<pre>a\nb</pre>"
