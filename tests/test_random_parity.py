"""Step8 is DETR in any size: transformers' and ours on random configurations and images."""

from typing import Any

import torch
from conftest import times
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.resnet import BasicBlock, ResNet

from benchmarks import reference
from detr_steps import Step8, load_official
from detr_steps.official import official_name
from detr_steps.training.huggingface import official_names

SIZE = st.integers(33, 130)


@st.composite
def configurations(draw) -> dict[str, Any]:
    """Arguments of Step8."""
    nhead = draw(st.sampled_from([1, 2, 3, 4]))
    return {
        "emb_dim": 4 * nhead * draw(st.integers(1, 4)),
        "num_classes": draw(st.integers(1, 9)),
        "num_queries": draw(st.integers(3, 9)),
        "nhead": nhead,
        "enc_layers": draw(st.integers(1, 3)),
        "dec_layers": draw(st.integers(1, 3)),
        "dim_feedforward": draw(st.integers(1, 40)),
    }


def build_pair(sizes):
    """transformers' DETR and ours with the same weights."""
    theirs = reference.random_detr(
        "basic",
        d_model=sizes["emb_dim"],
        num_labels=sizes["num_classes"],
        num_queries=sizes["num_queries"],
        encoder_attention_heads=sizes["nhead"],
        decoder_attention_heads=sizes["nhead"],
        encoder_layers=sizes["enc_layers"],
        decoder_layers=sizes["dec_layers"],
        encoder_ffn_dim=sizes["dim_feedforward"],
        decoder_ffn_dim=sizes["dim_feedforward"],
    )
    backbone = ResNet(BasicBlock, [1, 1, 1, 1])
    ours = Step8(backbone=backbone, cost_class=1.0, w_class=1.0, **sizes).double()
    load_official(ours, official_names(theirs.state_dict()))
    return theirs, ours.eval()


@times(0.2)
@given(configurations(), st.lists(st.tuples(SIZE, SIZE), min_size=1, max_size=3), st.data())
def test_any_size_gives_the_same_predictions_loss_and_gradients(sizes, shapes, data):
    torch.manual_seed(data.draw(st.integers(0, 2**32 - 1)))
    theirs, ours = build_pair(sizes)
    height, width = (max(sides) for sides in zip(*shapes, strict=True))
    images = torch.randn(len(shapes), 3, height, width, dtype=torch.float64)
    mask = torch.ones(len(shapes), height, width, dtype=torch.bool)
    for i, (h, w) in enumerate(shapes):
        mask[i, :h, :w] = False
    counts = [data.draw(st.integers(0, 3)) for _ in shapes]
    targets = [
        {
            "labels": torch.randint(sizes["num_classes"], (count,)),
            "boxes": torch.rand(count, 4, dtype=torch.float64),
        }
        for count in counts
    ]

    logits, boxes = reference.all_layers(theirs, images, (~mask).long())
    outputs = ours(images, mask)
    layers = [*outputs["aux_outputs"], outputs]
    for key, expected in (("class_logits", logits), ("bbox_pred", boxes)):
        found = torch.stack([layer[key] for layer in layers])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)

    our_loss = ours.compute_loss(outputs, targets)
    their_loss = reference.official_loss(logits, boxes, targets, sizes["num_classes"])
    torch.testing.assert_close(our_loss, their_loss, rtol=1e-7, atol=0)
    our_loss.backward()
    their_loss.backward()
    theirs_by_name = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    gradients = official_names(theirs_by_name)
    compared = 0
    for name, parameter in ours.named_parameters():
        if parameter.requires_grad:
            expected = gradients[official_name(name)]
            allowed = 1e-6 * expected.abs().max() + 1e-10
            assert (parameter.grad - expected).abs().max() <= allowed, name
            compared += 1
    assert compared == len(gradients)
