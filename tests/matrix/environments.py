"""Environments with another Python or another pair of torch and torchvision, made by uv.

A Python that the machine lacks can come from a Debian root: a folder that holds a whole Debian,
made by `python -m tests.matrix --root sid`. Its programs run in `bwrap`, with the machine's own
files under `/host`.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = Path(os.environ.get("MATRIX_HOME", ROOT / "build" / "matrix"))
REQUIREMENTS = ROOT / "requirements.txt"
PYTORCH = (
    r"torch|torchvision|triton|nvidia-.*|cuda-.*"  # what a pair of torch and torchvision brings
)
IN_ROOT = ["git", "make", "ca-certificates", "python3-venv"]


class Unavailable(Exception):
    """This machine lacks something that a row needs; the message says what."""


def locked(left_out: str = "$^") -> str:
    """The lines of requirements.txt, without the packages whose name matches a pattern."""
    packages = re.split(r"\n(?=\w)", REQUIREMENTS.read_text(encoding="utf-8").strip())
    kept = [one for one in packages if not re.fullmatch(left_out, one.split("==")[0])]
    return "\n".join(kept) + "\n"


@dataclass(frozen=True)
class Environment:
    """What is installed: a Python, and what differs from requirements.txt.

    Args:
        python: its version, as "3.14".
        pair: the pins of torch and torchvision, if others than those of requirements.txt.
        without: packages that have no build for this Python.
        suite: the Debian that has this Python.
    """

    python: str
    pair: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    suite: str = ""

    @property
    def folder(self) -> Path:
        """Where it lies: another one for each state of requirements.txt."""
        state = f"{self}{REQUIREMENTS.read_text(encoding='utf-8')}"
        name = "-".join([self.python, *(pin.replace("==", "") for pin in self.pair)])
        return HOME / "environments" / f"{name}-{hashlib.sha256(state.encode()).hexdigest()[:8]}"

    def command(self) -> list[str]:
        """What starts its Python, after it was installed if it was not there."""
        python, prefix = self.interpreter()
        inside = "/host" if prefix else ""
        program, folder = f"{inside}{uv()}", f"{inside}{self.folder}"
        install = [*prefix, program, "pip", "install", "--quiet", "--python", folder]
        if not (self.folder / "ready").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            run([*prefix, program, "venv", "--quiet", "--python", python, folder])
            self.fill(install, inside)
            (self.folder / "ready").touch()
        run([*install, "--no-deps", "--no-build-isolation", "--editable", f"{inside}{ROOT}"])
        return [*prefix, f"{folder}/bin/python"]

    def fill(self, install: list[str], inside: str) -> None:
        """Installs what requirements.txt names, with its hashes, and another pair without."""
        left_out = "|".join([*self.without, PYTORCH] if self.pair else self.without) or "$^"
        (self.folder / "locked.txt").write_text(locked(left_out), encoding="utf-8")
        lines = f"{inside}{self.folder}/locked.txt"
        run([*install, "--require-hashes", "--no-deps", "--requirements", lines])
        if self.pair:
            run([*install, *self.pair])

    def interpreter(self) -> tuple[str, list[str]]:
        """A Python of this version, and what its command line begins with."""
        for path in found(self.python):
            if version(path) == self.python:
                return str(path), []
        root = HOME / "roots" / self.suite
        if not self.suite or not (root / "usr/bin" / f"python{self.python}").exists():
            hint = f" (python -m tests.matrix --root {self.suite} makes one)" if self.suite else ""
            raise Unavailable(f"no Python {self.python}{hint}")
        return f"/usr/bin/python{self.python}", in_root(root)


def found(wanted: str) -> list[Path]:
    """Programs that may be a Python of this version."""
    path = shutil.which(f"python{wanted}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [*([Path(path)] if path else []), *pyenv.glob(f"{wanted}.*/bin/python{wanted}")]


def version(python: Path) -> str:
    """The version that a Python says it has, as "3.14"; empty if it does not run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def in_root(root: Path) -> list[str]:
    """What starts a program in a Debian root, in the project's folder."""
    if shutil.which("bwrap") is None:
        raise Unavailable("no bwrap")
    command = ["bwrap", "--bind", str(root), "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"]
    command += ["--tmpfs", "/tmp", "--bind", "/", "/host", "--chdir", f"/host{ROOT}"]
    for path in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"):  # as the machine's
        command += ["--ro-bind-try", path, path]
    cache = os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))  # links, no copies
    command += ["--setenv", "UV_CACHE_DIR", f"/host{cache}", "--setenv", "HOME", "/root"]
    return [*command, "--setenv", "PATH", "/usr/bin:/usr/sbin"]


def make_root(suite: str) -> None:
    """Makes a Debian root, with all its Pythons from 3.11 on: some 0.5 GB, and a minute."""
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        raise Unavailable("a Debian root needs debootstrap, and root's rights")
    pythons = {"bookworm": ["3.11"], "trixie": ["3.13"]}.get(suite, ["3.14", "3.15"])
    names = [f"python{one}{part}" for one in pythons for part in ("", "-venv")]
    root = HOME / "roots" / suite
    root.parent.mkdir(parents=True, exist_ok=True)
    include = ",".join([*IN_ROOT, *names])
    run(["debootstrap", "--variant=minbase", f"--include={include}", suite, str(root)])


def uv() -> str:
    """uv's program, which is installed beside this Python."""
    beside = Path(sys.executable).parent / "uv"
    path = str(beside) if beside.exists() else shutil.which("uv")
    if path is None:
        raise Unavailable("no uv")
    return path


def run(command: list[str]) -> None:
    """Runs a command; if it fails, what it printed is the error's text."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
