"""How notebooks are run, kept and told about; the photograph, and the tables of the ablations."""

from copy import deepcopy

import nbformat
import pytest
import torch
from matplotlib.colors import to_hex
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from detr_steps.notebook import results, runner
from detr_steps.notebook.drawing import VERMILLION
from detr_steps.notebook.photo import PHOTO_OBJECTS, load_photo
from detr_steps.notebook.results import Summary, draw_ablations, measure_table, read_ablations
from detr_steps.notebook.saving import before_saving, tidy, without_widgets

WIDGET = "application/vnd.jupyter.widget-view+json"


def test_what_differs_from_machine_to_machine_is_left_out():
    execution = {"execution": {"iopub.status.busy": "2020"}, "tags": ["question"]}
    alone = new_output("display_data", {WIDGET: {}, "text/plain": "IntSlider()"})
    with_picture = new_output("display_data", {WIDGET: {}, "text/plain": "a", "image/png": "b"})
    stream = new_output("stream", text="a")
    outputs = [alone, with_picture, stream]
    notebook = new_notebook(
        cells=[
            new_code_cell("a", metadata=dict(execution), outputs=outputs),
            new_markdown_cell("b", metadata=dict(execution)),
        ],
        metadata={
            "widgets": {},
            "language_info": {"name": "p", "version": "3.9"},
            "kernelspec": {"name": "k", "display_name": "K"},
        },
    )
    expected = [{"text/plain": "a", "image/png": "b"}]
    found = without_widgets(deepcopy(outputs))
    assert [one.data for one in found if "data" in one] == expected and len(found) == 2
    whole = deepcopy(notebook)
    for model in (
        {"type": "file", "content": {"nbformat": 4}},
        {"type": "directory", "content": {"nbformat": 4}},
        {"type": "notebook", "content": whole | {"nbformat": 3}},
    ):
        before_saving(model)  # no notebook as it is written today
    assert whole.metadata == notebook.metadata and len(whole.cells[0].outputs) == 3
    before_saving({"type": "notebook", "content": whole})
    tidy(notebook)
    for one in (notebook, whole):
        assert one.metadata == {
            "kernelspec": {"name": "k", "display_name": "K"},
            "language_info": {"name": "python"},
        }
        assert [cell.metadata for cell in one.cells] == [{"tags": ["question"]}] * 2
        assert [out.get("data") for out in one.cells[0].outputs] == [*expected, None]


@pytest.fixture
def executed(monkeypatch):
    """The folders and labels of what is run; nothing is."""
    calls = []

    def execute(notebook, folder, label):
        calls.append((folder, label))
        notebook.cells[0].outputs = [new_output("stream", text="Step 1: a\nother\n")]

    monkeypatch.setattr(runner, "execute", execute)
    return calls


def two_notebooks(folder):
    """The paths of two notebooks of one cell each."""
    paths = [folder / "a.ipynb", folder / "b.ipynb"]
    for path in paths:
        nbformat.write(new_notebook(cells=[new_code_cell("1")]), path)
    return paths


@pytest.mark.parametrize("save", [True, False])
def test_notebooks_are_run_in_their_folder_and_saved_if_wanted(tmp_path, capsys, executed, save):
    paths = two_notebooks(tmp_path)
    before = [path.read_bytes() for path in paths]
    found = runner.run_notebooks(paths, save)
    assert [*found] == paths
    assert executed == [(tmp_path, "[1/2] a"), (tmp_path, "[2/2] b")]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["    Step 1: a"] * 2 and lines[2] in (
        "2 notebooks in 0 s",
        "2 notebooks in 1 s",
    )
    assert ([path.read_bytes() for path in paths] != before) == save


def test_a_notebook_that_cannot_be_saved_is_found_before_any_is_run(
    tmp_path, executed, monkeypatch
):
    def check(path):
        raise OSError(f"{path}: cannot be written")

    paths = two_notebooks(tmp_path)
    monkeypatch.setattr(runner, "check_file", check)
    with pytest.raises(OSError, match="cannot be written"):
        runner.run_notebooks(paths, save=True)
    assert executed == []
    assert len(runner.run_notebooks(paths)) == 2


@pytest.mark.parametrize(
    ("terminal", "shown"), [(True, ["\r", "\r", "\n"]), (False, [None, None, "\n"])]
)
def test_progress_counts_cells_of_code(capsys, monkeypatch, terminal, shown):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    cells = [new_code_cell("1"), new_markdown_cell("a"), new_code_cell("2"), new_code_cell("3")]
    report = runner.progress_line(new_notebook(cells=cells), "label")
    for number, end in enumerate(shown, 1):
        report(cell=None)
        line = "" if end is None else f"label  cell {number} of 3{end}"
        assert capsys.readouterr().out == line


def test_a_file_that_is_no_notebook_is_named_with_the_reason(tmp_path):
    file = tmp_path / "a.ipynb"
    for text, reason in (("{", "expected a notebook: .*JSON"), ("{}", "expected a notebook: .")):
        file.write_text(text)
        with pytest.raises(ValueError, match=rf"a\.ipynb: {reason}"):
            runner.read(file)


def test_lines_of_the_contract_are_those_printed():
    wrong = new_output("stream", name="stderr", text="Step 1: no\n")
    right = new_output("stream", text="Step 1: a\nStep 12: b\nOutput: class_logits=c\n Step 2: d")
    cells = [new_markdown_cell("Step 3: e"), new_code_cell("1", outputs=[wrong, right])]
    found = runner.printed_lines(new_notebook(cells=cells))
    assert found == ["Step 1: a", "Output: class_logits=c"]


def test_the_photographs_objects_lie_where_they_were_drawn():
    boxes = {name: torch.tensor(box) for name, box in PHOTO_OBJECTS.items()}
    person, tie = boxes["person"], boxes["tie"]
    for box in (person, tie):
        assert (box[:2] - box[2:] / 2).min() >= 0 and (box[:2] + box[2:] / 2).max() <= 1
    assert (tie[:2] - person[:2]).abs().max() < 0.2 and tie[2:].max() < 0.15
    image = load_photo(100)
    assert image.shape[1] == 3 and min(image.shape[-2:]) == 100
    tie_pixels = image[0, :, int(0.68 * image.shape[2]) : int(0.73 * image.shape[2]), 48:56]
    assert tie_pixels.mean() < image.mean()  # it is black


def test_a_difference_shows_where_its_interval_leaves_out_zero():
    for low, high, shows in (
        *((0.1, 2, True), (-2, -0.1, True), (-0.5, 0.5, False)),
        *((0, 2, False), (-2, 0, False), (-1, 0.5, False), (0.5, 3, True)),
    ):
        assert Summary([], 0.0, low, high).shows == shows


def test_runs_are_drawn_as_dots_their_mean_as_a_bar():
    summaries = {"DETR": Summary([40, 44], 0, 0, 0), "other": Summary([30, 31, 38], -9, -10, -8)}
    figure = draw_ablations(summaries)
    (axis,) = figure.axes
    assert figure.get_size_inches().round(2).tolist() == [8, 1.42]
    lines = [line.get_xydata().round(3).tolist() for line in axis.lines]
    assert lines == [
        [[40, 0], [44, 0]],
        [[42, -0.3], [42, 0.3]],
        [[30, 1], [31, 1], [38, 1]],
        [[33, 0.7], [33, 1.3]],
    ]
    assert to_hex(axis.lines[1].get_color()) == VERMILLION.lower()
    assert 0 < axis.patches[0].get_alpha() < 1 and 0 < axis.lines[0].get_alpha() < 1
    assert axis.patches[0].get_extents().width > 0 and axis.yaxis_inverted()
    assert [label.get_text() for label in axis.get_yticklabels()] == ["DETR", "other"]


ROWS = [
    {"variant": name, "seed": str(seed), "map": f"{40 + seed + i}", "duplicates": f"{seed / 8}"}
    for i, name in enumerate(["DETR", "b"])
    for seed in range(3)
]


def test_duplicates_are_told_with_two_digits_and_percents_with_one():
    ROWS[-1]["map"] = "44.26"
    ap, twice = (measure_table(ROWS, name).splitlines() for name in ("map", "duplicates"))
    assert ap[0] == "| variant | AP | against DETR | 95% interval | |"
    assert ap[2] == "| DETR | 41.0 | | | |" and ap[3].startswith("| b | 42.4 | +1.4 | ")
    assert twice[2] == "| DETR | 0.12 | | | |" and twice[3].startswith("| b | 0.12 | +0.00 | ")


def test_the_summary_of_detr_is_its_own_measure():
    base = results.summarize(ROWS)["DETR"]
    assert (base.values, base.difference, base.low, base.high) == ([40, 41, 42], 0, 0, 0)
    assert not base.shows


@pytest.mark.parametrize("column", ["seed", "steps", "map"])
def test_a_row_that_holds_no_number_is_named(tmp_path, column):
    file = tmp_path / "runs.csv"
    good = dict.fromkeys(results.COLUMNS, "1")
    rows = [good, good | {column: "many"}]
    lines = [",".join(results.COLUMNS), *(",".join(row.values()) for row in rows)]
    file.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"runs\.csv: row 2: expected a number or nothing"):
        read_ablations(file)
