"""What is not installed is asked for by its extra, and each extra brings what its commands need."""

import sys

import pytest
from bare import ROOT, install, run_bare
from typer.main import get_command

from detr_steps.commands import app
from detr_steps.extras import EXTRAS, advice, how_to_install

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links packages as Unix does")
START = """
import runpy, sys

def start(*words):
    sys.argv = ["detr_steps", *words]
    try:
        runpy.run_module("detr_steps", run_name="__main__", alter_sys=False)
    except SystemExit as end:
        print("ended:", *words, end.code)

"""


def test_every_command_has_an_extra_that_there_is():
    assert list(EXTRAS) == list(get_command(app).commands)
    known = (ROOT / "pyproject.toml").read_text("utf-8")
    for extra in {name for names in EXTRAS.values() for name in names.split(",")}:
        assert f"\n{extra} = [" in known


def test_without_extras_each_command_asks_for_its_own(tmp_path):
    code = f"{START}start()\nstart('--help')\nfor name in {list(EXTRAS)}: start(name, '--help')"
    done = run_bare(install(tmp_path), code)
    error = "error: typer: expected the package, found none: "
    expected = [
        f"ended:{words} {error}{how_to_install(extra)}"
        for words, extra in [
            ("", "train"),
            (" --help", "train"),
            *((f" {name} --help", extra) for name, extra in EXTRAS.items()),
        ]
    ]
    assert done.stdout.splitlines() == expected, done.stderr


def test_a_fault_of_the_project_is_no_missing_extra():
    for name in ("detr_steps.nothing", "benchmarks", "experiments.x", None):
        error = ModuleNotFoundError("none", name=name)
        with pytest.raises(ModuleNotFoundError) as raised:
            advice(error, ["train"])
        assert raised.value is error
    assert advice(ModuleNotFoundError(name="sphinx.application"), ["-x", "site", "train"]) == (
        'error: sphinx: expected the package, found none: pip install "detr_steps[notebooks]"'
    )


LAZY = {  # what commands import only where they need it
    "notebooks": [
        "detr_steps.notebook.runner",
        "detr_steps.notebook.overview",
        "detr_steps.notebook.gallery",
        "detr_steps.pages.site",
        "detr_steps.pages.slides",
        "detr_steps.course.copies",
        "detr_steps.course.grading",
        "detr_steps.course.submission",
        "experiments.ablations",
        "experiments.film",
        "experiments.mutants",
    ],
    "huggingface,notebooks,onnx,openvino": ["benchmarks.run", "onnxruntime", "openvino"],
}


@pytest.mark.long
@pytest.mark.parametrize("extra", LAZY)
def test_an_extra_brings_what_its_commands_import(extra, tmp_path):
    code = "".join(f"import {module}\n" for module in ("detr_steps.commands", *LAZY[extra]))
    done = run_bare(install(tmp_path, *extra.split(",")), code)
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_with_the_extra_train_its_commands_work_and_others_ask_for_theirs(tmp_path):
    short = "'train', '--cpu', '--steps=1', '--pretrain-steps=1', '--scenes=8', '--choose-scenes=2'"
    photo = ROOT / "notebooks" / "overview.png"
    code = f"""{START}
start({short})
start('evaluate', 'runs/scenes/best.safetensors', '--cpu', '--scenes=2')
start('detect', {str(photo)!r})
start('export', 'model.onnx', '--weights=shipped')
start('run', {str(ROOT / "notebooks" / "Step0_ResNet_FPN.ipynb")!r})
"""
    done = run_bare(install(tmp_path, "train"), code)
    ends = [line for line in done.stdout.splitlines() if line.startswith("ended:")]
    assert all(line.endswith(" 0") for line in ends[:3]) and len(ends) == 5, done.stderr
    assert ends[3].endswith("--weights=shipped 1") and "nbformat" in ends[4]
    assert how_to_install("onnx") in done.stderr and how_to_install("notebooks") in ends[4]


@pytest.mark.long
def test_with_the_extras_of_export_a_file_of_onnx_is_written(tmp_path):
    code = f"{START}start('export', 'model.onnx', '--weights=shipped')"
    done = run_bare(install(tmp_path, *EXTRAS["export"].split(",")), code)
    assert "written: model.onnx" in done.stdout and (tmp_path / "model.onnx").stat().st_size > 1e5
