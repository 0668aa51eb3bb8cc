"""The shape of the project itself."""

import ast
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import detr_steps

ROOT = Path(__file__).parent.parent
PACKAGE = Path(detr_steps.__file__).parent
STEP_FILES = sorted(PACKAGE.glob("step*.py"))


def test_one_file_a_step():
    assert [path.name[:6] for path in STEP_FILES] == [f"step{i}_" for i in range(9)]


def imported_by(statement):
    """The modules of the project that a fresh Python has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split() if name.startswith("detr_steps")]


def test_the_package_loads_the_steps_and_what_they_need_and_nothing_else():
    beside = ["backbone", "inputs", "official"]
    modules = sorted([*beside, *(path.stem for path in STEP_FILES)])
    assert imported_by("import detr_steps") == [
        "detr_steps",
        *(f"detr_steps.{name}" for name in modules),
    ]


def test_the_rooms_are_those_of_the_map():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {path.stem for path in STEP_FILES}
    named = re.findall(r"^    (\w+)  +\w", detr_steps.__doc__, re.M)
    assert rooms | {"official", "inference"} <= set(named)
    assert modules == {
        "__init__",
        "__main__",
        "backbone",
        "commands",
        "inference",
        "inputs",
        "official",
    }
    for room in rooms:
        assert ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text("utf-8")))


PARTS = [PACKAGE, ROOT / "benchmarks", ROOT / "experiments"]
FILES = [path for part in PARTS for path in sorted(part.rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_function_is_long(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 40, node.name


def test_nothing_is_patched_outside_of_tests():
    for path in FILES:
        assert "mock" not in path.read_text(encoding="utf-8"), path


def test_the_readme_links_every_notebook_and_names_both_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"(notebooks/{path.name})" in readme
    assert "make run" in readme and "make test" in readme
    for alt, link in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", readme):
        assert alt and (ROOT / link).exists()


def test_the_readmes_example_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    exercise, example, *_ = re.findall(r"```python\n(.*?)```", readme, re.S)
    namespace = {}
    exec(re.sub(r"^check", "answer = check", exercise, flags=re.M), namespace)
    assert str(namespace["answer"]) == re.search(r'# "(.*)"', exercise)[1]
    exec(example.replace("480, 640", "64, 96"), namespace)
    assert namespace["model"].class_head.weight.grad.isfinite().all()


def test_the_pins_are_within_the_ranges():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = {line.split("==")[0]: line.split("==")[1].split(" ")[0] for line in lines}
    for text in requires("detr_steps"):
        requirement = Requirement(text)
        if requirement.name != "detr_steps":
            assert pins[requirement.name] in requirement.specifier, text
    assert not any(name.startswith(("nvidia", "cuda", "triton")) for name in pins)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize(
    ("options", "asked"), [([], "-r requirements.txt"), (["TORCH=cpu"], "--torch-backend cpu")]
)
@pytest.mark.parametrize("uv_works", [True, False])
def test_the_set_up_asks_uv_and_falls_back_to_pip(options, asked, uv_works, tmp_path):
    for name, status in (("python", 0), ("uv", 0 if uv_works else 2)):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $@" >> {tmp_path}/calls\nexit {status}\n')
        program.chmod(0o755)
    ready = tmp_path / "ready"
    command = ["make", f"BIN={tmp_path}", f"READY={ready}", "PYTHON=true", *options, str(ready)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert any(call.startswith("uv pip install") and asked in call for call in calls)
    by_pip = "python -m pip install --quiet -r requirements.txt -e ."
    assert (by_pip in calls) is not uv_works
    assert ready.exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_alone_prints_every_target():
    command = ["make", "--no-print-directory"]  # which make prints inside of `make test`
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.M)[1].split()
    shown = [line.split()[1] for line in lines.splitlines()]
    assert shown == targets and all(len(line.split()) > 2 for line in lines.splitlines())


@pytest.fixture
def lab():
    """The address of a JupyterLab that is started as `make lab` starts it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    options = re.search(r"jupyter lab (.*)", makefile.replace("\\\n", ""))[1].split()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=test"]
    command = [sys.executable, "-m", "jupyterlab", *options, *more]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(30)


def fetch(address):
    """What a server gives, and from where in the end; it may still be starting."""
    for _ in range(120):
        try:
            with urllib.request.urlopen(f"{address}?token=test", timeout=5) as answer:
                return answer.url, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(address)


@pytest.mark.slow
def test_the_lab_opens_at_the_notebooks_and_reaches_what_they_link_to(lab):
    assert "/lab/tree/notebooks" in fetch(f"{lab}/")[0]
    for path in ("notebooks/Step4_Encoder.ipynb", "detr_steps/step4_encoder.py", "README.md"):
        assert json.loads(fetch(f"{lab}/api/contents/{path}")[1])["path"] == path
    assert fetch(f"{lab}/api/contents/no_such_file.py")[0] == 404
