"""The two pictures of the README are what the package draws."""

from pathlib import Path

import pytest
from pixels import is_redrawn

from detr_steps.notebook.gallery import gallery
from detr_steps.notebook.overview import overview
from detr_steps.training.detectors import load_detector
from detr_steps.training.scenes import Scenes

FOLDER = Path(__file__).parents[1] / "notebooks"


def scene_pictures():
    """What `python -m detr_steps gallery` draws."""
    return gallery(load_detector("shipped"), Scenes(500, "test"))


@pytest.mark.parametrize(
    ("name", "draw"), [("overview.png", overview), ("detections.png", scene_pictures)]
)
def test_a_picture_of_the_readme_is_what_is_drawn(tmp_path, name, draw):
    draw().savefig(tmp_path / name, dpi=100, facecolor="white")
    assert is_redrawn((FOLDER / name).read_bytes(), (tmp_path / name).read_bytes())
