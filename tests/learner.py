"""What a learner has typed, run as in a notebook."""

import math

import scipy
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import detr_steps
from detr_steps.inputs import check_targets
from detr_steps.step5_decoder import TransformerDecoder

NAMES = {
    **{name: getattr(detr_steps, name) for name in detr_steps.__all__},
    **{"F": F, "math": math, "nn": nn, "scipy": scipy, "torch": torch, "torchvision": torchvision},
    "TransformerDecoder": TransformerDecoder,
    "check_targets": check_targets,
}


def run(source, **names):
    """Runs what might have been typed; all classes and functions that are called my, in order.

    The last of them is the answer. `names` are defined before.
    """
    namespace = {**NAMES, "__name__": "learner", **names}
    exec(source, namespace)
    return [thing for name, thing in namespace.items() if name.lower().startswith("my")]


def write(source, *changes, **names):
    """The only such class or function, after changes of the source."""
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    (attempt,) = run(source, **names)
    return attempt
