"""What keeps the code of a submission from harm: it runs in a view of the system of its own.

In there it finds the system's programs, Python and this package, all of it read-only, and one
folder that it may write to. There is no network, no process but its own, no home folder, and
nothing of other submissions. `bwrap` makes the view, else `unshare` with the help of `enclosure`.
Both are Linux's, and a container may forbid them. So each is tried before anything relies on it.
"""

import json
import os
import secrets
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
STAGE = Path(__file__).with_name("enclosure.py")
SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "gnu")
PROCESSORS = "sys/devices/system/cpu"  # from which libraries learn how many there are
WORKPLACE = "workplace"  # in a submission's folder: where its cells run
TASKS_LIMIT = 256 + 4 * (os.cpu_count() or 1)  # processes and threads; libraries start many threads
TRANSIENT_USERS = range(61184, 65520)  # for services that live briefly, see systemd.exec(5)
KEPT = ("PATH", "LANG", "LC_", "TZ", "PYTHON", "LD_LIBRARY_PATH", "OMP_", "MKL_", "ATEN_")
PROBE = """\
import os, sys
from pathlib import Path
Path("probe").touch()
for file in sys.argv[1:]:
    Path(file).read_bytes()
if not os.fork():
    os._exit(0)"""


class Wish(StrEnum):
    """For protection, of the one who grades."""

    auto = "auto"
    require = "require"
    none = "none"


@dataclass(frozen=True)
class Protection:
    """A way to run a command apart from the system.

    Args:
        name: of the tool, "bwrap" or "unshare", or "none".
        hidden: folders that stay out of sight, also where they lie in something that is shown.
    """

    name: str = "none"
    hidden: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return self.name != "none"

    def enclose(self, command: list[str], folder: Path) -> list[str]:
        """The command that runs another one in `folder`/workplace, with this protection.

        Makes that place, and gives the folder away if an administrator grades: those whom nothing
        is forbidden to cannot be limited.
        """
        places = (WORKPLACE, "home", "tmp", "shm")
        for place in places if self else places[:1]:
            (folder / place).mkdir(exist_ok=True)
        if not self:
            return command
        inner = ["prlimit", f"--nproc={TASKS_LIMIT}", *command]
        if self.name == "unshare" or os.getuid() == 0:
            inner = [*without_rights(folder), *inner]
        return getattr(self, self.name)(view(folder, self.hidden), folder, inner)

    def bwrap(self, mounts: list[list[str]], folder: Path, inner: list[str]) -> list[str]:
        """The call of `bwrap`."""
        options = {"read": "--ro-bind", "write": "--bind"}
        arguments, covers = [], ["/dev", "/"]
        for kind, source, target in mounts:
            for around in reversed(Path(target).parents[:-1]):
                arguments += ["--dir", str(around)]  # else none but its owner may pass it
            if kind == "cover":
                arguments += ["--tmpfs", target]
                covers.append(target)
            else:
                arguments += [options[kind], source, target]
        for target in covers:
            arguments += ["--remount-ro", target]
        apart = (f"--unshare-{what}" for what in ("pid", "net", "ipc", "uts", "cgroup-try"))
        start = ["bwrap", *apart, "--die-with-parent", "--new-session"]
        nodes = ["--proc", "/proc", "--dev", "/dev"]
        return [*start, *nodes, *arguments, "--chdir", str(folder / WORKPLACE), "--", *inner]

    def unshare(self, mounts: list[list[str]], folder: Path, inner: list[str]) -> list[str]:
        """The call of `unshare`, which starts `enclosure`, which makes the view."""
        apart = [f"--{what}" for what in ("mount", "pid", "net", "ipc", "uts", "kill-child")]
        if os.getuid() != 0:
            apart += ["--user", "--map-root-user"]
        job = {"root": str(folder / "home"), "mounts": mounts, "command": inner}
        job["workplace"] = str(folder / WORKPLACE)
        stage = [sys.executable, "-I", "-S", str(STAGE), json.dumps(job)]
        return ["unshare", *apart, "setsid", "--wait", *stage]

    def environment(self, folder: Path) -> dict[str, str]:
        """The environment variables for a command: all, or the few that tell it nothing."""
        if not self:
            return os.environ | {"IPYTHONDIR": str(folder)}
        kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
        kept["PATH"] += f"{os.pathsep}/usr/sbin{os.pathsep}/sbin"  # of `pivot_root`
        home = str(folder / "home")
        own = {"HOME": home, "IPYTHONDIR": home, "MPLCONFIGDIR": home, "USER": "student"}
        return kept | own | {"LOGNAME": "student"}

    def exit_code(self, code: int) -> int:
        """The exit code of what ran inside; negative is the signal that ended it."""
        return 128 - code if self and code > 128 else code


UNPROTECTED = Protection()


def without_rights(folder: Path) -> list[str]:
    """What a command is started by that shall have no rights but to files that are its own."""
    arguments = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    if os.getuid() != 0:
        return arguments
    user = secrets.choice(TRANSIENT_USERS)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, user)
    return [*arguments, f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def needed() -> list[Path]:
    """The folders that Python, its packages and the system's programs are in."""
    folders = [Path("/", name) for name in (*SYSTEM, PROCESSORS)]
    folders += [Path(sys.prefix), Path(sys.base_prefix), PACKAGE]
    link = Path(sys.executable)
    while link.is_symlink():  # one may lead to the next through a folder of another name
        link = Path(os.path.normpath(link.parent / link.readlink()))
        folders.append(link.parent)
    if site.ENABLE_USER_SITE:
        folders.append(Path(site.getusersitepackages()))
    real = {folder.resolve() for folder in folders if folder.is_dir()}
    inside = {folder for folder in folders if real & set(folder.parents)}
    named = {folder for folder in folders if folder.is_dir()} - inside
    return sorted(real | named)


def view(folder: Path, hidden: Iterable[Path]) -> list[list[str]]:
    """What is mounted where, [how, source, target]: what lies in something else after that.

    Something shown lies in nothing that is shown already, and only what is shown gets a cover.
    """
    wanted = [("read", one, one) for one in needed()]
    wanted += [("cover", one, one) for one in hidden]
    own = {folder: folder, folder / "tmp": Path("/tmp"), folder / "shm": Path("/dev/shm")}
    wanted += [("write", source, target) for source, target in own.items()]
    kinds: dict[Path, str] = {}
    mounts = []
    for kind, source, target in sorted(wanted, key=lambda one: len(one[2].parts)):
        around = next((kinds[one] for one in target.parents if one in kinds), None)
        if kind == "write" or (kind == "read") == (around != "read"):
            kinds[target] = kind
            mounts.append([kind, str(source), str(target)])
    return mounts


def choose_protection(wish: Wish, hidden: Iterable[Path]) -> tuple[Protection, str]:
    """The protection for a run; and where there is none, why.

    Args:
        wish: of the one who grades.
        hidden: folders that no submission may see.

    Raises:
        ValueError: it is required, and none works here.
    """
    if wish is Wish.none:
        return UNPROTECTED, "switched off"
    found, reasons = find_protection(hidden)
    if wish is Wish.require and not found:
        raise ValueError(f"--protection require: none works here ({reasons})")
    return found, "" if found else reasons


def find_protection(hidden: Iterable[Path]) -> tuple[Protection, str]:
    """The first protection that works here, and why those before it do not.

    Args:
        hidden: folders that no submission may see; the home folder and that of temporary files
            are none of its business either.
    """
    hidden = (*hidden, Path.home(), Path(tempfile.gettempdir()))
    hidden = tuple(one.resolve() for one in hidden if one.is_dir())
    for one in set(hidden) & set(needed()):
        return UNPROTECTED, f"{one} would have to be hidden, and holds what Python needs"
    reasons = []
    for name in ("bwrap", "unshare"):
        protection = Protection(name, hidden)
        reason = find_fault(protection)
        if not reason:
            return protection, "; ".join(reasons)
        reasons.append(f"{name}: {reason}")
    return UNPROTECTED, "; ".join(reasons)


def find_fault(protection: Protection) -> str:
    """Why a protection does not work here; nothing if a small command ran in it."""
    if shutil.which(protection.name) is None:
        return "not installed"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        files = [PACKAGE / "__init__.py", Path(json.__file__)]
        command = [sys.executable, "-c", PROBE, *map(str, files)]
        try:
            done = subprocess.run(
                protection.enclose(command, folder),
                env=protection.environment(folder),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=60,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return lines[-1].removeprefix(f"{protection.name}: ") if done.returncode else ""
