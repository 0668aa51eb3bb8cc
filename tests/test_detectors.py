"""Trained models by name: the shipped one, and the whole path of the official ones."""

import hashlib
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from cli import accepted, refused
from matplotlib import cbook
from test_coco import make
from test_parity import official_state

from detr_steps.training import detectors
from detr_steps.training.evaluation import evaluate
from detr_steps.training.scenes import Scenes

PHOTO = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)


@pytest.fixture(scope="session")
def stored_file(tmp_path_factory) -> Path:
    """A made checkpoint of the official names and shapes, in a folder of its own."""
    torch.manual_seed(0)
    state = official_state()
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.fill_(1.0)
        else:
            tensor.normal_(std=0.02)
    server = tmp_path_factory.mktemp("server")
    torch.save({"model": state}, server / "new.pth")
    digest = hashlib.sha256((server / "new.pth").read_bytes()).hexdigest()
    return (server / "new.pth").rename(server / f"detr-made-{digest[:8]}.pth")


@pytest.fixture
def made_file(stored_file, tmp_path, monkeypatch) -> Path:
    """The made checkpoint as the official one, served from a local URL."""
    monkeypatch.setitem(detectors.OFFICIAL, "official", (stored_file.name, {}))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return stored_file


@pytest.mark.parametrize("name", detectors.OFFICIAL)
def test_an_official_model_is_what_its_name_says(name):
    file, arguments = detectors.OFFICIAL[name]
    assert file.startswith(name.replace("official", "detr-r50" * ("r101" not in name) or "detr"))
    assert arguments.get("dilation", False) == name.endswith("dc5")
    assert arguments.get("backbone", "resnet50") == ("resnet101" if "r101" in name else "resnet50")


def test_an_official_file_is_fetched_checked_loaded_and_used(made_file, tmp_path):
    detector = detectors.load_detector("official", made_file.parent.as_uri() + "/")
    assert (tmp_path / "hub" / "checkpoints" / made_file.name).exists()
    assert len(detector.classes) == 91
    assert detector.classes[1] == "person" and detector.classes[90] == "toothbrush"
    expected = torch.load(made_file)["model"]["class_embed.weight"]
    assert torch.equal(detector.model.class_head.weight, expected)
    nowhere = (tmp_path / "nowhere").as_uri() + "/"
    again = detectors.load_detector("official", nowhere)  # from the cache
    assert torch.equal(again.model.class_head.weight, expected)


def test_official_weights_are_trained_on_with_own_classes(made_file, tmp_path):
    photos, annotations = make(tmp_path)
    data = ["--images", photos, "--annotations", annotations, "--out", tmp_path / "run"]
    short = ["--steps=1", "--batch-size=2", "--accumulate=2", "--side=64"]
    printed = accepted("train", "--cpu", "--start", made_file, *data, *short)
    assert "newly initialised" not in printed  # COCO has a bird, a cat and a cup
    trained = detectors.load_detector(tmp_path / "run" / "best.safetensors")
    assert trained.classes == ("bird", "cat", "cup") and trained.short_side == 64
    official = torch.load(made_file)["model"]
    state = trained.model.state_dict()
    stem = "conv1.weight"
    assert torch.equal(state[f"backbone.{stem}"], official[f"backbone.0.body.{stem}"])
    query_pos = official["query_embed.weight"]
    assert (state["query_pos"] - query_pos).abs().max() < 1e-3 < query_pos.std()
    rows = official["class_embed.weight"][[16, 17, 47, 91]]  # those, and "no object"
    assert (state["class_head.weight"] - rows).abs().max() < 1e-3


def test_a_file_given_by_path_is_drawn_with_cocos_names(made_file, tmp_path):
    arguments = ["detect", PHOTO, "--weights", str(made_file), "--threshold", "0.0"]
    printed = accepted(*arguments, "--out", tmp_path / "out")
    known = printed.splitlines()[0]
    assert known.startswith("classes known: person, ") and known.endswith(", toothbrush")
    assert known.count(",") == 79 and "N/A" not in known
    assert "100 objects" in " ".join(printed.split())  # a long path makes the title wrap
    assert (tmp_path / "out" / "grace_hopper.found.png").exists()


def test_weights_that_know_only_drawn_shapes_say_so_before_anything_else(tmp_path):
    printed = accepted("detect", PHOTO, "--out", tmp_path).splitlines()
    assert printed[0].startswith("These weights know only drawn shapes")
    assert "--weights official" in printed[0]
    assert printed[1] == "classes known: square, diamond, triangle, cross, ring, star"


def test_a_changed_file_is_refused(made_file, tmp_path):
    changed = tmp_path / made_file.name
    changed.write_bytes(made_file.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="expected the official file"):
        detectors.load_detector(changed)
    with pytest.raises(ValueError, match="expected the official file"):
        detectors.load_detector("official", tmp_path.as_uri() + "/")


def test_without_a_network_the_error_says_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    url = (tmp_path / "nowhere").as_uri() + "/"
    with pytest.raises(ConnectionError) as error:
        detectors.load_detector("official-r101-dc5", url)
    message = str(error.value)
    assert f"could not fetch {url}detr-r101-dc5-a2e86def.pth" in message
    assert str(tmp_path / "checkpoints" / "detr-r101-dc5-a2e86def.pth") in message


def test_the_shipped_weights_detect_unseen_scenes():
    detector = detectors.load_detector()
    result = evaluate(detector.model, Scenes(60, "test"), Accelerator(cpu=True))
    assert result["map"] > 75 and result["map_50"] > 95
    assert detectors.SHIPPED.stat().st_size < 16 * 2**20


def test_the_evaluate_command_prints_a_table(tmp_path):
    printed = accepted("evaluate", "--cpu", "--scenes", 4, "--page", tmp_path / "page.html")
    assert "AP50" in printed and "on 4 images" in printed


def test_weights_to_evaluate_are_named_with_or_without_the_option(tmp_path):
    few = ["--cpu", "--scenes", 4, "--page", tmp_path / "page.html"]
    one = accepted("evaluate", detectors.SHIPPED, *few)
    assert "AP50" in one and str(detectors.SHIPPED) in "".join(one.split())
    both = refused("evaluate", detectors.SHIPPED, "--weights", "shipped", *few)
    assert "weights: expected FILE or --weights, found both" in both
    config = tmp_path / "config.toml"
    config.write_text('weights = "nothing"\n')
    assert "found nothing" in refused("evaluate", *few, "--config", config)
    assert accepted("evaluate", detectors.SHIPPED, *few, "--config", config) == one


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(FileNotFoundError, match="shipped, official, official-dc5"):
        detectors.load_detector("offical")


def test_mistakes_of_the_command_line_have_no_traceback(tmp_path):
    unknown = "weights: expected one of shipped, official, official-dc5"
    assert unknown in refused("detect", PHOTO, "--weights", "nothing")
    assert unknown in refused("evaluate", "--cpu", "--weights", "nothing")
    out = tmp_path / "out"
    printed = refused("detect", tmp_path / "none.jpg", "--out", out)
    assert "none.jpg: cannot be read as an image" in printed
    assert "split: expected one of train, choose, test" in refused("evaluate", "--split", "dev")


def test_the_name_of_an_official_model_says_what_it_is():
    for name, (file, arguments) in detectors.OFFICIAL.items():
        words = {*name.split("-"), *file.split("-")}
        assert ("r101" in words) == (arguments.get("backbone") == "resnet101")
        assert ("dc5" in words) == (arguments.get("dilation") is True)


def test_what_detr_does_not_train_stays_as_it_is():
    """The stem and the first stage, as torchvision's detectors have it with 3 trainable layers."""
    start = detectors.Detector(detectors.build("full", num_classes=2), ("a", "b"), 800)
    model, new = detectors.first_model(start, ("b", "c"), 5, "full")
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    trained = {name.split(".")[1] for name in trained if name.startswith("backbone.")}
    assert trained == {"layer2", "layer3", "layer4"}
    assert new == ["class_head.weight", "class_head.bias"]


def test_an_official_file_goes_into_the_cache_that_is_there_or_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "a" / "hub"))
    fetched = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *words: fetched.append(words))
    for _ in range(2):  # the folder is there the second time
        path = detectors.fetch_official("official-dc5", "https://example.org/")
        assert path.parent == tmp_path / "a" / "hub" / "checkpoints" and path.parent.is_dir()
    url = "https://example.org/detr-r50-dc5-f0fb7ef5.pth"
    assert fetched == [(url, str(path), "f0fb7ef5")] * 2


def test_another_file_under_an_official_name_is_told_by_eight_digits(tmp_path):
    file = tmp_path / "detr-r50-e632da11.pth"
    file.write_bytes(b"another")
    with pytest.raises(
        ValueError, match=r"SHA-256 starts with e632da11, found [0-9a-f]{8}; delete"
    ):
        detectors.load_detector(file)


def test_a_folder_whose_tensors_have_other_names_is_named(tmp_path, monkeypatch):
    sizes = {"num_classes": 2, "num_queries": 5}
    content = SimpleNamespace(sizes=sizes, state_dict={"other": torch.zeros(1)})
    monkeypatch.setattr(detectors, "read_folder", lambda folder: content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}: "):
        detectors.folder_detector(tmp_path)
