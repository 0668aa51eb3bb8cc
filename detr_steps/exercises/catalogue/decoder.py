"""Steps 5 and 6: the decoder, and the predictions of all its layers."""

from dataclasses import replace
from functools import partial

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from ...step5_decoder import Step5
from ...step6_auxiliary_outputs import Step6, TransformerDecoderWithIntermediates
from ..observing import Probe
from ..tasks import Task
from .common import (
    FORWARD,
    MODES,
    PADDED,
    SHAPES,
    TWICE,
    VARY,
    make_arguments,
    probe_defaults,
    random,
    run_twice,
    vary,
)

BUILT_ONCE = "the decoder is built once"

EARLIER = ("backbone", "encoder")
DECODER_TWICE = replace(TWICE, run=partial(run_twice, frozen=EARLIER))
DECODER_VARY = replace(VARY, run=partial(vary, frozen=EARLIER, key="class_logits"))


def built_once(build) -> dict[str, bool]:
    """Whether no more attention layers are built than the model keeps."""
    built = set()

    def note(parent, name, module):
        if isinstance(module, nn.MultiheadAttention):
            built.add(module)

    with register_module_module_registration_hook(note):
        model = build()
    kept = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    return {BUILT_ONCE: len(built) <= len(kept)}


def states():
    """Queries, their positions, memory, its positions."""
    return random(2, 7, 24), random(7, 24), random(2, 12, 24), random(2, 12, 24, seed=1)


TASKS = (
    Task(
        Step5,
        (FORWARD, PADDED, DECODER_TWICE, MODES, DECODER_VARY, probe_defaults(dec_layers=6)),
        make_arguments(5),
        parts={
            "the queries' self-attention": r"decoder\..*self_attn\.out_proj",
            "the cross-attention": r"decoder\..*multihead_attn\.out_proj",
            "the feed-forward network": r"decoder\..*linear2",
            "query_pos": r"^query_pos$",
        },
        variants={"with one layer": {"dec_layers": 1}},
    ),
    Task(
        TransformerDecoderWithIntermediates,
        (Probe("7 queries that read 12 tokens", inputs=states, gradients=True),),
        lambda: {"num_layers": 3, "d_model": 24, "nhead": 2, "dim_feedforward": 20},
    ),
    Task(
        Step6,
        (FORWARD, PADDED, Probe("building it", built_once, of_class=True), SHAPES, MODES),
        make_arguments(5),
    ),
)
