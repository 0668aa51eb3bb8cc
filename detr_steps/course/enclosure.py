"""Makes with `mount` what `bwrap` would make: a view of the system with a few folders in it.

A script and no module, because it is the first process in the new namespaces that `unshare` made,
where importing the package would take seconds: `unshare ... python enclosure.py JOB`.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

NODES = ("null", "zero", "full", "random", "urandom", "tty")
TIMES = {"noatime", "relatime"}


def run(*command: str | Path) -> None:
    """Runs a tool; where that fails, its own words are the last on stderr."""
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
        sys.exit(1)


def mount_tmpfs(place: Path) -> None:
    """A small folder in memory, which holds little but what is mounted in it."""
    place.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=755,size=1m,nosuid", "tmpfs", place)


def bind(source: Path, place: Path, how: str) -> None:
    """Shows at `place` what is at `source`: how is "bind", or "rbind" with mounts in it."""
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.touch()
    run("mount", f"--{how}", source, place)


def forbid_writing(place: Path) -> None:
    """Makes a mount and those in it read-only. The options that they have must be given again."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        _, _, _, _, point, options, *_ = line.split(" ")
        point = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), point))
        if point == place or place in point.parents:
            kept = set(options.split(",")) - {"rw"}
            kept |= {"ro", "nosuid", "nodev"} | ({"strictatime"} if not kept & TIMES else set())
            run("mount", "-o", ",".join(["remount", "bind", *sorted(kept)]), point)


def make_devices(place: Path) -> None:
    """The devices that every program expects, and terminals of one's own."""
    mount_tmpfs(place)
    for name in NODES:
        bind(Path("/dev", name), place / name, "bind")
    links = {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
    for name, target in links.items():
        (place / name).symlink_to(Path("/proc/self", target))
    (place / "pts").mkdir()
    run(
        "mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts", place / "pts"
    )
    (place / "ptmx").symlink_to("pts/ptmx")


def make_view(root: Path, mounts: list[list[str]]) -> None:
    """Puts the view together at `root`, and makes it the root of all that is seen."""
    os.umask(0o022)  # others than the one who makes it pass through it
    mount_tmpfs(root)
    make_devices(root / "dev")
    (root / "proc").mkdir()
    run("mount", "-t", "proc", "-o", "nosuid,nodev,noexec", "proc", root / "proc")
    closed = [root / "dev", root]
    for kind, source, target in mounts:
        place = root / target.lstrip("/")
        if kind == "cover":
            mount_tmpfs(place)
            closed.append(place)
        else:
            bind(Path(source), place, "rbind" if kind == "read" else "bind")
        if kind == "read":
            forbid_writing(place)
    before = root / "before"
    before.mkdir()
    for place in closed:
        run("mount", "-o", "remount,bind,ro,nosuid", place)
    os.chdir("/")
    run("pivot_root", root, before)
    run("umount", "-l", "/before")


def main(job: dict) -> int:
    """Runs a command in the view; its exit code, or 128 and the signal that ended it."""
    make_view(Path(job["root"]), job["mounts"])
    process = subprocess.Popen(job["command"], cwd=job["workplace"])
    while (ended := os.wait())[0] != process.pid:
        pass  # one whose parent has ended before it
    code = os.waitstatus_to_exitcode(ended[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
