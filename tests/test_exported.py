"""Models that leave this process: a file of ONNX, and OpenVINO."""

import sys

import pytest
import torch
from cli import accepted, refused
from conftest import small_step
from test_detectors import PHOTO

from detr_steps import Step8
from detr_steps.inference import export, for_inference
from detr_steps.inference.exported import read_onnx
from detr_steps.training.detectors import load_detector

SIZES = ((96, 130), (64, 64), (33, 257), (20, 40))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The shipped model as ONNX."""
    path = tmp_path_factory.mktemp("onnx") / "scenes.onnx"
    assert f"written: {path}" in accepted("export", path, "--weights", "shipped")
    return path


@torch.no_grad()
def assert_same(found, expected, sizes=SIZES):
    """Both predict the same at every size, for one image and three, with padding and without."""
    for size in sizes:
        for batch in (1, 3):
            images = torch.rand(batch, 3, *size)
            mask = torch.zeros(batch, *size, dtype=torch.bool)
            mask[-1, :, size[1] * 3 // 5 :] = True
            mask[0, size[0] * 2 // 3 :] = True
            for padding in (None, mask):
                assert_close(found(images, padding), expected(images, padding))


def assert_close(found, expected, logits=1e-4, boxes=1e-4):
    assert found["class_logits"].dtype == found["bbox_pred"].dtype == torch.float32
    assert (found["class_logits"] - expected["class_logits"]).abs().max() < logits
    assert (found["bbox_pred"] - expected["bbox_pred"]).abs().max() < boxes


def test_onnx_says_the_same_at_every_size(file):
    detector = load_detector("shipped")
    model, classes, short_side = read_onnx(file)
    assert (classes, short_side) == (detector.classes, detector.short_side)
    assert_same(model, detector.model)
    assert list(file.parent.iterdir()) == [file]


def test_onnx_cuts_the_map_where_the_padding_begins(file):
    """ONNX's own rounding gives another map for some of these edges."""
    images, columns = torch.rand(1, 3, 16, 130).expand(129, -1, -1, -1), torch.arange(130)
    mask = (columns > torch.arange(129)[:, None])[:, None].expand(-1, 16, -1)
    with torch.no_grad():
        expected = load_detector("shipped").model(images, mask)
    assert_close(read_onnx(file)[0](images, mask), expected)


def test_onnx_detects_and_is_evaluated(file, tmp_path):
    out = ["--out", tmp_path / "found"]
    tables = [accepted("detect", PHOTO, "--weights", w, *out) for w in ("shipped", file)]
    assert tables[0] == tables[1]
    options = ["--cpu", "--scenes", 4, "--page", tmp_path / "page.html"]
    found = [accepted("evaluate", "--weights", w, *options) for w in ("shipped", file)]
    rows = [[line for line in text.splitlines() if "│" in line] for text in found]
    assert len(rows[0]) == 1 and rows[0] == rows[1]


def test_what_can_only_detect_is_not_trained_or_exported_again(file, tmp_path):
    expected = "weights: expected those of a Step8, found a model that can only detect"
    assert expected in refused("train", "--cpu", "--start", file, "--out", tmp_path / "run")
    for name in ("again.onnx", "folder"):
        assert expected in refused("export", tmp_path / name, "--weights", file)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_exported_model_is_refused(file, tmp_path):
    other = tmp_path / "other.onnx"
    for content in (b"", b"junk", file.read_bytes()[:1000]):
        other.write_bytes(content)
        printed = refused("detect", PHOTO, "--weights", other)
        assert "other.onnx: expected a model that `export` wrote" in printed
    import onnx

    model = onnx.load(file)
    model.metadata_props.clear()
    onnx.save(model, other)
    with pytest.raises(ValueError, match="expected classes among its notes"):
        read_onnx(other)


def test_mistakes_are_named_before_anything_is_computed(tmp_path, monkeypatch):
    model = small_step(8)
    with pytest.raises(TypeError, match="model: expected a Step8, found Step7"):
        export(small_step(7), tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="classes: expected a list of 5 names, found 2"):
        export(model, tmp_path / "a.onnx", classes=["a", "b"])
    with pytest.raises(FileNotFoundError, match="expected an existing folder, found"):
        export(model, tmp_path / "none" / "a.onnx")
    with pytest.raises(IsADirectoryError, match="expected the name of a file, found a folder"):
        export(model, tmp_path)
    for package in ("onnx", "onnxscript"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(ValueError, match=rf'{package}: .* "detr_steps\[onnx\]"'):
                export(model, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_stays_until_the_new_one_is_complete(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise OSError("no space left")

    file = tmp_path / "a.onnx"
    file.write_bytes(b"before")
    monkeypatch.setattr(torch.export, "export", fail)
    with pytest.raises(OSError, match="no space left"):
        export(small_step(8, dec_layers=1), file)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]


@pytest.mark.slow
def test_detr_at_full_size_leaves_as_onnx(tmp_path):
    model = Step8(num_classes=91, dim_feedforward=2048).eval()
    export(model, tmp_path / "a.onnx")
    found, classes, _ = read_onnx(tmp_path / "a.onnx")
    assert classes == tuple(map(str, range(91)))
    assert_same(found, model, ((96, 130), (128, 64), (20, 40), (33, 200)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


@pytest.mark.slow
def test_openvino_says_the_same_at_every_size():
    """In bfloat16 it is held to account beside the benchmarks."""
    pytest.importorskip("openvino")
    model = small_step(8, dec_layers=1).eval()
    assert_same(for_inference(model, compile="openvino"), model)


def test_openvino_is_asked_for_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match=r'openvino: .* pip install "detr_steps\[openvino\]"'):
        for_inference(small_step(8), compile="openvino")
