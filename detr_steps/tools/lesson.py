"""What every notebook shows of its step: the map, the source, what changed, what it costs."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from textwrap import dedent

import matplotlib.pyplot as plt
import torch
from IPython.display import Markdown, display
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import detr_steps

from .drawing import draw_chain, show

STEPS = [getattr(detr_steps, f"Step{i}") for i in range(9)]
IDEAS = (
    "ResNet + FPN",
    "one map",
    "queries,\nheads",
    "positions",
    "encoder",
    "decoder",
    "auxiliary\noutputs",
    "matching",
    "set loss",
)


def show_map(step: int) -> None:
    """Draws the nine steps with this one lit."""
    figure, axes = plt.subplots(figsize=(11, 1.15), layout="constrained")
    draw_chain(axes, IDEAS, step)
    names = [idea.replace("\n", " ") for idea in IDEAS]
    chain = ", ".join(f"{i} {name}" for i, name in enumerate(names))
    show(figure, f"The nine steps: {chain}. You are at step {step}, {names[step]}.", caption=False)


def show_source(*objects: Callable) -> None:
    """Shows the source of classes or functions as it stands in the package and runs here."""
    code = "\n\n".join(dedent(inspect.getsource(thing)).rstrip() for thing in objects)
    file = inspect.getsourcefile(objects[0]).replace("\\", "/").rpartition("/detr_steps/")[2]
    display(Markdown(f"From `detr_steps/{file}`:\n\n```python\n{code}\n```"))


def show_changes(step: type[nn.Module]) -> None:
    """Lists what a step overrides, what it adds, and what it takes over from the step before."""
    (parent,) = step.__bases__
    own = [name for name in vars(step) if not name.startswith("__") or name == "__init__"]
    known = [name for name in own if hasattr(parent, name)]
    taken = [
        name
        for ancestor in step.__mro__[1:]
        if ancestor.__module__.startswith("detr_steps")
        for name in vars(ancestor)
        if not name.startswith("_") and name not in own
    ]
    rows = {
        "extends or overrides": known,
        "adds": [name for name in own if name not in known],
        "takes over": sorted(set(taken)),
    }
    table = [f"| `{step.__name__}({parent.__name__})` | |", "|---|---|"]
    for title, names in rows.items():
        table.append(f"| {title} | {', '.join(f'`{name}`' for name in names) or '-'} |")
    display(Markdown("\n".join(table)))


@cache
def count_cost(step: type[nn.Module]) -> tuple[int, int]:
    """Parameters, and multiply-adds of one 640x640 image, counted by PyTorch's FlopCounterMode.

    The model is built and run on the "meta" device, where tensors have shapes but no numbers.
    """
    with torch.device("meta"):
        model, image = step().eval().requires_grad_(False), torch.rand(1, 3, 640, 640)
    with FlopCounterMode(display=False) as counter:
        model(image)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


def show_cost(step: int) -> None:
    """A table of parameters and multiply-adds, of the steps up to this one and added by each."""
    rows = [
        "| step | parameters | added | multiply-adds | added |",
        "|---|--:|--:|--:|--:|",
    ]
    before = (0, 0)
    for i, cls in enumerate(STEPS[: step + 1]):
        parameters, macs = count_cost(cls)
        name = f"**{i} {IDEAS[i]}**" if i == step else f"{i} {IDEAS[i]}"
        rows.append(
            f"| {name.replace(chr(10), ' ')} | {parameters:,} | {parameters - before[0]:+,} "
            f"| {macs / 1e9:.2f} G | {(macs - before[1]) / 1e9:+.2f} G |"
        )
        before = parameters, macs
    display(Markdown("One 640x640 image, default arguments:\n\n" + "\n".join(rows)))


@contextmanager
def shown_error(*errors: type[Exception]) -> Iterator[None]:
    """Prints the error that the block must raise; a block that raises none fails."""
    try:
        yield
    except errors as error:
        print(f"{type(error).__name__}: {error}")
    else:
        raise AssertionError(f"expected {' or '.join(e.__name__ for e in errors)}, got no error")


@contextmanager
def recorded_attention(*modules: nn.MultiheadAttention) -> Iterator[list[Tensor]]:
    """Collects attention weights [B, queries, keys] of `modules`, heads averaged, as they run."""
    weights: list[Tensor] = []

    def record(module, args, kwargs, output):
        weights.append(module.forward(*args, **{**kwargs, "need_weights": True})[1].detach())

    hooks = [module.register_forward_hook(record, with_kwargs=True) for module in modules]
    try:
        yield weights
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def silenced(*modules: nn.Module) -> Iterator[None]:
    """Inside of the block these modules answer with zeros, whatever they are asked."""

    def hush(module, args, output):
        if isinstance(output, tuple):  # of an attention: (answer, weights)
            return torch.zeros_like(output[0]), *output[1:]
        return torch.zeros_like(output)

    hooks = [module.register_forward_hook(hush) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
