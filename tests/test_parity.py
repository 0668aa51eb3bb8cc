"""Step8 with the official weights is DETR: the same logits, boxes, matching, loss and gradients."""

import csv
from pathlib import Path

import pytest
import torch
from conftest import small_step
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from transformers.loss.loss_for_object_detection import HungarianMatcher

from benchmarks import reference
from detr_steps import Step8, load_official
from detr_steps.official import official_name
from detr_steps.training.huggingface import official_names

OWN_TENSORS = {"queries", "fpn.output.p5.weight", "fpn.output.p5.bias"}
MANIFEST = Path(__file__).with_name("official_detr_r50_keys.tsv")


def official_state(layer3_blocks=6):
    """Zeros under the official names and shapes; R101 has more blocks in `layer3`."""
    with MANIFEST.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    shapes = {row["name"]: [int(n) for n in row["shape"].split("x")] for row in rows}
    for name in [name for name in shapes if ".layer3.5." in name]:
        for block in range(6, layer3_blocks):
            shapes[name.replace(".layer3.5.", f".layer3.{block}.")] = shapes[name]
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def official_model(**changes):
    return Step8(num_classes=91, dim_feedforward=2048, cost_class=1.0, w_class=1.0, **changes)


def pair(layer_type="bottleneck"):
    """The same DETR twice: transformers' and ours, loaded through the official names."""
    torch.manual_seed(0)
    theirs = reference.random_detr(layer_type)
    block = {"bottleneck": Bottleneck, "basic": BasicBlock}[layer_type]
    ours = Step8(
        backbone=ResNet(block, [1, 1, 1, 1]),
        emb_dim=32,
        num_classes=7,
        num_queries=12,
        nhead=4,
        enc_layers=2,
        dec_layers=3,
        dim_feedforward=48,
        cost_class=1.0,
        w_class=1.0,
    ).double()
    state = official_names(theirs.state_dict())
    assert set(load_official(ours, state).missing_keys) == OWN_TENSORS
    return theirs, ours.eval()


def batch(padded):
    images = torch.rand(2, 3, 150, 203, dtype=torch.float64)
    mask = torch.zeros(2, 150, 203, dtype=torch.bool)
    if padded:
        mask[0, 97:], mask[1, :, 131:] = True, True
        images = images.masked_fill(mask[:, None], 0)
    targets = [
        {"labels": torch.tensor([1, 6, 0]), "boxes": 0.1 + 0.8 * torch.rand(3, 4).double()},
        {"labels": torch.tensor([6]), "boxes": 0.1 + 0.8 * torch.rand(1, 4).double()},
    ]
    return images, mask, targets


@pytest.mark.parametrize("layer_type", ["bottleneck", "basic"])
@pytest.mark.parametrize("padded", [False, True])
def test_logits_boxes_matching_loss_and_gradients_are_the_official_ones(layer_type, padded):
    theirs, ours = pair(layer_type)
    images, mask, targets = batch(padded)

    logits, boxes = reference.all_layers(theirs, images, (~mask).long() if padded else None)
    outputs = ours(images, padding_mask=mask) if padded else ours(images)
    layers = [*outputs["aux_outputs"], outputs]
    for i, layer in enumerate(layers):
        torch.testing.assert_close(layer["class_logits"], logits[i], rtol=0, atol=1e-9)
        torch.testing.assert_close(layer["bbox_pred"], boxes[i], rtol=0, atol=1e-9)

    matcher = HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
    labels = [{"class_labels": t["labels"], "boxes": t["boxes"]} for t in targets]
    for layer in layers:
        theirs_in = {"logits": layer["class_logits"], "pred_boxes": layer["bbox_pred"]}
        for our_pair, their_pair in zip(
            ours.match(layer, targets), matcher(theirs_in, labels), strict=True
        ):
            assert [i.tolist() for i in our_pair] == [i.tolist() for i in their_pair]

    our_loss = ours.compute_loss(outputs, targets)
    their_loss = reference.official_loss(logits, boxes, targets, num_classes=7)
    torch.testing.assert_close(our_loss, their_loss, rtol=1e-8, atol=0)

    our_loss.backward()
    their_loss.backward()
    gradients = official_names({n: p.grad for n, p in theirs.named_parameters()})
    compared = 0
    for name, parameter in ours.named_parameters():
        if name not in OWN_TENSORS:
            expected = gradients[official_name(name)]
            # a zero query has nothing to weigh, so one gradient is zero but for rounding
            allowed = 1e-6 * expected.abs().max() + 1e-15
            assert (parameter.grad - expected).abs().max() <= allowed, name
            compared += 1
    assert compared == len(gradients)


def test_padding_does_not_change_what_is_predicted():
    _, ours = pair()
    small = torch.rand(1, 3, 128, 160, dtype=torch.float64)
    images = torch.zeros(1, 3, 192, 224, dtype=torch.float64)
    images[..., :128, :160] = small
    mask = torch.ones(1, 192, 224, dtype=torch.bool)
    mask[:, :128, :160] = False
    without, masked, ignored = ours(small), ours(images, mask), ours(images)
    h, w = without["features"].shape[-2:]
    inside = masked["pos_emb"][..., :h, :w]
    torch.testing.assert_close(inside, without["pos_emb"], rtol=0, atol=1e-12)
    # the convolutions see zeros beyond the image in both cases, so only the mask decides
    error = (masked["bbox_pred"] - without["bbox_pred"]).abs().max()
    assert error < 0.5 * (ignored["bbox_pred"] - without["bbox_pred"]).abs().max()


@pytest.mark.parametrize("wrap", [False, True])
def test_the_official_manifest_loads_with_nothing_missing_but_the_three(wrap):
    state = official_state()
    model = official_model()
    before = model.position_embedding.temperature
    keys = load_official(model, {"model": state, "epoch": 499} if wrap else state)
    assert set(keys.missing_keys) == OWN_TENSORS and keys.unexpected_keys == []
    assert before == 10000 and model.class_head.weight.abs().max() == 0


@pytest.mark.parametrize(
    ("changes", "layer3_blocks", "stride"),
    [
        ({"backbone": "resnet101"}, 23, 32),
        ({"dilation": True}, 6, 16),
        ({"backbone": "resnet101", "dilation": True}, 23, 16),
    ],
)
def test_the_variants_load_too(changes, layer3_blocks, stride):
    model = official_model(**changes)
    keys = load_official(model, official_state(layer3_blocks))
    assert set(keys.missing_keys) == OWN_TENSORS
    with torch.no_grad():
        features = model.encode(torch.rand(1, 3, 64, 96))["features"]
    assert list(features.shape[-2:]) == [64 // stride, 96 // stride]


def test_everything_that_does_not_fit_is_named_and_nothing_is_loaded():
    state = official_state()
    state["class_embed.weight"] = torch.zeros(8, 256)
    state["surplus"] = torch.zeros(1)
    del state["query_embed.weight"]
    model = official_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="3 tensors do not fit") as error:
        load_official(model, state)
    assert "missing query_embed.weight" in str(error.value)
    assert "unexpected surplus" in str(error.value)
    assert "class_embed.weight: expected [92, 256], found [8, 256]" in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("state", [None, [1], {"model": 3}, {"epoch": 1}])
def test_what_is_no_state_dict_is_refused(state):
    with pytest.raises(TypeError, match="state_dict"):
        load_official(small_step(8), state)


def test_loading_into_another_model_is_refused():
    with pytest.raises(TypeError, match="model: expected a Step8, found Linear"):
        load_official(torch.nn.Linear(1, 1), {})


def test_the_loaded_model_stays_detr_while_it_trains():
    _, ours = pair()
    frozen = {name: value.clone() for name, value in ours.state_dict().items() if "bn" in name}
    ours.train()
    optimizer = torch.optim.SGD((p for p in ours.parameters() if p.requires_grad), lr=1e-3)
    images, _, targets = batch(False)
    ours.compute_loss(ours(images), targets).backward()
    optimizer.step()
    assert ours.queries.abs().max() == 0
    assert frozen and all(torch.equal(ours.state_dict()[name], frozen[name]) for name in frozen)
    features = torch.rand(1, 32, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(ours.fpn.output["p5"](features), features, rtol=0, atol=0)
