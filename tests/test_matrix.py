"""The matrix: its rows name what they should, and a difference or a failure does not get lost."""

import json
import subprocess
import sys
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from tests.matrix import __main__ as matrix
from tests.matrix import rows as rows_module
from tests.matrix.environments import Unavailable, locked
from tests.matrix.rehearsal import PICTURE, TRAINED, differences
from tests.matrix.rows import OLDEST, ROWS, SELECTIONS, Row

ROOT = Path(__file__).parent.parent


def test_every_setting_stands_in_a_row():
    set_to = {pair for row in ROWS for pair in row.variables.items()}
    assert set_to == {
        *(("ATEN_CPU_CAPABILITY", level) for level in ("default", "avx2", "avx512")),
        *(("ONEDNN_MAX_CPU_ISA", level) for level in ("SSE41", "AVX2")),
        ("DETR_STEPS_EXAMPLES", "100"),
    }
    assert {row.threads for row in ROWS} == {1, 2, 4}
    assert [row.surroundings()["OMP_NUM_THREADS"] for row in ROWS[:2]] == ["1", "2"]
    pythons = {row.environment.python for row in ROWS if row.environment}
    assert pythons == {"3.11", "3.12", "3.13", "3.14", "3.15"}
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_oldest_pair_is_the_least_that_the_package_asks_for():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for pin in OLDEST:
        name, version = pin.split("==")
        assert f'"{name}>={version.rsplit(".", 1)[0]}"' in text


def test_every_selection_names_files_that_exist():
    for words in SELECTIONS.values():
        for word in words:
            path = word.removeprefix("--ignore=")
            assert "/" not in path or (ROOT / path).exists(), word


def test_what_is_left_out_of_the_locked_packages_is_whole():
    lines = locked("torch|nvidia-.*")
    assert "\ntorch==" not in lines and "nvidia-" not in lines and "\ntorchvision==" in lines
    assert locked() == (ROOT / "requirements.txt").read_text(encoding="utf-8")


def picture(change=0, column=20, size=64):
    """A grey picture with a dark line."""
    pixels = np.full((size, size, 3), 200, np.uint8)
    pixels[8:40, column] = 20
    pixels[0, 0] += change
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def notebook(text="1", image=None, tags=()):
    """A notebook of one cell that prints a text and shows a picture."""
    data = nbformat.v4.new_output("display_data", {PICTURE: image or picture(), "text/plain": "x"})
    outputs = [nbformat.v4.new_output("stream", text=text), data]
    cell = nbformat.v4.new_code_cell("...", outputs=outputs, metadata={"tags": list(tags)})
    return nbformat.v4.new_notebook(cells=[cell])


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, []),
        ({"image": picture(change=9)}, []),
        ({"image": picture(column=21)}, ["of a picture's pixels differ"]),
        ({"image": picture(size=65)}, ["of a picture's pixels differ"]),
        ({"text": "2"}, ["stored stdout '1', found '2'"]),
        ({"text": "2", "tags": ["nbval-ignore-output"]}, []),
        ({"image": picture(column=32), "tags": [TRAINED]}, []),
        ({"image": picture(column=33), "tags": [TRAINED]}, ["of a picture's pixels differ"]),
        ({"image": picture(size=65), "tags": [TRAINED]}, ["of a picture's pixels differ"]),
        ({"text": "2", "tags": [TRAINED]}, ["stored stdout '1', found '2'"]),
    ],
)
def test_a_rehearsal_finds_other_text_and_other_pictures(changed, found):
    tags = changed.get("tags", ())
    said = list(differences(notebook(tags=tags), notebook(**changed)))
    assert len(said) == len(found) and all(
        part in one for part, one in zip(found, said, strict=True)
    )


def test_a_rehearsal_finds_an_output_that_is_missing():
    less = notebook()
    del less.cells[0].outputs[0]
    assert "found ['image/png', 'text/plain']" in next(differences(notebook(), less))


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_one"/>
<testcase classname="tests.test_a" name="test_two"><failure>no</failure></testcase>
<testcase classname="tests.test_a" name="test_three"><skipped/></testcase>
<testcase classname="notebooks.Step0.ipynb" name="Cell 0"/>
<testcase classname="notebooks.Step0.ipynb" name="Cell 1"><error>no</error></testcase>
</testsuite></testsuites>"""


def test_tests_and_cells_are_counted_apart(tmp_path):
    (tmp_path / "junit.xml").write_text(JUNIT)
    counts = matrix.counted(tmp_path / "junit.xml")
    assert matrix.counts_of(counts, "tests") == "1 passed, 1 failed, 1 skipped"
    assert matrix.counts_of(counts, "cells") == "1 passed, 1 failed"


def lacking():
    raise Unavailable("no such processor")


@pytest.fixture
def rows(monkeypatch, tmp_path):
    """Three rows: one passes, one fails, and this machine cannot run the third."""
    kinds = {"good": ("True", list), "bad": ("False", list), "absent": ("True", lacking)}
    made = []
    for name, (value, prefix) in kinds.items():
        file = tmp_path / f"test_{name}.py"
        file.write_text(f"def test_it(): assert {value}\n")
        monkeypatch.setitem(SELECTIONS, name, [str(file)])
        made.append(Row(name, f"it is {name}", name, prefix=prefix))
    monkeypatch.setattr(matrix, "ROWS", made)
    monkeypatch.setattr(rows_module, "OPTIONS", ["-q"])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(matrix, "HOME", tmp_path / "home")
    monkeypatch.setattr(matrix, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(matrix, "processor", lambda: "a chip")


def test_a_failed_row_fails_the_matrix_and_one_that_cannot_run_does_not(rows, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["matrix", "good", "absent"])
    assert matrix.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| `good` | it is good | good | 1 passed |  | passed | a chip |" in lines
    absent = "| `absent` | it is absent | absent |  |  | not run: no such processor | a chip |"
    assert absent in lines
    monkeypatch.setattr(sys, "argv", ["matrix"])
    assert matrix.main() == 1
    said = capsys.readouterr().out
    assert "| `bad` | it is bad | bad | 1 failed |  | failed | a chip |" in said.splitlines()
    assert "good: it is good" not in said  # it has a result of these files
    kept = json.loads(matrix.RESULTS.read_text())
    assert set(kept["rows"]) == {"good", "absent"}  # what failed runs again
    assert kept["rows"]["good"]["tests passed"] == 1 and kept["state"] == matrix.state()


def test_results_of_other_files_do_not_count(rows):
    matrix.keep({"good": {"result": "passed"}}, "abc")
    assert matrix.known_results("abc") == {"good": {"result": "passed"}}
    assert matrix.known_results("abd") == {}
    matrix.RESULTS.unlink()
    assert matrix.known_results("abc") == {}


def test_a_state_is_that_of_all_files_but_those_that_record_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "ROOT", tmp_path)
    matrix.git("init", "--quiet")
    for name in ("a.py", "tests/results.csv", *matrix.RECORDS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    matrix.git("add", "--all")
    before = matrix.state()
    for name in ("new.py", *matrix.RECORDS):  # the first is no part of the project yet
        (tmp_path / name).write_text("2")
    assert matrix.state() == before
    for name in ("a.py", "tests/results.csv"):
        (tmp_path / name).write_text("2")
        assert matrix.state() != before
        (tmp_path / name).write_text("1")


def test_records_of_runs_are_files_of_the_project():
    missing = {name for name in matrix.RECORDS if not (ROOT / name).is_file()}
    assert missing <= {matrix.RESULTS.relative_to(ROOT).as_posix()}  # no row has run yet


@pytest.mark.skipif(not matrix.RESULTS.exists(), reason="no row of these files has run yet")
def test_the_kept_results_are_of_rows_that_passed_or_could_not_run():
    rows = json.loads(matrix.RESULTS.read_text(encoding="utf-8"))["rows"]
    assert set(rows) <= {row.name for row in ROWS}
    assert not any(map(matrix.has_failed, rows.values()))


def test_the_table_goes_between_the_markers_of_the_readme(monkeypatch, tmp_path):
    monkeypatch.setattr(matrix, "README", tmp_path / "README.md")
    start, end = matrix.MARKERS
    matrix.README.write_text(f"before\n{start}old\n{end}\nafter\n")
    matrix.save("new\n")
    assert matrix.README.read_text() == f"before\n{start}new\n{end}\nafter\n"
    matrix.README.write_text("nothing")
    with pytest.raises(ValueError, match="expected one"):
        matrix.save("new\n")


def test_the_readme_shows_rows_of_the_matrix_and_no_failure():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start, end = matrix.MARKERS
    shown = readme[readme.index(start) : readme.index(end)]
    lines = [line for line in shown.splitlines() if line.startswith("| `")]
    assert {line.split("`")[1] for line in lines} <= {row.name for row in ROWS}
    assert "failed" not in shown


def test_an_unknown_row_is_refused():
    command = [sys.executable, "-m", "tests.matrix", "riscv"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "unknown rows riscv: expected all, default" in done.stderr
