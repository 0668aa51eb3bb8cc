"""The contract of the nine steps: names, arguments, outputs, shapes."""

import inspect
import warnings

import pytest
import torch
import torchvision
from conftest import make_targets, small_step
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet
from torchvision.ops.misc import FrozenBatchNorm2d

import detr_steps

PREDICTIONS = ["class_logits", "bbox_pred"]
KEYS = {
    2: [*PREDICTIONS, "features"],
    3: [*PREDICTIONS, "features", "pos_emb", "query_pos"],
    4: [*PREDICTIONS, "features", "pos_emb", "query_pos", "mem", "mem_pos"],
    5: [*PREDICTIONS, "features", "pos_emb", "query_pos", "mem", "mem_pos"],
}
KEYS |= {step: [*KEYS[5], "aux_outputs"] for step in (6, 7, 8)}


def test_every_step_inherits_from_the_one_before_and_is_importable_from_the_package():
    for number in range(1, 9):
        step = getattr(detr_steps, f"Step{number}")
        assert step.__bases__ == (getattr(detr_steps, f"Step{number - 1}"),)
    assert detr_steps.Step0.__bases__ == (detr_steps.ResNetFPN,)
    assert all(hasattr(detr_steps, name) for name in detr_steps.__all__)


@pytest.mark.parametrize(
    ("step", "defaults"),
    [
        (1, {"emb_dim": 256}),
        (2, {"num_classes": 80, "num_queries": 100}),
        (4, {"nhead": 8, "enc_layers": 6}),
        (5, {"dec_layers": 6}),
        (7, {"cost_class": 2.0, "cost_bbox": 5.0, "cost_giou": 2.0}),
        (8, {"w_class": 2.0, "w_bbox": 5.0, "w_giou": 2.0, "no_object_weight": 0.1}),
    ],
)
def test_each_constructor_names_what_it_adds(step, defaults):
    parameters = inspect.signature(getattr(detr_steps, f"Step{step}")).parameters
    assert {name: parameters[name].default for name in defaults} == defaults


@pytest.mark.parametrize("step", range(3, 9))
def test_forward_takes_a_padding_mask_from_step3_on(step):
    forward = getattr(detr_steps, f"Step{step}").forward
    assert list(inspect.signature(forward).parameters) == ["self", "images", "padding_mask"]


def test_every_step_accepts_the_arguments_of_all_steps_before():
    model = small_step(8, pretrained=False, cost_class=1.0, w_class=1.0, temperature=20.0)
    assert model.cost_class == model.w_class == 1.0
    assert model.position_embedding.temperature == 20.0


def test_an_unknown_argument_is_refused_by_name():
    with pytest.raises(TypeError, match="num_querys"):
        small_step(8, num_querys=3)


def test_the_pyramid_has_strides_4_to_32_rounded_up(images):
    shapes = [list(p.shape) for p in small_step(0)(images)]
    assert shapes == [[2, 256, 25, 33], [2, 256, 13, 17], [2, 256, 7, 9], [2, 256, 4, 5]]


@pytest.mark.parametrize("step", range(2, 9))
def test_outputs_have_the_keys_and_shapes_of_the_contract(step, images):
    out = small_step(step)(images)
    shapes = {
        "class_logits": [2, 12, 6],
        "bbox_pred": [2, 12, 4],
        "features": [2, 32, 4, 5],
        "pos_emb": [2, 32, 4, 5],
        "query_pos": [12, 32],
        "mem": [2, 20, 32],
        "mem_pos": [2, 20, 32],
    }
    assert sorted(out) == sorted(KEYS[step])
    assert {k: list(v.shape) for k, v in out.items() if k != "aux_outputs"} == {
        k: shapes[k] for k in out if k != "aux_outputs"
    }
    assert ((out["bbox_pred"] >= 0) & (out["bbox_pred"] <= 1)).all()
    if step >= 6:
        assert [sorted(aux) for aux in out["aux_outputs"]] == [sorted(PREDICTIONS)] * 2
        assert [list(aux["class_logits"].shape) for aux in out["aux_outputs"]] == [[2, 12, 6]] * 2


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (64, 64), (100, 37)])
def test_any_image_size_works(size):
    out = small_step(8).eval()(torch.rand(1, 3, *size))
    assert list(out["features"].shape[-2:]) == [-(-side // 32) for side in size]
    assert out["class_logits"].isfinite().all()


def test_p5_of_step1_is_the_last_level_of_step0_to_the_last_bit(images):
    step0, step1 = small_step(0).eval(), small_step(1, emb_dim=256).eval()
    report = step1.load_state_dict(step0.state_dict(), strict=False)
    assert report.missing_keys == []
    assert torch.equal(step1(images), step0(images)[-1])


def test_step2_predicts_the_same_for_every_image_and_step5_does_not(images):
    for step, same in ((2, True), (3, True), (4, True), (5, False)):
        boxes = small_step(step).eval()(images)["bbox_pred"]
        assert torch.allclose(boxes[0], boxes[1], atol=1e-6) is same


def test_step6_is_step5_with_the_same_weights(images):
    step5, step6 = small_step(5).eval(), small_step(6).eval()
    assert list(step5.state_dict()) == list(step6.state_dict())
    torch.testing.assert_close(step6(images)["bbox_pred"], step5(images)["bbox_pred"])


def test_every_parameter_of_step8_gets_a_finite_gradient(images):
    model = small_step(8)
    model.compute_loss(model(images), make_targets(3, 1)).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert [name for name, g in gradients.items() if g is None] == []
    assert [name for name, g in gradients.items() if not g.isfinite().all()] == []


def test_fpn_is_torchvisions():
    ours = detr_steps.FPN({3: 8, 4: 16, 5: 32}, 12)
    twin = torchvision.ops.FeaturePyramidNetwork([8, 16, 32], 12)
    for i, level in enumerate(("p3", "p4", "p5")):
        twin.inner_blocks[i][0].load_state_dict(ours.lateral[level].state_dict())
        twin.layer_blocks[i][0].load_state_dict(ours.output[level].state_dict())
    maps = [torch.rand(2, 8, 25, 33), torch.rand(2, 16, 13, 17), torch.rand(2, 32, 7, 9)]
    expected = twin({str(i): m for i, m in enumerate(maps)}).values()
    for p, e in zip(ours(maps), expected, strict=True):
        torch.testing.assert_close(p, e)


def test_a_ready_resnet_serves_as_backbone_and_stays_as_it_was(images):
    resnet = ResNet(BasicBlock, [1, 1, 1, 1])
    model = small_step(8, backbone=resnet)
    assert model.backbone.conv1 is resnet.conv1
    assert isinstance(resnet.fc, nn.Linear)
    assert model(images)["features"].shape[1] == 32


def test_pretrained_weights_come_with_frozen_batch_norm_and_without_a_warning(monkeypatch):
    state = torchvision.models.resnet18().state_dict()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *args, **kwargs: state)
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *args, **kwargs: state
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = detr_steps.Step0(pretrained=True, backbone="resnet18")
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm2d, FrozenBatchNorm2d))]
    assert norms and all(isinstance(m, FrozenBatchNorm2d) for m in norms)
    assert torch.equal(model.backbone.conv1.weight, state["conv1.weight"])


def test_dilation_halves_the_stride():
    model = detr_steps.Step1(dilation=True, emb_dim=8).eval()
    assert list(model(torch.rand(1, 3, 64, 96)).shape) == [1, 8, 4, 6]


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_every_weight_matrix_of_a_transformer_starts_xavier_uniform(part):
    sizes = {"emb_dim": 64, "enc_layers": 2, "dec_layers": 2, "dim_feedforward": 160}
    transformer = getattr(small_step(5, **sizes), part)
    matrices = {name: p for name, p in transformer.named_parameters() if p.dim() > 1}
    assert len(matrices) == {"encoder": 2 * 4, "decoder": 2 * 6}[part]
    for name, matrix in matrices.items():
        bound = (6 / sum(matrix.shape)) ** 0.5
        sizes = matrix.detach().abs() / bound  # evenly spread over 0..1
        assert 0.99 < sizes.max() <= 1, name
        assert abs(sizes.mean() - 1 / 2) < 0.02, name
        assert abs(sizes.square().mean() - 1 / 3) < 0.02, name
        assert abs(matrix.mean()) < 0.05 * bound, name


def test_encoder_layers_start_apart():
    layers = small_step(4, enc_layers=2).encoder
    assert not torch.equal(layers[0].linear1.weight, layers[1].linear1.weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_finite_loss_and_gradients(dtype, images):
    model = small_step(8)
    targets = make_targets(3, 0)
    plain = model.compute_loss(model(images), targets)
    with torch.autocast("cpu", dtype=dtype):
        loss = model.compute_loss(model(images), targets)
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, plain, rtol=0.05, atol=0)
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_loss_with_targets_on_either_side(images):
    model, targets = small_step(8).eval(), make_targets(3, 2)
    expected = model.compute_loss(model(images), targets)
    model, images = model.cuda(), images.cuda()
    on_gpu = [{key: value.cuda() for key, value in target.items()} for target in targets]
    for given in (targets, on_gpu):
        loss = model.compute_loss(model(images), given)
        torch.testing.assert_close(loss.cpu(), expected, rtol=1e-3, atol=0)
    with torch.autocast("cuda"):
        model.compute_loss(model(images), targets).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
