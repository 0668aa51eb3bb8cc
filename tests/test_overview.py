"""The two pictures of the README are what the package draws."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_steps.notebook.gallery import gallery
from detr_steps.notebook.overview import overview
from detr_steps.training.detectors import load_detector
from detr_steps.training.scenes import Scenes

FOLDER = Path(__file__).parents[1] / "notebooks"
CHANGED = 48  # of 255: a pixel that differs by more is another one
MOST_CHANGED = 20  # such pixels, as numbers that differ in their last digits may draw


def scene_pictures():
    """What `python -m detr_steps gallery` draws."""
    return gallery(load_detector("shipped"), Scenes(500, "test"))


@pytest.mark.parametrize(
    ("name", "draw"), [("overview.png", overview), ("detections.png", scene_pictures)]
)
def test_a_picture_of_the_readme_is_what_is_drawn(tmp_path, name, draw):
    draw().savefig(tmp_path / name, dpi=100, facecolor="white")
    stored, drawn = (
        np.asarray(Image.open(folder / name).convert("RGB")).astype(int)
        for folder in (FOLDER, tmp_path)
    )
    assert stored.shape == drawn.shape
    changed = np.abs(stored - drawn).max(-1) > CHANGED
    assert changed.sum() <= MOST_CHANGED
