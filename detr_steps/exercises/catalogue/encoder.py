"""Step 4: the encoder."""

from ...step4_encoder import Step4
from ..tasks import Task
from .common import (
    FORWARD,
    MODES,
    PADDED,
    TWICE,
    VARY,
    make_arguments,
    probe_defaults,
)

TASKS = (
    Task(
        Step4,
        (
            FORWARD,
            PADDED,
            TWICE,
            MODES,
            VARY,
            probe_defaults(nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1),
        ),
        make_arguments(4),
        parts={
            "the self-attention": r"encoder\..*self_attn\.out_proj",
            "the feed-forward network": r"encoder\..*linear2",
        },
        variants={"with one layer": {"enc_layers": 1}},
    ),
)
