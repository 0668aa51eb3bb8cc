"""A model in use: folded norms, a forward that compiles whole, one copy from the device."""

import platform
import shutil
import warnings

import pytest
import torch
from conftest import DeviceReads, make_targets, on_host, small_resnet, small_step
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops.misc import FrozenBatchNorm2d

from detr_steps import Step0, Step8
from detr_steps.inference import detections, fold_norms, for_inference
from detr_steps.inference.bfloat16 import (
    InBfloat16,
    TokensFirst,
    WideConvolution,
    has_bfloat16,
)
from detr_steps.inference.ready import Compiled
from detr_steps.official import freeze_batch_norm
from detr_steps.training.small import small_detr


def make_backbone(block=Bottleneck, **options):
    """A small ResNet whose norms have something to do."""
    torch.manual_seed(0)
    backbone = ResNet(block, [1, 2, 1, 1], **options)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor)
    return backbone.eval()


def norms(module):
    return [m for m in module.modules() if isinstance(m, (nn.BatchNorm2d, FrozenBatchNorm2d))]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"block": BasicBlock},
        {"replace_stride_with_dilation": [False, False, True]},
        {"groups": 32, "width_per_group": 4},
    ],
)
def test_a_folded_norm_changes_no_number_and_is_gone(options, frozen):
    backbone = make_backbone(**options).double()
    if frozen:
        freeze_batch_norm(backbone)
        backbone.eval()
    images = torch.rand(2, 3, 65, 90, dtype=torch.float64)
    with torch.no_grad():
        before = backbone(images)
        fold_norms(backbone)
        torch.testing.assert_close(backbone(images), before, rtol=1e-9, atol=1e-9)
    assert norms(backbone) == []


def test_a_norm_without_a_convolution_before_it_stays():
    parts = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1))
    names = list(parts.state_dict())
    fold_norms(parts)
    assert list(parts.state_dict()) == names


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_model_to_be_compiled_reads_its_tokens_in_one_order(able, dtype):
    ready = for_inference(small_step(8), compile=True, dtype=dtype)
    assert isinstance(ready, Compiled)
    wrapped = [part for part in ready.modules() if isinstance(part, TokensFirst)]
    assert wrapped and all(isinstance(one.attention, nn.MultiheadAttention) for one in wrapped)
    assert len(wrapped) == sum(isinstance(part, nn.MultiheadAttention) for part in ready.modules())


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_model_for_inference_says_the_same(frozen, masked):
    model = small_step(8, backbone=make_backbone())
    if frozen:
        freeze_batch_norm(model.backbone)
    images = torch.rand(2, 3, 96, 130)
    mask = torch.zeros(2, 96, 130, dtype=torch.bool) if masked else None
    if masked:
        mask[1, :, 70:] = True
    names = list(model.state_dict())
    expected = model.eval()(images, mask)
    model.train()
    ready = for_inference(model)
    found = ready(images, mask)
    for key in ("class_logits", "bbox_pred"):
        assert (found[key] - expected[key]).abs().max() < 1e-4
        assert not found[key].requires_grad
    assert not ready.training and norms(ready) == []
    assert ready.backbone.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    # the model itself stays as it was
    assert model.training and norms(model) and list(model.state_dict()) == names
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert len(ready.match(found, make_targets(2, 1))) == 2


@pytest.fixture
def able(monkeypatch):
    """A processor that computes in bfloat16, or that says so and imitates it."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@pytest.mark.parametrize("masked", [False, True])
def test_in_bfloat16_it_says_nearly_the_same_in_float32(masked, able):
    model = small_step(8, backbone=make_backbone()).eval()
    ready = for_inference(model, dtype=torch.bfloat16)
    for size in ((2, 3, 96, 330), (1, 3, 40, 30)):
        images = torch.rand(size)
        mask = torch.arange(size[-1]).ge(25).expand(size[0], *size[2:]) if masked else None
        with torch.no_grad():
            expected, found = model(images, mask), ready(images, mask)
        assert found.keys() == expected.keys()
        pairs = [*zip(found["aux_outputs"], expected["aux_outputs"], strict=True)]
        for mine, other in [(found, expected), *pairs]:
            for key, most in (("class_logits", 0.1), ("bbox_pred", 0.01)):
                assert mine[key].dtype == torch.float32
                assert 0 < (mine[key] - other[key]).abs().max() < most
    parameters = ready.model.backbone.layer1.parameters()
    assert all(parameter.dtype == torch.bfloat16 for parameter in parameters)
    assert all(p.dtype == torch.float32 for p in model.parameters())  # the model stays as it was


def test_boxes_are_not_rounded_to_bfloat16(able):
    ready = for_inference(small_step(8), dtype=torch.bfloat16)
    boxes = ready(torch.rand(1, 3, 64, 64))["bbox_pred"]
    assert (boxes != boxes.bfloat16().float()).float().mean() > 0.9


def test_without_instructions_for_bfloat16_it_says_so_and_stays_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    model, images = small_step(8), torch.rand(1, 3, 64, 64)
    with pytest.warns(UserWarning, match="no instructions for bfloat16") as seen:
        ready = for_inference(model, dtype=torch.bfloat16)
    assert seen[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = for_inference(model)
    assert torch.equal(ready(images)["class_logits"], plain(images)["class_logits"])


def test_narrow_maps_are_convolved_in_float32(able):
    convolution = nn.Conv2d(512, 512, 3, stride=2, padding=1).requires_grad_(False)
    layer = WideConvolution(convolution.bfloat16().to(memory_format=torch.channels_last))
    for width in (1, 2, 3, 5, 8, 9, 20):
        maps = torch.rand(1, 512, 5, width).bfloat16()
        expected = convolution.float()(maps.float())
        convolution.bfloat16()
        assert (layer(maps).float() - expected).abs().max() < 0.02, width


def test_maps_of_up_to_8_columns_are_narrow(able, monkeypatch):
    narrow = []

    def in_float32(self, maps):
        narrow.append(maps.shape[-2:])
        return maps

    monkeypatch.setattr(WideConvolution, "in_float32", in_float32)
    layer = WideConvolution(nn.Conv2d(1, 1, 3).bfloat16())
    for size in ((20, 8), (8, 9), (20, 9)):
        layer(torch.rand(1, 1, *size).bfloat16())
    assert narrow == [(20, 8)]


def test_a_gpu_that_only_imitates_bfloat16_does_not_have_it(monkeypatch):
    def supported(including_emulation=True):
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert not has_bfloat16(torch.device("cuda"))


def test_detections_are_the_best_first_from_the_threshold_on():
    logits = torch.tensor([[[0.0, 2, 0], [3, 0, 0], [0, 0, 1], [0, 1, 0]]])
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4]]) + torch.arange(4)[:, None] / 100
    outputs = {"class_logits": logits, "bbox_pred": boxes[None]}
    best = logits[0].softmax(-1)[:, :2].max(-1).values
    (found,) = detections(outputs, [(100, 200)], float(best[0]))
    assert found["scores"].tolist() == best[[1, 0]].tolist()
    assert found["labels"].tolist() == [0, 1]
    expected = torch.tensor([[81.0, 30.5, 123, 71.5], [80, 30, 120, 70]])
    torch.testing.assert_close(found["boxes"], expected)
    with pytest.raises(ValueError, match=r"zip\(\)"):
        detections(outputs, [(100, 200), (100, 200)], 0.5)


@pytest.mark.parametrize("wrong", [float("nan"), 0.05])
def test_a_processor_whose_convolutions_are_wrong_in_bfloat16_is_found_at_once(
    able, monkeypatch, wrong
):
    right = nn.Conv2d.forward

    def forward(self, maps):
        found = right(self, maps)
        strided = found.dtype == torch.bfloat16 and self.stride == (2, 2)
        return found + wrong * found.abs().max() if strided else found

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    model = small_step(8)
    assert for_inference(model)
    with pytest.raises(RuntimeError, match=r"^dtype: backbone.* on a map of 9x9; leave dtype out"):
        for_inference(model, dtype=torch.bfloat16)


def test_no_attention_multiplies_token_by_token(able):
    ready = for_inference(small_step(8), dtype=torch.bfloat16)
    bare = for_inference(small_step(8), dtype=torch.bfloat16)
    for parent in list(bare.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, TokensFirst):
                setattr(parent, name, child.attention)
    counts = []
    for model in (ready, bare):
        with torch.profiler.profile() as profiler, torch.no_grad():
            model(torch.rand(2, 3, 64, 96))
        counts.append(sum(e.count for e in profiler.key_averages() if e.key == "aten::bmm"))
    assert counts[0] + 7 <= counts[1]  # one at least in each of seven attentions


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"compile": "tvm"}, "compile: expected False, True or \"openvino\", found 'tvm'"),
        ({"dtype": torch.float16}, "dtype: expected torch.bfloat16, torch.float32 or None, found"),
    ],
)
def test_what_it_cannot_be_made_ready_for_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        for_inference(small_step(8), **wrong)
    with pytest.raises(TypeError, match="model: expected a Step8, found InBfloat16"):
        for_inference(InBfloat16(small_step(8)))


def test_only_the_last_parts_of_the_backbone_are_trained():
    def trained(count):
        model = Step0(backbone=small_resnet(), trainable_layers=count)
        return {
            name.split(".")[0]
            for name, parameter in model.backbone.named_parameters()
            if parameter.requires_grad
        }

    assert trained(5) == {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
    assert trained(4) == {"layer1", "layer2", "layer3", "layer4"}
    assert trained(3) == {"layer2", "layer3", "layer4"}  # DETR
    assert trained(0) == set()
    for wrong in (-1, 6, 2.5, None):
        with pytest.raises(ValueError, match="trainable_layers: expected a whole number in 0"):
            Step0(backbone=small_resnet(), trainable_layers=wrong)


@pytest.mark.parametrize("masked", [False, True])
def test_the_forward_has_no_graph_break_and_takes_every_size(masked):
    torch._dynamo.reset()
    model = small_detr(6).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    for height, width in ((64, 96), (97, 65)):
        inputs = [torch.rand(2, 3, height, width)]
        if masked:
            inputs.append(torch.rand(2, height, width) < 0.2)
        with torch.no_grad():
            expected, found = model(*inputs), compiled(*inputs)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_the_compiled_model_for_inference_says_the_same_at_every_size():
    torch._dynamo.reset()
    model = small_detr(6)
    plain, compiled = for_inference(model), for_inference(model, compile=True)
    for size in ((64, 96), (96, 96)):
        images = torch.rand(1, 3, *size)
        with torch.no_grad():
            found, expected = compiled(images), plain(images)
        for key in ("class_logits", "bbox_pred"):
            assert (found[key] - expected[key]).abs().max() < 1e-4
    with torch.profiler.profile() as profiler, torch.no_grad():
        compiled(images)
    names = {event.key for event in profiler.key_averages()}
    if torch.backends.mkldnn.is_available() and platform.machine() == "x86_64":
        assert "mkldnn::_convolution_pointwise" in names and "aten::convolution" not in names


def test_a_training_step_reads_from_the_device_once():
    model = small_step(8, dec_layers=3)
    images, mask = torch.rand(2, 3, 64, 96), torch.zeros(2, 64, 96, dtype=torch.bool)
    with DeviceReads() as reads:
        outputs = model(images, mask)
        assert reads.calls == []
        model.compute_loss(outputs, on_host(make_targets(3, 2))).backward()
    assert reads.calls == ["cpu"]


def test_a_read_too_many_is_seen():
    class Curious(Step8):
        def layer_terms(self, *given):
            terms = super().layer_terms(*given)
            assert terms["bbox"].item() >= 0
            return terms

    model = Curious(backbone=small_resnet(), emb_dim=16, nhead=2, enc_layers=1, dec_layers=2)
    outputs = model(torch.rand(1, 3, 64, 64))
    with DeviceReads() as reads:
        model.compute_loss(outputs, on_host(make_targets(2)))
    assert reads.calls == ["cpu", "item"]


def test_targets_on_the_device_are_read_there():
    model = small_step(8)
    outputs = model(torch.rand(2, 3, 64, 64))
    with DeviceReads() as reads:
        model.compute_loss(outputs, make_targets(3, 2))
    assert reads.calls.count("cpu") == 1 and reads.calls.count("nonzero") >= 2
