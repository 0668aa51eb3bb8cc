"""The README's commands, word by word, on the machine of someone who meets the project.

The long tests run in a bare Debian, which `python -m tests.matrix --root trixie` makes. Real are
the system, its user, the clone, the set-up with its checks of hashes, and the programs.
Not real is the download where uv has kept a package: it comes from this machine's cache.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.matrix.environments import HOME

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEBIAN = HOME / "roots" / "trixie"
PARENT = "/home/ada/mes études"
CHECKOUT = f"{PARENT}/detr_steps"
CACHE = os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS")


def block(word):
    """The block of shell commands in the README that holds a word."""
    (found,) = [one for one in re.findall(r"```sh\n(.*?)```", README, re.S) if word in one]
    return found


def test_a_path_with_spaces_and_accents_no_home_and_the_c_locale(tmp_path):
    folder = tmp_path / "mes études" / "détr steps"
    shutil.copytree(ROOT / "detr_steps", folder / "detr_steps")
    photo = folder / "été 1.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(photo)
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))
    }
    env = {name: value for name, value in env.items() if name not in ("HOME", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-m", "detr_steps", "detect", photo.name, "--out", "trouvé là"],
        cwd=folder,
        env={**env, "LC_ALL": "C", "OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert list((folder / "trouvé là").iterdir())


def bare(work, command, *options, read_only=False, user=True, named=True):
    """A command line in the bare Debian, in which a folder of this machine is a user's."""
    folders = ["--ro-bind", str(DEBIAN), "/", "--dev", "/dev", "--proc", "/proc"]
    folders += [word for path in ("/home", "/mnt") for word in ("--tmpfs", path)]
    folders += ["--perms", "1777", "--tmpfs", "/tmp", "--perms", "0755", "--dir", "/home/ada"]
    folders += ["--ro-bind" if read_only else "--bind", str(work), PARENT]
    folders += ["--ro-bind", str(ROOT), "/mnt/project", "--bind", CACHE, "/mnt/cache"]
    for path in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"):  # as the machine's
        folders += ["--ro-bind-try", path, path]
    variables = {"PATH": "/usr/bin:/bin", "UV_CACHE_DIR": "/mnt/cache", "UV_LINK_MODE": "symlink"}
    variables |= {name: os.environ[name] for name in CERTIFICATES if name in os.environ}
    variables["HOME"] = "/home/ada"
    if named:
        (work / "passwd").write_text("ada:x:1000:1000::/home/ada:/bin/sh\n")
        folders += ["--ro-bind", str(work / "passwd"), "/etc/passwd"]
    sets = [word for name, value in variables.items() for word in ("--setenv", name, value)]
    as_user = ["--unshare-user", "--uid", "1000", "--gid", "1000"] if user else []
    start = ["bwrap", *folders, "--clearenv", *sets, *as_user, "--chdir", PARENT]
    return [*start, "--die-with-parent", "--unshare-pid", *options, "sh", "-euc", command]


def ran(work, command, *options, **how):
    """The exit status and everything printed of a command in the bare Debian."""
    done = subprocess.run(
        bare(work, command, *options, **how),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


needs_debian = pytest.mark.skipif(
    not DEBIAN.exists()
    or shutil.which("bwrap") is None
    or not hasattr(os, "geteuid")
    or os.geteuid(),
    reason="needs bwrap, root's rights, and what `python -m tests.matrix --root trixie` makes",
)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The folder in which the README's first commands have been typed, up to JupyterLab."""
    folder = tmp_path_factory.mktemp("ada")
    folder.chmod(0o755)  # as homes are
    commands = block("make lab").replace("ADDRESS detr_steps", "file:///mnt/project detr_steps", 1)
    lab = subprocess.Popen(
        bare(folder, commands), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = []
    for line in lab.stdout:
        said.append(line)
        address = re.search(r"http://localhost:\d+/lab\S*token=\w+", line)
        if address:
            read = f"import urllib.request as u; print(u.urlopen('{address[0]}').read().decode())"
            said.append(ran(folder, f'python3 -c "{read}"')[1])
            break
    lab.terminate()
    lab.wait(60)
    return folder, "".join(said)


@pytest.mark.long
@needs_debian
def test_the_first_commands_lead_to_a_lab(work):
    folder, said = work
    assert "Setting up .venv: " in said and "GB to download" in said
    assert "<title>JupyterLab</title>" in said, said[-3000:]
    assert (folder / "detr_steps" / ".venv" / ".ready").exists()


STRANGER = ["setpriv", "--reuid", "4242", "--regid", "4242", "--clear-groups", "env", "-u", "HOME"]
SURROUNDINGS = {
    "as a user": "",
    "without a home": "unset HOME; ",
    "in the C locale": "export LC_ALL=C; ",
}


@pytest.mark.long
@needs_debian
@pytest.mark.parametrize("around", SURROUNDINGS)
def test_one_notebook_runs_and_is_tested(work, around):
    commands = block("run notebooks/Step3_Positional_Encoding.ipynb")
    code, said = ran(work[0], f"cd detr_steps; {SURROUNDINGS[around]}{commands}")
    assert code == 0, said[-3000:]
    assert "Step 3: positional encoding added" in said and " passed" in said


@pytest.mark.long
@needs_debian
def test_a_user_without_name_and_home_runs_a_notebook(work):
    first = block("run notebooks/Step3_Positional_Encoding.ipynb").splitlines()[0]
    code, said = ran(work[0], f"cd detr_steps; unset HOME; {first}", named=False)
    assert code == 0 and "Step 3: positional encoding added" in said, said[-3000:]


@pytest.mark.long
@needs_debian
@pytest.mark.parametrize("prefix", [[], STRANGER], ids=["read-only", "of another user"])
def test_in_a_checkout_that_cannot_be_written_images_are_looked_through(work, prefix):
    make = "import PIL.Image; PIL.Image.new('RGB', (64, 64)).save('/tmp/1.png')"
    detect = ".venv/bin/python -m detr_steps detect /tmp/1.png --out /tmp/found; ls /tmp/found"
    command = f'cd detr_steps; .venv/bin/python -c "{make}"; {detect}'
    code, said = ran(work[0], command, *prefix, read_only=not prefix, user=not prefix)
    assert code == 0 and said.splitlines()[-1] == "1.found.png", said[-3000:]


@pytest.mark.long
@needs_debian
@pytest.mark.parametrize("prefix", [[], STRANGER], ids=["read-only", "of another user"])
def test_a_set_up_in_a_folder_that_cannot_be_written_says_so(work, prefix):
    ran(work[0], "[ -e fresh ] || git clone --depth 1 file:///mnt/project fresh")
    code, said = ran(work[0], "cd fresh; make run", *prefix, read_only=not prefix, user=not prefix)
    assert code and "études/fresh cannot be written" in said and "Traceback" not in said, said
