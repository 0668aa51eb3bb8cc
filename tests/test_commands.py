"""The commands that run notebooks, draw pictures and measure; others have tests of their own."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from cli import accepted, refused
from PIL import Image
from typer.testing import CliRunner

import benchmarks.run
import experiments.ablations
import experiments.film
import experiments.mutants
from detr_steps.commands import app
from detr_steps.notebook.film import FILM
from detr_steps.notebook.results import ABLATIONS
from experiments.ablations import Study

HEAVY = ("IPython", "matplotlib", "nbformat", "transformers", "experiments", "benchmarks")


def test_the_start_is_light():
    loaded = f"import sys, detr_steps.commands; print({{*sys.modules}} & {{*{HEAVY}}})"
    result = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr


def write_notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_notebooks_are_run_and_written_as_pages(tmp_path):
    path = write_notebook(tmp_path / "Step1_small.ipynb", "1 + 1", "print('Step 1: a\\nother')")
    (tmp_path / "terms.md").write_text("[lesson](Step1_small.ipynb)")
    before, out = path.read_bytes(), tmp_path / "pages"
    printed = accepted("run", path, "--out", out).splitlines()
    assert printed[:2] == ["[1/1] Step1_small  cell 2 of 2", "    Step 1: a"]
    assert len(printed) == 4 and re.fullmatch(r"1 notebooks in \d+ s", printed[2])
    assert printed[3] == f"the pages are in {out}/: open {out / 'index.html'}"
    assert "other" in (out / "Step1_small.html").read_text("utf-8")
    assert 'href="Step1_small.html"' in (out / "terms.html").read_text("utf-8")
    assert path.read_bytes() == before


def test_outputs_are_saved_up_to_the_notebook_that_fails(tmp_path):
    good = write_notebook(tmp_path / "Step1_small.ipynb", "1 + 1")
    bad = write_notebook(tmp_path / "Step2_small.ipynb", "1 / 0")
    command = ["run", str(good), str(bad), "--save", "--out", str(tmp_path / "pages")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1 and "ZeroDivisionError" in str(result.exception)
    (output,) = nbformat.read(good, as_version=4).cells[0].outputs
    assert output.data == {"text/plain": "2"}


@pytest.mark.parametrize("command", ["run", "course"])
def test_a_folder_without_notebooks_is_refused(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no notebooks found: run this in the project's folder" in refused(command)


def test_a_notebook_that_is_not_there_is_refused(tmp_path):
    assert "none.ipynb" in refused("run", tmp_path / "none.ipynb", "--out", tmp_path)


@pytest.mark.parametrize(("command", "size"), [("overview", (1300, 635)), ("gallery", (1200, 440))])
def test_pictures_are_drawn_into_files(command, size, tmp_path):
    accepted(command, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == size
    assert "picture.png" in refused(command, tmp_path / "none" / "picture.png")


@pytest.fixture
def calls(monkeypatch):
    """The arguments of the studies, which are not carried out."""
    found = []
    monkeypatch.setattr(experiments.ablations, "run_ablations", lambda *args: found.append(args))
    monkeypatch.setattr(experiments.film, "record_film", lambda *args: found.append(args))
    monkeypatch.setattr(benchmarks.run, "run_benchmarks", lambda *args: found.append(args))
    return found


def test_ablations_get_their_options(calls, tmp_path):
    accepted("ablations")
    options = ["--seeds=2", "--steps=3", "--pretrain-steps=4", "--scenes=5", "--jobs=6", "--only=a"]
    accepted("ablations", "--out", tmp_path / "a.csv", *options)
    default, given = Study(1000, 800, 8000), Study(3, 4, 5)
    assert calls == [(ABLATIONS, 6, default, 1, None), (tmp_path / "a.csv", 2, given, 6, ["a"])]


def test_the_film_gets_its_options(calls, tmp_path):
    accepted("film")
    options = ["--steps=3", "--pretrain-steps=4", "--scenes=5"]
    accepted("film", "--out", tmp_path / "f.safetensors", *options)
    assert calls == [(FILM, 1500, 1000, 8000), (tmp_path / "f.safetensors", 3, 4, 5)]


def test_benchmarks_get_their_options(calls, tmp_path):
    accepted("benchmarks")
    accepted("benchmarks", "--out", tmp_path, "--pairs=2", "--only=loss", "--only=memory")
    assert calls == [(benchmarks.run.HERE, 5, None), (tmp_path, 2, ["loss", "memory"])]


def test_an_unknown_group_of_benchmarks_is_refused_with_the_known_ones():
    printed = " ".join(refused("benchmarks", "--only", "speed").replace("│", "").split())
    assert "expected one of inference, compiled, loss," in printed and "found speed" in printed


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("ablations", "experiments.ablations"),
        ("film", "experiments.film"),
        ("mutants", "experiments.mutants"),
        ("benchmarks", "benchmarks.run"),
    ],
)
def test_outside_of_a_checkout_the_studies_are_refused(command, module, monkeypatch):
    folder = module.partition(".")[0]
    for name in (folder, module):
        monkeypatch.delitem(sys.modules, name)
    elsewhere = [path for path in sys.path if not (Path(path) / folder).is_dir()]
    monkeypatch.setattr(sys, "path", elsewhere)
    assert f"{folder}/ not found: run this in a checkout of the project" in refused(command)
