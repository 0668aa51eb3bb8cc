"""Pictures on their way into a model and back, and the commands that a run ends with."""

import shlex
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_coco import make

from detr_steps.training.coco import CocoScenes
from detr_steps.training.next_commands import SCENE, module_command, next_commands
from detr_steps.training.normalisation import longest_for, prepare, scale_to, to_picture
from detr_steps.training.scenes import Scenes


def test_a_picture_comes_back_from_its_normalisation():
    picture = Image.new("RGB", (6, 4), (255, 102, 0))
    image = prepare(picture, 4)
    expected = [(1 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, -0.406 / 0.225]
    torch.testing.assert_close(image[0, :, 0, 0], torch.tensor(expected))
    assert list(image.shape) == [1, 3, 4, 6]
    back = to_picture(image[0])
    torch.testing.assert_close(back, torch.tensor([1, 0.4, 0]).expand(4, 6, 3))
    assert to_picture(torch.full((3, 1, 1), 9.0)).tolist() == [[[1, 1, 1]]]
    assert to_picture(torch.full((3, 1, 1), -9.0)).tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize(
    ("size", "scale"), [((400, 600), 2.0), ((1333, 400), 1.0), ((10, 2666), 0.5), ((800, 800), 1.0)]
)
def test_an_image_is_enlarged_up_to_either_side(size, scale):
    assert longest_for(800) == 1333 and longest_for(400) == 666
    assert scale_to(size, 800) == pytest.approx(scale)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows quotes words otherwise")
def test_a_command_can_be_copied_into_a_shell():
    words = shlex.split(module_command("detr_steps", "detect", "a b.png", "it's"))
    assert words[1:] == ["-m", "detr_steps", "detect", "a b.png", "it's"]
    assert Path(words[0]).resolve() == Path(sys.executable).resolve()


def test_a_run_ends_with_commands_for_its_own_data(tmp_path):
    commands = next_commands(tmp_path, Scenes(3, "test", seed=5))
    detect = shlex.split(commands["to detect with it"])
    assert detect[4:] == [str(tmp_path / SCENE), "--weights", str(tmp_path / "best.safetensors")]
    assert Image.open(tmp_path / SCENE).size == (128, 128)
    folder = tmp_path / "photos"
    folder.mkdir()
    commands = next_commands(tmp_path, CocoScenes(*make(folder)))
    assert shlex.split(commands["to detect with it"])[4] == str(folder / "0.png")
    evaluate = shlex.split(commands["to evaluate it"])
    assert evaluate[5:] == ["--images", str(folder), "--annotations", f"{folder}/annotations.json"]
