"""What each lever of speed brings: the same model with it and without it, in turn."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial, partialmethod
from unittest.mock import patch

import torch
from torch import nn

from detr_steps import Step0, Step1
from detr_steps.inference import fold_norms
from detr_steps.step6_auxiliary_outputs import TransformerDecoderWithIntermediates

from . import measure, models
from .rows import Row, row, training_step


def channels_last(model: nn.Module) -> nn.Module:
    """A copy whose maps lie channels last."""
    return deepcopy(model).to(memory_format=torch.channels_last)


def folded(model: nn.Module) -> nn.Module:
    """A copy with its norms folded."""
    model = deepcopy(model)
    fold_norms(model.backbone)
    return model.requires_grad_(False)


def with_plain_norms(sizes: dict) -> nn.Module:
    """Step8 with frozen norms that are modules of their own, as most code has them."""
    with patch.object(models, "absorb_frozen_norms", lambda backbone: None):
        return models.make_ours(**sizes)


def last_layer_alone(model, batch) -> None:
    """Inference whose heads read the last decoder layer alone."""
    collect = TransformerDecoderWithIntermediates.collect
    with patch.object(
        TransformerDecoderWithIntermediates,
        "collect",
        lambda self, states: collect(self, states[-1:]),
    ):
        models.our_predictions(model, batch)


def with_weights(model, batch) -> None:
    """Inference in which every attention also returns its weights."""
    forward = nn.MultiheadAttention.forward

    def asked(self, *args, need_weights, **kwargs):
        return forward(self, *args, need_weights=True, **kwargs)

    with patch.object(nn.MultiheadAttention, "forward", partialmethod(asked)):
        models.our_predictions(model, batch)


def one_by_one(ours, outputs, targets) -> None:
    """A matching for each image and layer of its own."""
    for layer in (*outputs["aux_outputs"], outputs):
        for i, target in enumerate(targets):
            one = {key: layer[key][i : i + 1] for key in ("class_logits", "bbox_pred")}
            ours.match(one, [target])


def levers(pairs: int, side: int = 640, batch_size: int = 2, **sizes) -> Iterator[Row]:
    """A row for each lever: "ours" is with it, "theirs" without it."""
    batch = models.make_batch(batch_size, side, side)
    plain, model = with_plain_norms(sizes), models.make_ours(**sizes)
    ready = model.for_inference()

    def compare(name: str, after: Callable, before: Callable, rounds: int = pairs) -> Row:
        return row("lever", name, measure.in_turn(after, before, rounds))

    def predict(model):
        return torch.no_grad()(partial(models.our_predictions, model, batch))

    images = batch.images
    yield compare(
        "pyramid levels that nobody reads left out (Step 1 over Step 0, inference)",
        torch.no_grad()(partial(Step1().eval(), images)),
        torch.no_grad()(partial(Step0().eval(), images)),
    )
    yield compare("norms folded (inference)", predict(folded(plain)), predict(plain))
    yield compare("channels last (inference)", predict(channels_last(plain)), predict(plain))
    yield compare("both: for_inference", predict(ready), predict(plain))
    yield compare(
        "attention without weights (inference)",
        predict(ready),
        torch.no_grad()(partial(with_weights, ready, batch)),
    )
    yield compare(
        "heads on the last layer alone (inference)",
        torch.no_grad()(partial(last_layer_alone, ready, batch)),
        predict(ready),
    )
    outputs = plain(images[..., :64, :64])
    yield compare(
        "all layers and images matched at once (matching)",
        partial(plain.match_layers, *plain.stack_layers(outputs), batch.targets),
        partial(one_by_one, plain, outputs, batch.targets),
        5 * pairs,
    )

    def train(model):
        return training_step(model.train(), models.our_loss, batch)

    yield compare("frozen norms in the convolutions (training)", train(model), train(plain))
    yield compare("channels last (training)", train(channels_last(model)), train(model), pairs)
