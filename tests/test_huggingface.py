"""Models of Hugging Face's `transformers`: read, trained on, and written again."""

import json
import re

import pytest
import torch
from cli import accepted, refused
from safetensors.torch import load_file
from test_coco import make
from transformers import DetrForObjectDetection, DetrImageProcessor

from detr_steps.official import official_name
from detr_steps.training.checkpoints import CHECKPOINT
from detr_steps.training.detectors import load_detector
from detr_steps.training.huggingface import (
    check_has_only_official_parts,
    folder_config,
    official_place,
    read_folder,
    save_parts,
    write_folder,
)
from detr_steps.training.sizes import build, sizes_of
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import BEST

NAMES = {0: "a cup", 1: "a cat", 2: "a bird"}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder of a made DETR with a ResNet-50, and with a transformer of few channels."""
    torch.manual_seed(0)
    sizes = {
        "backbone": "resnet50",
        "emb_dim": 32,
        "num_queries": 12,
        "nhead": 4,
        "enc_layers": 2,
        "dec_layers": 3,
        "dim_feedforward": 48,
    }
    config = folder_config(sizes, tuple(NAMES.values()))
    model = DetrForObjectDetection(config)
    for name, tensor in model.named_buffers():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.1)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    model.model.query_position_embeddings.weight.data.normal_()
    path = tmp_path_factory.mktemp("made")
    model.save_pretrained(path)
    return path


def assert_same_outputs(folder, model):
    """A folder that `transformers` loads predicts what a Step8 predicts."""
    theirs = DetrForObjectDetection.from_pretrained(folder).eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        expected, found = theirs(images), model(images)
    torch.testing.assert_close(found["class_logits"], expected.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(found["bbox_pred"], expected.pred_boxes, rtol=0, atol=1e-5)


def test_a_folder_is_loaded_and_written_with_the_same_outputs(folder, tmp_path):
    detector = load_detector(folder)
    assert detector.classes == ("a cup", "a cat", "a bird") and detector.short_side == 800
    assert_same_outputs(folder, detector.model)
    accepted("export", tmp_path / "again", "--weights", folder)
    assert_same_outputs(tmp_path / "again", detector.model)
    assert DetrForObjectDetection.from_pretrained(tmp_path / "again").config.id2label == NAMES
    assert DetrImageProcessor.from_pretrained(tmp_path / "again").size["shortest_edge"] == 800


def old_name(name):
    """As version 4 of `transformers` named a tensor whose backbone was of timm."""
    place = official_place(name).name
    if place.startswith("backbone.0.body."):
        return place.replace("backbone.0.body.", "model.backbone.conv_encoder.model.")
    return re.sub(r"\.mlp\.fc", ".fc", name).replace(".o_proj.", ".out_proj.")


def test_names_of_earlier_versions_are_known(folder, tmp_path):
    tensors = load_file(folder / "model.safetensors")
    old = {old_name(name): tensor for name, tensor in tensors.items()}
    assert "model.encoder.layers.0.fc1.weight" in old
    assert "model.backbone.conv_encoder.model.layer1.0.conv1.weight" in old
    torch.save(old, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    before, after = read_folder(folder), read_folder(tmp_path)
    assert before.sizes == after.sizes
    assert set(before.state_dict) == set(after.state_dict)
    state = after.state_dict
    assert all(torch.equal(tensor, state[name]) for name, tensor in before.state_dict.items())


def test_a_folder_is_trained_on_with_other_classes_and_exported(folder, tmp_path):
    photos, annotations = make(tmp_path)
    data = ["--images", photos, "--annotations", annotations]
    short = ["--steps=2", "--batch-size=2", "--side=64", "--evaluate-every=2"]
    out = tmp_path / "run"
    printed = accepted("train", "--cpu", "--start", folder, "--out", out, *data, *short)
    assert "class_head.weight, class_head.bias, query_pos" in printed
    run = torch.load(out / CHECKPOINT)["run"]
    assert (run["lr"], run["warm_lr"], run["pretrain_steps"]) == (1e-4, 1e-5, 0)
    before, after = load_detector(folder).model, load_detector(out / BEST)
    assert after.classes == ("bird", "cat", "cup") and len(after.model.queries) == 16
    old, new = before.state_dict(), after.model.state_dict()
    same = {
        name
        for name in old
        if old[name].shape == new[name].shape and torch.equal(old[name], new[name])
    }
    frozen = [name for name in old if re.search(r"bn\d|downsample\.1|conv1|layer1", name)]
    stem = [name for name in frozen if re.search(r"backbone\.(conv1|bn1|layer1)", name)]
    norms = [name for name in frozen if "conv" not in name and "downsample.0" not in name]
    assert set(stem) | set(norms) <= same
    assert "backbone.layer4.0.conv2.weight" not in same and "encoder.0.linear1.weight" not in same
    assert not new["queries"].any()
    accepted("export", tmp_path / "exported", "--weights", out / BEST)
    assert_same_outputs(tmp_path / "exported", after.model)
    assert read_folder(tmp_path / "exported").short_side == 64


def test_what_does_not_fit_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="expected one that official weights were loaded into"):
        write_folder(small_detr(3), ("a", "b", "c"), 128, tmp_path / "out")
    assert "expected one that official weights" in refused(
        "export", tmp_path / "out", "--weights", "shipped"
    )
    assert not (tmp_path / "out").exists()
    assert "config.json" in refused("evaluate", "--cpu", "--weights", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "yolos"}))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match="expected a model of the type detr, found yolos"):
        read_folder(tmp_path)
    for content in ("{", "[]", "{}"):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match="expected a DETR of transformers"):
            read_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config))
    for content in (b"", b"junk", (folder / "model.safetensors").read_bytes()[:1000]):
        (tmp_path / "pytorch_model.bin").write_bytes(content)
        with pytest.raises(ValueError, match="expected a DETR of transformers"):
            read_folder(tmp_path)


def test_only_what_a_detr_of_transformers_has_a_place_for_is_written():
    model = build("full", num_classes=3, emb_dim=8, nhead=2, enc_layers=1, dec_layers=1)
    output = model.fpn.output["p5"]
    torch.nn.init.dirac_(output.weight)
    for part in (output.bias, model.queries):
        torch.nn.init.zeros_(part)
    check_has_only_official_parts(model)
    for part in (output.bias, output.weight, model.queries):
        before = part.detach().clone()
        part.data.view(-1)[0] += 1
        with pytest.raises(ValueError, match="expected one that official weights were loaded into"):
            check_has_only_official_parts(model)
        part.data.copy_(before)
    check_has_only_official_parts(model)


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json"])
def test_a_folder_without_one_of_its_files_is_refused(folder, tmp_path, missing):
    for name in {"model.safetensors", "config.json"} - {missing}:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(FileNotFoundError, match=r"expected config\.json and model\.safetensors or"):
        read_folder(tmp_path)


def test_without_a_word_about_it_there_is_no_dilation(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config.pop("dilation", None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert read_folder(tmp_path).sizes["dilation"] is False


def test_all_official_names_are_reached(folder):
    places = {official_place(name).name for name in load_file(folder / "model.safetensors")}
    own = load_detector(folder).model.state_dict()
    expected = {official_name(name) for name in own} - {None}
    assert expected <= places


def test_a_folder_says_where_its_backbone_comes_from(tmp_path):
    with torch.device("meta"):
        config = folder_config(sizes_of(build("full", num_classes=2, num_queries=5)), ("a", "b"))
    assert not getattr(config, "use_timm_backbone", False)  # transformers 5.17 does not keep it
    assert config.backbone_config.depths == [3, 4, 6, 3]
    assert folder_config(
        {**sizes_of(small_detr(2)), "backbone": "resnet101"}, ("a", "b")
    ).backbone_config.depths == [3, 4, 23, 3]
    save_parts([config], tmp_path / "new" / "folder")
    written = json.loads((tmp_path / "new" / "folder" / "config.json").read_text())
    assert not written.get("use_timm_backbone") and written["num_queries"] == 5
