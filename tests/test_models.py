"""The models that training begins with, and what own data decides about them."""

from urllib.error import URLError

import pytest
import torch
import torchvision.models._api as torchvision_api
from cli import accepted, refused
from photographs import write_photographs
from PIL import Image
from test_coco import make
from torchvision.models import get_model, resnet50

from detr_steps.official import FrozenBatchNorm2d
from detr_steps.training.checkpoints import CHECKPOINT
from detr_steps.training.coco import CocoScenes, gentle_transforms
from detr_steps.training.detectors import load_detector, new_model, save_detector
from detr_steps.training.sizes import DEPTHS, build, counted_sizes, describe, sizes_of
from detr_steps.training.small import medium_detr, small_detr
from detr_steps.training.survey import survey
from detr_steps.training.trainer import BEST

SHORT = ["train", "--cpu", "--steps=1", "--pretrain-steps=1", "--batch-size=2"]


@pytest.mark.parametrize("make_model", [small_detr, medium_detr])
def test_a_model_is_built_again_from_its_sizes(make_model, tmp_path):
    torch.manual_seed(0)
    model = make_model(3, num_queries=21, dec_layers=1).eval()
    sizes = sizes_of(model)
    assert sizes["kind"] == make_model.__name__.removesuffix("_detr")
    assert sizes_of(build(**sizes)) == sizes
    save_detector(model, tmp_path / "a.safetensors", ("a", "b", "c"), 96, {})
    detector = load_detector(tmp_path / "a.safetensors")
    images = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        expected, found = model(images), detector.model(images)
    assert torch.equal(expected["bbox_pred"], found["bbox_pred"])
    assert detector.short_side == 96


def test_a_model_is_described_with_its_tokens():
    model = medium_detr(3, num_queries=60)
    features = model.eval().encode(torch.rand(1, 3, 320, 427))["features"]
    assert describe(model, 320) == (
        "medium model, 0.8 M parameters, 60 queries; images of 320 pixels: "
        f"{features.shape[-2]} tokens along the shorter side, temperature 20"
    )
    assert "16 tokens along the shorter side" in describe(small_detr(3), 128)


def test_own_data_decides_model_queries_and_side(tmp_path):
    file = write_photographs(tmp_path / "photos", 2, seed=3)
    given = ["--images", tmp_path / "photos", "--annotations", file, "--out", tmp_path / "run"]
    most = max(survey(CocoScenes(tmp_path / "photos", file)).counts)
    printed = " ".join(accepted(*SHORT, *given).split())
    assert f"medium model, 0.8 M parameters, {2 * most} queries; images of 256 pixels" in printed
    detector = load_detector(tmp_path / "run" / BEST)
    assert detector.short_side == 256 and len(detector.model.queries) == 2 * most
    again = ["--model=small", "--side=96", "--out", tmp_path / "small"]
    printed = " ".join(accepted(*SHORT, *given[:4], *again).split())
    assert "small model, 0.4 M parameters" in printed and "images of 96 pixels" in printed


def test_a_model_beside_weights_to_start_from_is_refused(tmp_path):
    arguments = ["--start=shipped", "--model=medium", "--out", tmp_path / "run"]
    assert "model: expected none beside start" in refused("train", "--cpu", *arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("size", "side"), [((640, 480), 256), ((200, 150), 160), ((4000, 3000), 256), ((40, 50), 128)]
)
def test_the_side_is_that_of_the_median_image_within_limits(size, side, tmp_path):
    def resize(data):
        for one in data["images"]:
            one["width"], one["height"] = size

    folder, annotations = make(tmp_path, resize)
    for path in folder.glob("*.*"):
        if path.suffix in (".png", ".jpg"):
            Image.new("RGB", size).save(path)
    assert survey(CocoScenes(folder, annotations)).side_for(256) == side


def test_gentle_changes_mirror_both_ways_and_keep_the_boxes_on_their_objects(tmp_path):
    file = write_photographs(tmp_path, 1, seed=5)
    plain = CocoScenes(tmp_path, file, 160)[0][1]["boxes"]
    data, seen = CocoScenes(tmp_path, file, 160, gentle_transforms), set()
    for seed in range(30):
        torch.manual_seed(seed)
        image, target = data[0]
        assert min(image.shape[-2:]) in (128, 144, 160)
        for x, y in ((False, False), (True, False), (False, True), (True, True)):
            flipped = plain.clone()
            flipped[:, 0] = 1 - plain[:, 0] if x else plain[:, 0]
            flipped[:, 1] = 1 - plain[:, 1] if y else plain[:, 1]
            if torch.allclose(flipped, target["boxes"], atol=0.01):
                seen.add((x, y))
    assert len(seen) == 4


def test_a_full_model_starts_from_torchvisions_backbone(tmp_path, monkeypatch):
    torch.manual_seed(1)
    theirs = resnet50()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(theirs.state_dict(), tmp_path / "hub" / "checkpoints" / "resnet50-0676ba61.pth")
    model = new_model("full", 3, 20)
    assert sizes_of(model)["kind"] == "full" and len(model.queries) == 20
    assert torch.equal(model.backbone.layer3[1].conv2.weight, theirs.layer3[1].conv2.weight)
    assert isinstance(model.backbone.bn1, FrozenBatchNorm2d)
    trained = {name for name, p in model.backbone.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"layer2", "layer3", "layer4"}


def test_a_backbone_that_cannot_be_fetched_is_said(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision_api, "load_state_dict_from_url", fail)
    folder, annotations = make(tmp_path)
    given = ["--images", folder, "--annotations", annotations, "--out", tmp_path / "run"]
    printed = " ".join(refused(*SHORT, "--model=r50", *given).split())
    assert "model: torchvision could not fetch the weights of its ResNet-50" in printed
    assert "no route to host" in printed and not (tmp_path / "run" / CHECKPOINT).exists()


@pytest.mark.parametrize("name", DEPTHS)
def test_the_depths_are_torchvisions(name):
    with torch.device("meta"):
        model = get_model(name)
    assert [len(getattr(model, f"layer{i}")) for i in range(1, 5)] == DEPTHS[name]


def test_a_missing_tensor_has_no_sizes():
    assert counted_sizes({"query_pos": [7, 32], "class_head.bias": []}) == {
        "num_classes": -1,
        "num_queries": 7,
        "emb_dim": 32,
        **dict.fromkeys(("enc_layers", "dec_layers", "dim_feedforward"), 0),
    }
    assert counted_sizes({"query_pos": [7]})["emb_dim"] == 0
