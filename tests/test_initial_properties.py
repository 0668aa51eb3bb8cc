"""How a new model begins: the transformers by Xavier (DETR, section 4), whatever their size."""

import math

import torch
from conftest import small_resnet, times
from hypothesis import given
from hypothesis import strategies as st

from detr_steps import Step8

BACKBONE = small_resnet()


@times(0.5)
@given(st.integers(1, 4), st.sampled_from([16, 32, 64]), st.sampled_from([16, 100, 200]))
def test_weight_matrices_of_the_transformers_are_xavier_uniform(nhead, width, inner):
    model = Step8(
        backbone=BACKBONE,
        emb_dim=width * nhead,
        nhead=nhead,
        enc_layers=2,
        dec_layers=2,
        dim_feedforward=inner,
    )
    matrices = 0
    for part in (model.encoder, model.decoder):
        for name, parameter in part.named_parameters():
            if parameter.dim() == 2:
                bound = math.sqrt(6 / sum(parameter.shape))
                spread = parameter.std().item() * math.sqrt(3) / bound
                assert parameter.abs().max() <= bound and abs(spread - 1) < 0.15, name
                matrices += 1
    assert matrices == 2 * 4 + 2 * 6
    for name, parameter in model.named_parameters():  # PyTorch's own, which Xavier leaves
        if "norm" in name and name.startswith(("encoder", "decoder")):
            assert (parameter == float(name.endswith("weight"))).all()
    assert not torch.equal(model.queries, model.query_pos)
    for learnt in (model.queries, model.query_pos):
        assert abs(learnt.mean()) < 0.2 and abs(learnt.std() - 1) < 0.2
