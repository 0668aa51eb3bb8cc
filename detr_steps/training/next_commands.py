"""What to do after a run, as commands for a shell."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from PIL import Image

from .coco import CocoScenes
from .scenes import Scenes
from .trainer import BEST

SCENE = "scene.png"


def next_commands(folder: Path, choose: Scenes | CocoScenes) -> dict[str, str]:
    """Commands that evaluate a run, detect with it and show its curves, by what they are for.

    For a run on scenes an unseen one is drawn into its folder, to detect in.

    Args:
        folder: of the run.
        choose: the data that its best weights were chosen on.
    """
    best, data = folder / BEST, []
    if isinstance(choose, CocoScenes):
        picture = choose.images / choose.entries[0].file_name
        data = ["--images", choose.images, "--annotations", choose.annotations]
    else:
        picture = folder / SCENE
        Image.fromarray(Scenes(1, "test", seed=choose.seed).draw(0)[0]).save(picture)
    return {
        "to evaluate it": module_command("detr_steps", "evaluate", best, *data),
        "to detect with it": module_command("detr_steps", "detect", picture, "--weights", best),
        "to look at its curves in a browser": module_command(
            "tensorboard.main", "--logdir", folder
        ),
    }


def module_command(module: str, *arguments: object) -> str:
    """A line for a shell that runs a module by this Python, which need not be activated."""
    python, here = Path(sys.executable), Path.cwd()
    python = python.relative_to(here) if python.is_relative_to(here) else python
    words = [str(word) for word in (python, "-m", module, *arguments)]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
