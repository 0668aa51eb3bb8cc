"""A Python that sees only the packages that some of the project's extras bring."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent


def brought_by(*extras: str) -> set[str]:
    """The names of all packages that `pip install detr_steps[extras]` brings."""
    todo, seen = [("detr-steps", extra) for extra in ("", *extras)], set()
    while todo:
        name, extra = one = todo.pop()
        if one not in seen:
            seen.add(one)
            for needed in asked_for(name, extra):
                package = canonicalize_name(needed.name)
                todo += [(package, wanted) for wanted in ("", *needed.extras)]
    return {name for name, _ in seen} - {"detr-steps"}


def asked_for(name: str, extra: str) -> list[Requirement]:
    """What a package asks for here, with one of its extras."""
    if name == "detr-steps":  # as it stands here: it may have been installed before
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        extras = {"": project["dependencies"], **project["optional-dependencies"]}
        return list(map(Requirement, extras[extra]))
    try:
        found = map(Requirement, requires(name) or ())
    except PackageNotFoundError:  # of another system
        return []
    return [one for one in found if not one.marker or one.marker.evaluate({"extra": extra})]


def install(folder: Path, *extras: str) -> Path:
    """Links what the extras bring into a folder, out of the environment of the tests."""
    for name in brought_by(*extras):
        try:
            files = distribution(name).files or ()
        except PackageNotFoundError:
            continue
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            place = folder / top
            if not place.exists():
                place.symlink_to(distribution(name).locate_file(top))
    return folder


def run_bare(folder: Path, code: str) -> subprocess.CompletedProcess:
    """Runs code in a Python that sees the project and such a folder."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-S", "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, cwd=folder)
