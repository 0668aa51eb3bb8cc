"""The shape of the project itself."""

import ast
import json
import os
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
import torch
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
    beside = ["arguments", "backbone", "inputs", "official"]
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
        "arguments",
        "backbone",
        "commands",
        "extras",
        "writing",
        "inputs",
        "official",
        "reading",
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
        badge = link.startswith("../../actions/")  # of this very repository, on GitHub
        assert alt and (badge or (ROOT / link).exists())


def test_the_readmes_example_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    exercise, example, *_ = re.findall(r"```python\n(.*?)```", readme, re.S)
    namespace = {}
    exec(re.sub(r"^check", "answer = check", exercise, flags=re.M), namespace)
    assert str(namespace["answer"]) == re.search(r'# "(.*)"', exercise)[1]
    exec(example.replace("480, 640", "64, 96"), namespace)
    assert namespace["model"].class_head.weight.grad.isfinite().all()


def test_the_pins_are_within_the_ranges():
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.M))
    for text in requires("detr_steps"):
        requirement = Requirement(text)
        if requirement.name != "detr_steps":
            assert pins[requirement.name] in requirement.specifier, text


needs_make = pytest.mark.skipif(
    shutil.which("make") is None or sys.platform == "win32", reason="needs make, and a Unix shell"
)
SMALL, LARGE = "about 0.6 GB to download, 2 GB on disk", "about 3.4 GB to download, 7 GB on disk"
INSTALL = "uv pip install --quiet --compile-bytecode"
HASHED = f"{INSTALL} --require-hashes --no-deps --build-constraints requirements.txt -r"
TO_USUAL = f"{HASHED} requirements.txt"
BY_PIP = "python -m pip install --quiet --require-hashes --no-deps -r requirements.txt"
PACKAGE_ITSELF = "python -m pip install --quiet --no-deps --no-build-isolation -e ."


def to_cpu(folder):
    """The calls of the CPU-only build: all but PyTorch by their hashes, then PyTorch."""
    pins = re.findall(r"^(?:torch|torchvision)==\S+", (ROOT / "requirements.txt").read_text(), re.M)
    return [
        f"{HASHED} {folder}/locked.txt",
        f"{INSTALL} --no-deps --torch-backend cpu {' '.join(pins)}",
    ]


def set_up(folder, *options, system="Linux", gpu=False, index=True, uv=True):
    """What `make` prints while it sets up with programs that only print how they are called."""
    fails = {True: "exit 0", False: "exit 2"}
    programs = {
        "python": "",
        "uv": f'case "$*" in *--dry-run*) {fails[index]};; *) {fails[uv]};; esac',
        "nvidia-smi": fails[gpu],
        "uname": f"echo {system}; exit 0",
    }
    for name, body in programs.items():
        said = "" if name == "uname" else f'echo "{name} $@"\n'
        (folder / name).write_text(f"#!/bin/sh\n{said}{body}\n")
        (folder / name).chmod(0o755)
    ready = folder / "ready"
    command = ["make", f"BIN={folder}", f"READY={ready}", "PYTHON=true", *options, str(ready)]
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    env = {name: value for name, value in os.environ.items() if name not in ("TORCH", "MAKEFLAGS")}
    done = subprocess.run(
        [*command, "--no-print-directory"],
        cwd=ROOT,
        env={**env, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@needs_make
@pytest.mark.parametrize(
    ("options", "around", "why", "size", "installed"),
    [
        ([], {}, "no NVIDIA GPU was found", SMALL, None),
        ([], {"gpu": True}, "an NVIDIA GPU was found", LARGE, TO_USUAL),
        (["TORCH=cpu"], {"gpu": True}, "TORCH=cpu", SMALL, None),
        (["TORCH=cuda"], {}, "TORCH=cuda", LARGE, TO_USUAL),
        (["TORCH="], {"system": "Darwin"}, "macOS has one build", SMALL, TO_USUAL),
        (["TORCH=cpu"], {"system": "Darwin"}, "macOS has one build", SMALL, TO_USUAL),
    ],
)
def test_the_set_up_says_what_comes_before_it_loads_it(
    options, around, why, size, installed, tmp_path
):
    reason, what, *calls = set_up(tmp_path, *options, **around)
    assert why in reason and size in what
    installs = [call for call in calls if "dry-run" not in call and "pip install" in call]
    assert installs == [*([installed] if installed else to_cpu(tmp_path)), PACKAGE_ITSELF]


@needs_make
def test_where_pytorchs_index_is_out_of_reach_the_larger_size_is_said_first(tmp_path):
    lines = set_up(tmp_path, index=False)
    assert SMALL in lines[1] and "dry-run" in lines[2]
    assert "PyTorch's own index cannot be used" in lines[3] and LARGE in lines[4]
    assert lines[5] == TO_USUAL and BY_PIP not in lines
    assert not any("dry-run" in line for line in set_up(tmp_path, "TORCH=cuda", index=False))


@needs_make
@pytest.mark.parametrize("gpu", [False, True])
def test_what_uv_cannot_install_pip_does_and_the_size_is_said(gpu, tmp_path):
    lines = set_up(tmp_path, gpu=gpu, uv=False)
    at = lines.index(TO_USUAL if gpu else to_cpu(tmp_path)[0])
    assert "uv could not install it" in lines[at + 1] and LARGE in lines[at + 2]
    assert lines[at + 3] == BY_PIP


@needs_make
def test_a_build_that_was_set_up_stays(tmp_path):
    set_up(tmp_path, "TORCH=cuda")
    os.utime(tmp_path / "ready", (0, 0))
    reason, what, *calls = set_up(tmp_path, "TORCH=cpu")
    assert "make clean lets you choose anew" in reason and LARGE in what and TO_USUAL in calls


@needs_make
def test_an_unknown_build_is_refused_before_anything_is_loaded(tmp_path):
    command = ["make", f"BIN={tmp_path}", f"READY={tmp_path}/ready", "TORCH=rocm"]
    done = subprocess.run([*command, f"{tmp_path}/ready"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode and "TORCH: expected cpu or cuda, found rocm" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="sizes are those of Linux")
@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs an environment of its own")
def test_the_size_that_the_set_up_says_is_that_of_the_environment():
    said = SMALL if torch.version.cuda is None else LARGE
    files = (Path(folder, name) for folder, _, names in os.walk(sys.prefix) for name in names)
    size = sum(path.lstat().st_size for path in files) / 1e9
    assert size == pytest.approx(float(re.search(r"([\d.]+) GB on disk", said)[1]), rel=0.25)


@needs_make
def test_progress_is_shown_on_a_terminal_alone(tmp_path):
    import pty

    assert set(to_cpu(tmp_path)) < set(set_up(tmp_path)) and "--quiet" in INSTALL
    (tmp_path / "ready").unlink()
    command = f"make BIN={tmp_path} READY={tmp_path}/ready PYTHON=true TORCH=cuda {tmp_path}/ready"
    main, terminal = pty.openpty()
    done = subprocess.run(
        command.split(), cwd=ROOT, stdout=subprocess.PIPE, stderr=terminal, text=True
    )
    os.close(main)
    os.close(terminal)
    assert TO_USUAL.replace("--quiet ", "") in done.stdout.splitlines()


@needs_make
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
    options = re.search(r"jupyter lab (.*)", makefile)[1].split()
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
