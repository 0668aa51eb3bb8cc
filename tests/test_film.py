"""The film of the matching: which query has which object, and how often that changes."""

import pytest
import torch

from detr_steps.notebook.drawing import panels
from detr_steps.notebook.film import Film, draw_changes, draw_queries, read_film
from detr_steps.notebook.scene import INDEX
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from experiments import film


def test_a_change_is_another_query_than_one_row_before():
    queries = torch.tensor([[3, 1, 2, 0], [3, 2, 1, 0], [3, 2, 1, 0]])
    assert Film(torch.tensor([0, 5, 10]), queries).changes.tolist() == [0.5, 0.0]


def test_the_recorder_writes_down_what_the_matching_says():
    torch.manual_seed(0)
    model, scenes = small_detr(6), Scenes(2)
    recorder = film.Recorder(model, scenes, every=2)
    for stage in ("pretrain", "train"):
        for step in range(1, 5):
            recorder(stage, step, 4, 0.0)
    assert recorder.steps == [0, 2, 4]  # 0 is after the warm start
    assert model.training
    model.eval()
    wanted = []
    for image, target in (scenes[i] for i in range(2)):
        with torch.no_grad():
            query, index = model.match(model(image[None]), [target])[0]
        wanted += [query[index == j].item() for j in range(len(index))]
    assert recorder.queries[0].tolist() == wanted == recorder.queries[2].tolist()


def test_a_film_is_recorded_and_read(tmp_path, monkeypatch):
    monkeypatch.setattr(film, "SCENE_STEPS", 3)
    monkeypatch.setattr(film, "WATCHED", 2)
    film.record_film(tmp_path / "film.safetensors", steps=25, pretrain_steps=1, scenes=8)
    films, notes = read_film(tmp_path / "film.safetensors")
    assert films["scene"].steps.tolist() == [1, 2, 3]
    assert films["scene"].queries.shape == (3, 3)
    assert films["stream"].steps.tolist() == [0, 25]
    objects = sum(len(Scenes(2, "choose")[i][1]["labels"]) for i in range(2))
    assert films["stream"].queries.shape == (2, 3 + objects)  # those of the scene come first
    assert notes["scene"] == str(INDEX)


def test_the_stored_film_shows_that_the_matching_settles():
    films, notes = read_film()
    labels = Scenes(500, "test")[int(notes["scene"])][1]["labels"]
    assert films["scene"].queries.shape[1] == len(labels)
    for one in films.values():
        assert one.changes[-10:].mean() < one.changes[:10].mean() / 2


def test_changes_are_drawn_as_dots():
    queries = torch.tensor([[3, 1, 4], [3, 2, 4], [0, 2, 4]])
    one = Film(torch.tensor([0, 5, 10]), queries)
    _, (axis, other) = panels(2)
    draw_queries(axis, one, ["star", "ring", "cross"], last=8)
    dots = [line.get_xydata().tolist() for line in axis.lines[1::2]]
    assert dots == [[[10, 0]], [[5, 2]], []]
    assert axis.get_xlim() == (0, 8)
    with pytest.raises(ValueError, match="zip"):
        draw_queries(axis, one, ["star"], last=8)
    draw_changes(other, one)
    assert other.get_ylim()[0] == 0
    assert other.lines[0].get_ydata() == pytest.approx([100 / 3, 100 / 3])
