"""What each lever of speed brings: the same model with it and without it, in turn."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial

import torch
from torch import nn

from detr_steps import Step0, Step1, Step8, TransformerDecoderWithIntermediates
from detr_steps.inference import fold_norms, for_inference
from detr_steps.inference.bfloat16 import TokensFirst, wrap

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


def tokens_first(model: nn.Module) -> nn.Module:
    """A copy whose attentions lay out their tokens as they read them."""
    model = deepcopy(model)
    wrap(model, nn.MultiheadAttention, TokensFirst)
    return model


class LastLayerDecoder(TransformerDecoderWithIntermediates):
    """A decoder that hands out the state of its last layer alone."""

    def collect(self, states: list[torch.Tensor]) -> torch.Tensor:
        """L states [B, N, D] -> [1, B, N, D]."""
        return super().collect(states[-1:])


class LastLayerStep8(Step8):
    """Step8 whose heads read the last decoder layer alone."""

    decoder_class = LastLayerDecoder


def with_weights(model: nn.Module) -> nn.Module:
    """A copy in which every attention also returns its weights."""

    def ask(module, args, kwargs):
        return args, {**kwargs, "need_weights": True}

    model = deepcopy(model)
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.register_forward_pre_hook(ask, with_kwargs=True)
    return model


def one_by_one(ours, outputs, targets) -> None:
    """A matching for each image and layer of its own."""
    for layer in (*outputs["aux_outputs"], outputs):
        for i, target in enumerate(targets):
            one = {key: layer[key][i : i + 1] for key in ("class_logits", "bbox_pred")}
            ours.match(one, [target])


def levers(pairs: int, side: int = 640, batch_size: int = 2, **sizes) -> Iterator[Row]:
    """A row for each lever: "ours" is with it, "theirs" without it."""
    batch = models.make_batch(batch_size, side, side)
    model = models.make_ours(**sizes)
    for name, after, before in inference_levers(model, batch, sizes):
        yield row("lever", name, measure.in_turn(after, before, pairs))
    outputs = model(batch.images[..., :64, :64])
    together = partial(model.match_layers, [*outputs["aux_outputs"], outputs], batch.targets)
    alone = partial(one_by_one, model, outputs, batch.targets)
    yield row(
        "lever",
        "all layers and images matched at once (matching)",
        measure.in_turn(together, alone, 5 * pairs),
    )
    for name, loss, change in (
        ("channels last", models.our_loss, channels_last),
        ("tokens laid out first", models.our_loss, tokens_first),
        ("tokens laid out first, under bfloat16 autocast", autocast_loss, tokens_first),
    ):
        works = (
            training_step(contestant.train(), loss, batch) for contestant in (change(model), model)
        )
        yield row("lever", f"{name} (training)", measure.in_turn(*works, pairs))


def autocast_loss(ours: Step8, batch: models.Batch) -> torch.Tensor:
    """The loss, with what PyTorch computes in bfloat16 there."""
    with torch.autocast("cpu", torch.bfloat16):
        return models.our_loss(ours, batch)


def inference_levers(
    model: Step8, batch: models.Batch, sizes: dict
) -> Iterator[tuple[str, Callable, Callable]]:
    """For each lever of inference its name, and the work with it and without it."""
    ready = for_inference(model)
    last_alone = models.make_ours(**sizes, step=LastLayerStep8)
    last_alone.load_state_dict(model.state_dict())

    def predict(contestant: Step8) -> Callable:
        return torch.no_grad()(partial(models.our_predictions, contestant, batch))

    yield (
        "pyramid levels that nobody reads left out (Step 1 over Step 0, inference)",
        torch.no_grad()(partial(Step1().eval(), batch.images)),
        torch.no_grad()(partial(Step0().eval(), batch.images)),
    )
    yield "norms folded (inference)", predict(folded(model)), predict(model)
    yield "channels last (inference)", predict(channels_last(model)), predict(model)
    yield "both: for_inference", predict(ready), predict(model)
    yield "attention without weights (inference)", predict(ready), predict(with_weights(ready))
    name = "heads on the last layer alone (inference)"
    yield name, predict(for_inference(last_alone)), predict(ready)
