"""Pictures of many kinds on their way into a model, and back."""

import numpy as np
import pytest
import torch
from PIL import Image

from detr_steps.training import pictures
from detr_steps.training.normalisation import longest_for, prepare, scale_to, to_picture
from detr_steps.training.pictures import as_rgb, check_shape, opened


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


@pytest.mark.parametrize(
    ("mode", "value", "grey"),
    [("I", 65535, 255), ("I", 0, 0), ("I", 32768, 128), ("F", 1.0, 255), ("F", 51.0, 51)],
)
def test_numbers_of_a_picture_become_8_bits(mode, value, grey):
    picture = Image.new(mode, (2, 1), value)
    assert np.asarray(as_rgb(picture)).tolist() == [[[grey] * 3] * 2]


@pytest.mark.parametrize(("mode", "value", "most"), [("I", 65536, 65535), ("F", 256.0, 255)])
def test_numbers_that_are_no_picture_are_refused(mode, value, most):
    with pytest.raises(ValueError, match=rf"pixels from 0 to {most}, found {value:g} to {value:g}"):
        as_rgb(Image.new(mode, (2, 1), value))


def test_a_picture_has_a_pixel_across_at_least(tmp_path):
    check_shape(tmp_path, (2666, 2), 800)
    with pytest.raises(ValueError, match="less long and narrow, found 2667x2"):
        check_shape(tmp_path, (2667, 2), 800)


def test_a_picture_has_as_many_pixels_as_pil_takes_without_a_warning(tmp_path, monkeypatch):
    assert pictures.MOST_PIXELS == Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(pictures, "MOST_PIXELS", 12)
    Image.new("L", (3, 4)).save(tmp_path / "12.png")
    Image.new("L", (13, 1)).save(tmp_path / "13.png")
    with opened(tmp_path / "12.png") as file:
        assert file.size == (3, 4)
    refused = pytest.raises(ValueError, match="expected at most 0 million pixels, found 13x1")
    with refused, opened(tmp_path / "13.png"):
        pass
