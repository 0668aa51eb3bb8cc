"""Padding: what it changes, and what it does not.

Given the features, nothing behind the mask changes a prediction, by its content or by its amount.
The backbone knows no mask. Before each convolution it puts zeros around the map; around a padded
image there is what the layers before have made of the padding. So cells near the image's border
differ, by these shares of their features' length (root mean square), from the border inward:

- shipped model, 50 scenes of 128x128 pixels, 16x16 cells: 104, 36, 8 and 0 %;
- ResNet-50 with random weights, 8 scenes of 256x256 pixels, 8x8 cells: 57, 20, 8, 3, 1 and 0 %.

How wide the padding is matters little from 32 pixels on.
"""

from functools import cache

import torch
import torch.nn.functional as F
from conftest import small_resnet, times
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from detr_steps import Step1, Step3, Step8
from detr_steps.training.detectors import load_detector
from detr_steps.training.scenes import Scenes

D = 8


class Given(nn.Module):
    """In place of the pyramid: a map that is given, whatever the image."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def forward(self, stages):
        """The only level."""
        return [self.features]


@cache
def tiny() -> Step8:
    """A model whose every parameter counts, in double precision."""
    torch.manual_seed(0)
    model = Step8(
        backbone=small_resnet(),
        emb_dim=D,
        num_classes=3,
        num_queries=4,
        nhead=2,
        enc_layers=2,
        dec_layers=2,
        dim_feedforward=12,
    )
    for parameter in model.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 0.5)
    return model.double().eval()


def from_features(features, mask=None) -> dict:
    """What the model makes of a map [B, D, H, W] and a mask of the same size."""
    model = tiny()
    model.fpn = Given(features)
    images = torch.zeros(len(features), 3, *features.shape[-2:], dtype=torch.float64)
    return model(images, mask)


def all_predictions(outputs) -> torch.Tensor:
    """Logits and boxes of every layer [L, B, N, C+1+4]."""
    layers = [*outputs["aux_outputs"], outputs]
    return torch.stack([torch.cat((x["class_logits"], x["bbox_pred"]), -1) for x in layers])


@st.composite
def batches(draw):
    """One to three maps [D, H_i, W_i], and a batch [B, D, H, W] that has noise for padding."""
    count = draw(st.integers(1, 3))
    sizes = [(draw(st.integers(1, 4)), draw(st.integers(1, 4))) for _ in range(count)]
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    maps = [torch.randn(D, *size, dtype=torch.float64) for size in sizes]
    height, width = (max(side) + draw(st.integers(0, 3)) for side in zip(*sizes, strict=True))
    loud = draw(st.sampled_from([0.0, 1.0, 1e6]))
    batch = loud * torch.randn(count, D, height, width, dtype=torch.float64)
    mask = torch.ones(count, height, width, dtype=torch.bool)
    for i, (h, w) in enumerate(sizes):
        batch[i, :, :h, :w], mask[i, :h, :w] = maps[i], False
    return maps, batch, mask


@times(1)
@given(batches())
def test_given_the_features_an_image_is_the_same_alone_and_padded_in_a_batch(drawn):
    maps, batch, mask = drawn
    together = from_features(batch, mask)
    predictions = all_predictions(together)
    mem = together["mem"].transpose(1, 2).unflatten(2, mask.shape[1:])  # [B, D, H, W]
    for i, features in enumerate(maps):
        h, w = features.shape[-2:]
        alone = from_features(features[None])
        close = {"rtol": 0, "atol": 1e-11}
        expected = alone["mem"].transpose(1, 2).unflatten(2, (h, w))
        torch.testing.assert_close(mem[i : i + 1, :, :h, :w], expected, **close)
        torch.testing.assert_close(together["pos_emb"][i : i + 1, :, :h, :w], alone["pos_emb"])
        torch.testing.assert_close(predictions[:, i : i + 1], all_predictions(alone), **close)


@times(1)
@given(batches())
def test_no_gradient_reaches_what_is_behind_the_mask(drawn):
    _, batch, mask = drawn
    batch.requires_grad_()
    all_predictions(from_features(batch, mask)).square().sum().backward()
    reached = batch.grad.abs().amax(1) > 0
    assert not (reached & mask).any()
    assert torch.equal(reached, ~mask)


@times(1)
@given(batches())
def test_without_the_mask_padding_is_seen(drawn):
    _, batch, mask = drawn
    seen = all_predictions(from_features(batch)) - all_predictions(from_features(batch, mask))
    changed = seen.abs().amax((0, 2, 3)) > 1e-9
    assert torch.equal(changed, mask.flatten(1).any(1))


@times(1)
@given(batches(), st.data())
def test_cells_may_come_in_any_order_and_so_may_queries(drawn, data):
    """A cell is known by its position, not by its place in memory."""
    _, batch, mask = drawn
    model, before = tiny(), from_features(batch, mask)
    order = data.draw(st.permutations(range(mask[0].numel())))
    context = {key: before[key] for key in ("features", "query_pos", "mem", "mem_pos")}
    tokens, padding = batch.flatten(2).transpose(1, 2), mask.flatten(1)
    mem = tokens[:, order]
    for layer in model.encoder:
        mem = layer(mem, before["mem_pos"][:, order], padding[:, order])
    inside = ~padding[:, order]
    close = {"rtol": 0, "atol": 1e-11}
    torch.testing.assert_close(mem[inside], before["mem"][:, order][inside], **close)

    context |= {"mem": mem, "mem_pos": before["mem_pos"][:, order]}
    context["padding_mask"] = padding[:, order]
    after = model.predict(model.decode(context))
    torch.testing.assert_close(all_predictions(after), all_predictions(before), **close)

    queries = data.draw(st.permutations(range(4)))
    with torch.no_grad():
        kept = model.queries.clone()
        model.queries.copy_(kept[queries])
        moved = model.predict(model.decode(context | {"query_pos": model.query_pos[queries]}))
        model.queries.copy_(kept)
    expected = all_predictions(before)[:, :, queries]
    torch.testing.assert_close(all_predictions(moved), expected, **close)


@times(1)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(0, 2**32 - 1))
def test_a_cell_has_the_mask_of_the_pixel_at_its_start(height, width, seed):
    model = three()
    mask = torch.rand(1, height, width, generator=torch.Generator().manual_seed(seed)) < 0.5
    with torch.no_grad():
        context = model.encode(torch.zeros(1, 3, height, width), mask)
    h, w = context["features"].shape[-2:]
    assert (h, w) == (-(-height // 32), -(-width // 32))
    rows, columns = (torch.arange(n) * side // n for n, side in ((h, height), (w, width)))
    assert torch.equal(context["padding_mask"], mask[:, rows][:, :, columns])


@cache
def three() -> Step3:
    """Step 3 with a backbone of stride 32."""
    return Step3(backbone=small_resnet(), emb_dim=4, num_classes=1, num_queries=1).eval()


def ring_shares(backbone, images, padding: int) -> list[float]:
    """By how much padding right and below changes features, from the border inward.

    Args:
        backbone: images [B, 3, S, S] -> features [B, D, n, n].
        images: [B, 3, S, S].
        padding: pixels.
    """
    with torch.no_grad():
        alone = backbone(images)
        n = alone.shape[-1]
        padded = backbone(F.pad(images, (0, padding, 0, padding)))[..., :n, :n]
    inward = n - 1 - torch.arange(n)
    ring = torch.minimum(inward[:, None], inward[None])
    change, length = ((x**2).sum((0, 1)) for x in (padded - alone, alone))  # [n, n]
    return [(change[ring == k].sum() / length[ring == k].sum()).sqrt().item() for k in range(n)]


def test_padding_changes_what_the_shipped_backbone_sees_of_the_border_alone():
    scenes = Scenes(20, split="test")
    images = torch.stack([scenes[i][0] for i in range(20)])
    model = load_detector("shipped").model
    for padding in (32, 64):
        shares = ring_shares(lambda x: model.encode(x)["features"], images, padding)
        assert 0.8 < shares[0] < 1.3 and 0.25 < shares[1] < 0.5 and 0.03 < shares[2] < 0.15
        assert max(shares[3:]) < 1e-5  # no token sees farther than 33 pixels


def test_padding_changes_more_of_a_large_backbone_near_the_border_than_far_from_it():
    torch.manual_seed(0)
    model = Step1(backbone="resnet18", emb_dim=16).eval()
    shares = ring_shares(model, torch.randn(2, 3, 256, 256), 64)
    assert shares == sorted(shares, reverse=True)
    assert 0.3 < shares[0] < 1 and 0.1 < shares[1] < 0.5 and shares[-1] < 0.1
