"""The files around the code that other programs and people read."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from detr_steps.commands import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[1].split())


def test_the_development_container_sets_up_with_make_and_uses_what_it_made():
    content = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    (target,) = re.fullmatch(r"make (\S+)", content["postCreateCommand"]).groups()
    assert f"READY := {target}\n" in MAKEFILE
    code = content["customizations"]["vscode"]
    assert {"ms-python.python", "ms-toolsai.jupyter"} <= set(code["extensions"])
    python = code["settings"]["python.defaultInterpreterPath"]
    folder = re.search(r"^BIN := (.*)$", MAKEFILE, re.M)[1]
    assert python == f"${{containerWorkspaceFolder}}/{folder}/python"
    for path in content["customizations"]["codespaces"]["openFiles"]:
        assert (ROOT / path).exists()


def test_the_citation_names_this_version_and_the_paper():
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    needed = {"cff-version", "title", "message", "authors"}  # by the format's schema, 1.2.0
    assert needed <= set(content) and str(content["version"]) == VERSION
    (paper,) = content["references"]
    assert paper["url"] in (ROOT / "README.md").read_text("utf-8")
    assert [one["family-names"] for one in paper["authors"]][::5] == ["Carion", "Zagoruyko"]


def commands_in(text):
    """The code of a page, block by block and within its lines."""
    return re.findall(r"```sh\n(.*?)```", text, re.S) + re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_tells_to_run_or_read_is_there(page):
    text = page.read_text("utf-8")
    code = "\n".join(commands_in(text))
    assert set(re.findall(r"\bmake ([a-z-]+)", code)) <= TARGETS
    known = set(get_command(app).commands)
    assert set(re.findall(r"-m detr_steps ([a-z]+)", code)) <= known
    paths = re.findall(r"(?<![\w./])((?:\.?[\w-]+/)+[\w.-]*|[\w-]+\.(?:toml|txt|py|md))", code)
    beside = ("", "detr_steps/exercises/mistakes")
    for path in paths:
        if not path.startswith(".venv/"):
            assert any((ROOT / folder / path).exists() for folder in beside), path
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert link.startswith("https://") or (ROOT / link).exists()


def test_the_mistake_that_contributors_are_shown_is_one():
    text = PAGES[0].read_text("utf-8")
    (shown,) = tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.S)[1])["mistake"]
    folder = ROOT / "detr_steps" / "exercises" / "mistakes"
    assert shown in tomllib.loads((folder / "encoder.toml").read_text("utf-8"))["mistake"]


def test_the_changelog_begins_with_what_is_not_yet_released_and_goes_back_in_time():
    text = PAGES[1].read_text("utf-8")
    first, *editions = re.findall(r"^## (.*)$", text, re.M)
    dates = [re.search(r"\d{4}-\d\d-\d\d", edition)[0] for edition in editions]
    assert first == "Unreleased" and dates == sorted(dates, reverse=True)
    kinds = set(re.findall(r"^### (.*)$", text, re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert f"has been {VERSION} " in text


def test_all_workflows_are_yaml_and_run_targets_that_exist():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
        lines = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
        assert lines
        for words in (line.split() for line in lines if "make " in line):
            called = words[words.index("make") + 1 :]
            assert {word for word in called if re.fullmatch("[a-z-]+", word)} <= TARGETS
