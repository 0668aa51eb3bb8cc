"""The shape of the project itself."""

import ast
import re
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


HELPERS = [PACKAGE / "inputs.py", PACKAGE / "folding.py"]


@pytest.mark.parametrize("path", [*STEP_FILES, *HELPERS], ids=lambda path: path.stem)
def test_no_step_imports_what_surrounds_the_steps(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert re.fullmatch(r"inputs|folding|step\d_\w+", node.module), ast.unparse(node)


def test_a_step_imports_only_earlier_steps():
    for path in STEP_FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level and node.module.startswith("step"):
                assert node.module[:6] < path.stem[:6]


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
