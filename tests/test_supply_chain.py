"""What is installed and run is named by its hash, and known vulnerabilities are asked for."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.audit import audit, verdict

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LOCKED = re.split(r"\n(?=\w)", (ROOT / "requirements.txt").read_text(encoding="utf-8").strip())


def test_every_requirement_has_hashes():
    assert len(LOCKED) > 200
    for package in LOCKED:
        first, *rest = package.splitlines()
        assert re.fullmatch(r"[a-z0-9.-]+==[^ ]+( ; .*)? \\", first), first
        assert rest and all(
            re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}( \\)?", one) for one in rest
        )


def test_what_belongs_to_torch_is_locked_with_it():
    names = {package.split("==")[0] for package in LOCKED}
    assert {"torch", "torchvision", "triton", "nvidia-cudnn-cu13", "uv", "setuptools"} <= names


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_a_commit_and_says_its_version(path):
    used = re.findall(r"uses: *(.*)", path.read_text(encoding="utf-8"))
    assert used
    for one in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one


def test_an_action_has_one_version_in_all_workflows():
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    used = set(re.findall(r"uses: *(.*)", text))
    assert len(used) == len({one.split("@")[0] for one in used})


def test_workflows_may_write_nothing_but_the_pages():
    for path in WORKFLOWS:
        rights = yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"]
        writes = {name for name, right in rights.items() if right == "write"}
        assert writes == ({"pages", "id-token"} if path.name == "pages.yml" else set())


def test_updates_are_proposed_for_packages_and_actions():
    content = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    assert {one["package-ecosystem"] for one in content["updates"]} == {"pip", "github-actions"}
    assert all(one["directory"] == "/" and one["schedule"] for one in content["updates"])


def wheel(folder, name="sample", version="1.0"):
    """A package of one module, and its hash."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "answer = 42\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(inner, text)
        archive.writestr(f"{about}/RECORD", "".join(f"{inner},,\n" for inner in files))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix shell")
def test_the_set_up_refuses_a_package_whose_hash_is_another(tmp_path):
    wheels, project = tmp_path / "wheels", tmp_path / "project"
    wheels.mkdir()
    project.mkdir()
    shutil.copy(ROOT / "set_up.sh", project)
    right = wheel(wheels)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", project / ".venv"], check=True)
    (project / ".venv" / "bin" / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    from_wheels = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "UV_NO_INDEX": "1"}
    from_wheels |= {"UV_FIND_LINKS": str(wheels), "UV_NO_CACHE": "1", "TORCH": "cuda"}
    from_wheels["PYTHONPATH"] = sysconfig.get_path("purelib")  # pip is there
    for known in ("0" * 64, right):
        (project / "requirements.txt").write_text(f"sample==1.0 \\\n    --hash=sha256:{known}\n")
        command, env = ["sh", project / "set_up.sh"], {**os.environ, **from_wheels}
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        installed = list(project.glob(".venv/lib/*/site-packages/sample.py"))
        assert not (project / ".venv" / ".ready").exists()  # there is no project to install here
        refused = "uv could not install it" in done.stdout and "HASHES" in done.stderr  # pip's word
        assert (bool(installed), refused) == ((known == right), (known != right)), done.stderr


HOLE = {"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}
SOUND = {"name": "sound", "version": "2.0", "vulns": []}
SKIPPED = {"name": "unknown", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([SOUND], 0, "0 known vulnerabilities in 1 packages"),
        ([SOUND, {"name": "bad", "version": "1.0", "vulns": [HOLE]}], 1, "bad 1.0: PYSEC-1"),
        ([SOUND, SKIPPED], 2, "NOT AUDITED: 1 packages, as Dependency not found on PyPI"),
        ([], 2, "0 packages"),
    ],
)
def test_an_audit_that_did_not_ask_about_everything_is_none(packages, status, said):
    found, text = verdict(packages)
    assert found == status and said in text


def test_an_audit_without_a_network_says_so(tmp_path, monkeypatch):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(LOCKED[0] + "\n")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing answers there
    status, text = audit(requirements)
    assert status == 2 and text.startswith("NOT AUDITED: ")
