"""What is said of a data set of one's own, and its pictures, on made ones."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from PIL import Image
from test_coco import make

from detr_steps.training.coco import CocoScenes
from detr_steps.training.coco_file import Objects
from detr_steps.training.survey import Look, Survey, draw_data, listed, look_at, survey
from detr_steps.training.tiles import BLUE, Frames, draw_grid, draw_tile


def look(*sides, size=(100, 100), crowds=0, mode="RGB"):
    """An image with square objects of such sides, the last ones crowds."""
    boxes = [[1.0, 2, 1 + side, 2 + side] for side in sides]
    crowd = [i >= len(sides) - crowds for i in range(len(sides))]
    return Look(mode, size, Objects(boxes, [7 + i % 2 for i in range(len(sides))], crowd))


def test_objects_are_small_medium_or_large_in_the_resized_image():
    made = Survey([look(15.9, 16, 47.9, 48, 90, crowds=1)], {7: "a", 8: "b"}, side=200)
    assert made.sizes() == {"small": 1, "medium": 2, "large": 1}


@pytest.mark.parametrize(("most", "queries"), [(3, 16), (8, 16), (9, 18)])
def test_there_are_twice_as_many_queries_as_objects(most, queries):
    made = Survey([look(), look(*[5] * most), look(5, 5, crowds=1)], {}, 128)
    assert made.counts == [0, most, 1] and made.queries == queries


def test_what_is_frequent_is_listed_and_the_rest_counted():
    counts = Counter({"a": 5, "b": 4, "c": 3, "d": 2, "e": 1})
    assert listed(counts) == "a: 5, b: 4, c: 3, d: 2, e: 1"
    assert listed(counts, most=3) == "a: 5, b: 4, c: 3, 2 others"


def test_a_survey_says_all_that_was_found():
    looks = [look(10, 20), look(), look(30, 40, 50, size=(60, 80), crowds=1, mode="L")]
    looks[0].objects.changes = Counter({"cut to the image": 2})
    looks[2].objects.changes = Counter({"cut to the image": 1, "left out: no area": 4})
    assert list(Survey(looks, {7: "a", 8: "b", 9: "c"}, 100).lines()) == [
        ("images", "3"),
        ("width x height", "100x100: 2, 60x80: 1"),
        ("pixels", "RGB: 2, L: 1"),
        ("objects", "4; an image has 2 (median), 2 at most"),
        ("of each class", "a: 2, b: 2, c: 0"),
        (
            "sizes at 100 pixels",
            "small: 2, medium: 2, large: 0 (small: below 32x32 pixels, large: from 96x96 on)",
        ),
        ("images without objects", "1"),
        ("crowds, left out of training", "1"),
        ("boxes cut to the image", "3"),
        ("boxes left out: no area", "4"),
    ]


def test_an_image_is_looked_at_and_one_of_another_size_is_named(tmp_path):
    data = CocoScenes(*make(tmp_path), side=64)
    assert look_at(data, 2).mode == "L" and look_at(data, 0).size == (80, 60)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (60, 80)).save(tmp_path / "0.png", exif=turned)
    assert look_at(data, 0).mode == "RGB, turned" and look_at(data, 0).size == (80, 60)
    Image.new("RGB", (81, 60)).save(tmp_path / "0.png")
    with pytest.raises(ValueError, match=r"0\.png \(image id 10\): expected 80x60 .* found 81x60"):
        look_at(data, 0)
    data.entries[0] = data.entries[0].model_copy(update={"width": None})
    assert look_at(data, 0).size == (81, 60) and look_at(data, 0).mode == "RGB"
    for orientation, mode in ((1, "RGB"), (2, "RGB, turned"), (8, "RGB, turned"), (9, "RGB")):
        turned[0x0112] = orientation
        Image.new("RGB", (81, 60)).save(tmp_path / "0.png", exif=turned)
        assert look_at(data, 0).mode == mode
    Image.new("RGB", (424, 64)).save(tmp_path / "0.png")
    assert look_at(data, 0).size == (424, 64)  # at 64 pixels 106 at most: 16 across
    with pytest.raises(ValueError, match=r"found 1 problem\n.*less long and narrow, found 450x60"):
        Image.new("RGB", (450, 60)).save(tmp_path / "0.png")
        survey(data)


def test_a_data_set_without_a_box_is_refused(tmp_path):
    def empty(data):
        data["annotations"] = [one | {"iscrowd": 1} for one in data["annotations"]]

    with pytest.raises(ValueError, match="no image has an object with a usable box"):
        survey(CocoScenes(*make(tmp_path, empty), side=64))


def test_a_picture_of_the_data_has_a_tile_of_each_image_up_to_twelve(tmp_path):
    data = CocoScenes(*make(tmp_path), side=64)
    file = tmp_path / "new" / "folder" / "data.png"
    draw_data(data, file)
    picture = Image.open(file)
    assert picture.size == (4 * 258 + 2, 2 * 258 + 2)
    tiles = [(i % 4 * 258 + 2, i // 4 * 258 + 2) for i in range(8)]
    blank = [
        all(picture.crop((x, y, x + 256, y + 256)).getextrema()[i] == (255, 255) for i in range(3))
        for x, y in tiles
    ]
    assert blank == [False] * 6 + [True] * 2
    data.entries = data.entries * 3
    draw_data(data, file)
    assert Image.open(file).size == (4 * 258 + 2, 3 * 258 + 2)


def test_a_tile_has_boxes_of_its_colour_and_is_white_beside_the_image():
    image = torch.full((3, 20, 40), -9.0)  # black
    frames = [Frames(torch.tensor([[0.25, 0.25, 0.75, 0.75]]), BLUE)]
    tile = draw_tile(image, frames, 80)
    assert list(tile.shape) == [3, 80, 80] and tile.dtype == torch.uint8
    assert tile[:, 40:].eq(255).all() and tile[:, :9].eq(0).all()
    assert tile[:, 10, 40].tolist() == tile[:, 20, 20].tolist() == [0, 0x72, 0xB2]
    assert tile[:, 20, 40].tolist() == [0, 0, 0]
    named = draw_tile(image, [frames[0]._replace(names=["a"])], 80)
    assert not torch.equal(named, tile)
    assert torch.equal(draw_tile(image, [Frames(torch.zeros(0, 4))], 80)[:, :40], tile[:, :40] * 0)
    assert draw_grid([tile] * 3, 2).size == (2 * 82 + 2, 2 * 82 + 2)


def test_a_tile_keeps_white_and_the_longer_side_of_any_picture():
    white = torch.full((3, 40, 20), 9.0)
    tile = draw_tile(white, [], 80)
    assert list(tile.shape) == [3, 80, 80] and tile.eq(255).all()
    black = draw_tile(-white, [], 80)
    assert black[:, :, :40].eq(0).all() and black[:, :, 40:].eq(255).all()
    thin = draw_tile(torch.full((3, 1, 400), -9.0), [], 80)
    assert thin[:, 0].eq(0).all() and thin[:, 1:].eq(255).all()


def test_a_name_stands_on_the_colour_of_its_box():
    boxes = torch.tensor([[0.0, 0.5, 1.0, 1.0]])
    plain, named = (
        draw_tile(torch.full((3, 80, 80), -9.0), [Frames(boxes, BLUE, names)], 80)
        for names in (None, ["a"])
    )
    blue = torch.tensor([0, 0x72, 0xB2], dtype=torch.uint8)[:, None, None]
    count = [int((tile == blue).all(0).sum()) for tile in (plain, named)]
    assert count[1] > count[0] + 20
    assert named.amin(0).max() > 120 > plain.amin(0).max()  # white letters


def test_a_survey_has_no_row_of_headings():
    assert not Survey([look(10)], {7: "a"}, 100).table("title").show_header


def test_a_survey_that_is_ended_by_a_key_looks_at_no_more_images(tmp_path, monkeypatch):
    ended, shutdown = [], ThreadPoolExecutor.shutdown

    def recorded(pool, **options):
        ended.append(options)
        shutdown(pool, **options)

    def ended_by_a_key(items):
        yield next(iter(items))
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", recorded)
    with pytest.raises(KeyboardInterrupt):
        survey(CocoScenes(*make(tmp_path), side=64), ended_by_a_key)
    assert ended == [{"cancel_futures": True}, {"wait": True}]
