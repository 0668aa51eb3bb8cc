"""What every notebook shows of its step: the map, the source, what changed, what it costs."""

import ast
import difflib
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from textwrap import dedent

import matplotlib.pyplot as plt
import torch
from IPython.display import HTML, Markdown, display
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import detr_steps

from .differences import to_html
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
NAMES = [idea.replace("\n", " ") for idea in IDEAS]


def show_map(step: int) -> None:
    """Draws the nine steps with this one lit."""
    figure, axes = plt.subplots(figsize=(11, 1.15), layout="constrained")
    draw_chain(axes, IDEAS, step)
    chain = ", ".join(f"{i} {name}" for i, name in enumerate(NAMES))
    show(figure, f"The nine steps: {chain}. You are at step {step}, {NAMES[step]}.", caption=False)


MODULES = {step.__module__ for step in STEPS}


def show_source(*objects: Callable) -> None:
    """Shows the source of classes or functions as it stands in the package and runs here.

    Below it follows what those classes change that inherit from another one of the package. Both
    are folded: whoever wants to write the code first does not see it.
    """
    code = "\n\n".join(dedent(inspect.getsource(thing)).rstrip() for thing in objects)
    file = inspect.getsourcefile(objects[0]).replace("\\", "/").rpartition("/detr_steps/")[2]
    names = ", ".join(f"<code>{thing.__name__}</code>" for thing in objects)
    title = f"The source of {names}, from <code>detr_steps/{file}</code>"
    display(Markdown(folded(title, f"```python\n{code}\n```")))
    heirs = [thing for thing in objects if getattr(thing, "__base__", object).__module__ in MODULES]
    if heirs:
        show_difference(*heirs)


def folded(title: str, content: str) -> str:
    """Markdown below a title (HTML) that opens and closes it."""
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def changes_table(step: type[nn.Module]) -> str:
    """A table of a step's methods (new, overridden, inherited) and of the parameters it adds."""
    (parent,) = step.__bases__
    rows = [f"| `{step.__name__}({parent.__name__})` | |", "|---|---|"]
    for name, owner, before in methods(step):
        if owner is not step:
            status = f"inherited from `{owner.__name__}`"
        elif before is None:
            status = "**new**"
        else:
            status = f"**overrides** that of `{before.__name__}`"
        rows.append(f"| `{name}` | {status} |")
    for sign, names in changed_parameters(step).items():
        for part, (count, tensors) in names.items():
            of = "1 tensor" if tensors == 1 else f"{tensors} tensors"
            rows.append(f"| parameters of `{part}` | {sign}{count:,} in {of} |")
    return "\n".join(rows)


def methods(step: type) -> Iterator[tuple[str, type, type | None]]:
    """Each (name, class that defines it, class that defined it before) of a step's own methods.

    Hooks that are not functions count as well; what PyTorch brings along does not.
    """
    line = [cls for cls in step.__mro__ if cls.__module__.startswith("detr_steps")]
    names = {
        name: None
        for cls in reversed(line)
        for name in vars(cls)
        if not name.startswith("_") or name == "__init__"
    }
    for name in names:
        owners = [cls for cls in line if name in vars(cls)]
        before = next((cls for cls in step.__mro__[1:] if name in vars(cls)), None)
        yield name, owners[0], before if owners[0] is step else None


def changed_parameters(step: type[nn.Module]) -> dict[str, dict[str, tuple[int, int]]]:
    """What a step adds ("+") and drops ("-"): for each part (numbers, tensors)."""
    with torch.device("meta"):
        after, before = (
            {name: parameter.numel() for name, parameter in cls().named_parameters()}
            for cls in (step, step.__bases__[0])
        )
    changed: dict[str, dict[str, tuple[int, int]]] = {"+": {}, "-": {}}
    for sign, left, right in (("+", after, before), ("-", before, after)):
        for name in left.keys() - right.keys():
            part = name.partition(".")[0]
            count, tensors = changed[sign].get(part, (0, 0))
            changed[sign][part] = count + left[name], tensors + 1
    return {sign: dict(sorted(parts.items())) for sign, parts in changed.items()}


def show_difference(*classes: type) -> None:
    """What classes change in the methods and hooks that they inherit, line by line.

    Folded, as the source. A method that calls the one it overrides takes nothing away, so all its
    lines are added ones.
    Added lines begin with + and are green, removed ones with - and are red.
    """
    lines = []
    for cls in classes:
        for name, owner, before in methods(cls):
            if owner is cls:
                lines += difference(name, cls, before)
    names = " and ".join(f"<code>{cls.__name__}</code>" for cls in classes)
    title = f"What {names} changes, line by line"
    display(HTML(f"<details><summary>{title}</summary>{to_html(lines)}</details>"))


def difference(name: str, cls: type, before: type | None) -> list[str]:
    """The lines of a diff between what `cls` calls `name` and what `before`, if any, does."""
    code, own = source_lines(cls, name), f"{cls.__name__}.{name}"
    if before is None or not before.__module__.startswith("detr_steps"):
        return [f"+++ {own}: new, {len(code)} line{'s' if len(code) > 1 else ''}"]
    if f"super().{name}(" in "".join(code):
        return [f"+++ {own} extends {before.__name__}.{name}", *(f"+{line}" for line in code)]
    diff = difflib.unified_diff(source_lines(before, name), code, lineterm="", n=len(code))
    return [f"+++ {own} replaces {before.__name__}.{name}", *list(diff)[3:]]


def source_lines(cls: type, name: str) -> list[str]:
    """The source of a method, without its docstring, or of a hook that is not a function."""
    member = getattr(cls, name)
    if not inspect.isroutine(member):
        return [f"{name} = {getattr(member, '__name__', member)}"]
    code = dedent(inspect.getsource(member)).rstrip()
    lines = code.splitlines()
    function = ast.parse(code).body[0]
    if ast.get_docstring(function):
        first = function.body[0]
        del lines[first.lineno - 1 : first.end_lineno]
    return lines


QUIET = (nn.Dropout, nn.ReLU, nn.Identity)  # they change no shape


def trace_table(step: type[nn.Module], images: Tensor, new: bool = False) -> str:
    """A table of what goes into and out of each module when a step gets `images` [B, 3, H, W].

    With `new` without the rows that the step before has as well.
    """
    rows = trace_rows(step, images)
    if new:
        before = trace_rows(step.__bases__[0], images)
        rows = {key: count for key, count in rows.items() if key not in before}
    if not rows:
        return "None: this step adds no module."
    table = [f"| `{step.__name__}` on {list(images.shape)} | in | out |", "|---|---|---|"]
    for (name, given, result), count in rows.items():
        times = f" x {count}" if count > 1 else ""
        table.append(f"| `{name}`{times} | {given} | {result} |")
    return "\n".join(table)


def trace_rows(step: type[nn.Module], images: Tensor) -> dict[tuple[str, str, str], int]:
    """Name, input and output shapes of each module that a step runs, and how often.

    The step is run with default arguments on the "meta" device, which computes shapes alone. What
    repeats is one row; the inside of the backbone's stages is left out.
    """
    rows: dict[tuple[str, str, str], int] = {}

    def record(name: str, module: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
        given = ", ".join(shape(arg) for arg in (*args, *kwargs.values()) if has_shape(arg))
        key = re.sub(r"\.\d+", ".*", name), given, shape(output)
        rows[key] = rows.get(key, 0) + 1

    model = shapes_of(step)
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            deep = name.startswith("backbone.") and name.count(".") > 1
            if name and not deep and not isinstance(module, QUIET):
                note = partial(record, name)
                hooks.enter_context(module.register_forward_hook(note, with_kwargs=True))
        model(images.detach().to("meta", torch.get_default_dtype()))
    return rows


@cache
def shapes_of(step: type[nn.Module]) -> nn.Module:
    """A step with default arguments on the "meta" device: tensors have shapes but no numbers."""
    with torch.device("meta"):
        return step().eval().requires_grad_(False)


def has_shape(value: object) -> bool:
    """Whether there is a tensor in it."""
    return isinstance(value, (Tensor, list, tuple)) and len(value) > 0


def shape(value: object) -> str:
    """The shape of a tensor, or of those in a list; what holds none is left out."""
    if isinstance(value, Tensor):
        return str(list(value.shape))
    return ", ".join(shape(item) for item in value if has_shape(item))


@cache
def count_cost(step: type[nn.Module]) -> tuple[int, int]:
    """Parameters, and multiply-adds of one 640x640 image, counted by PyTorch's FlopCounterMode."""
    model = shapes_of(step)
    with FlopCounterMode(display=False) as counter:
        model(torch.rand(1, 3, 640, 640, device="meta"))
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


def cost_table(step: int) -> str:
    """A table of what a step costs, beside the step before it, for one 640x640 image.

    With default arguments.
    """
    shown = range(max(0, step - 1), step + 1)
    costs = [count_cost(STEPS[i]) for i in shown]
    rows = ["| | parameters | multiply-adds |", "|---|--:|--:|"]
    for i, (parameters, macs) in zip(shown, costs, strict=True):
        name = f"**{i} {NAMES[i]}**" if i == step else f"{i} {NAMES[i]}"
        rows.append(f"| {name} | {parameters:,} | {macs / 1e9:.2f} G |")
    if step:
        parameters, macs = (new - old for old, new in zip(*costs, strict=True))
        rows.append(f"| added | {parameters:+,} | {macs / 1e9:+.2f} G |")
    return "\n".join(rows)


def show_appendix(number: int, images: Tensor) -> None:
    """Three folded tables: the methods of a step, what is new in its trace, and what it costs.

    Args:
        number: of the step.
        images: what the trace is of, [B, 3, H, W].
    """
    step = STEPS[number]
    tables = {
        "Every method of the step, and where it comes from": changes_table(step),
        "Shapes: the modules that this step adds, what goes in and what comes out": trace_table(
            step, images, new=number > 0
        ),
        "Parameters and multiply-adds for one 640x640 image": cost_table(number),
    }
    for title, table in tables.items():
        display(Markdown(folded(title, table)))


@contextmanager
def shown_error(*errors: type[Exception]) -> Iterator[None]:
    """Prints the error that the block must raise; a block that raises none fails."""
    try:
        yield
    except errors as error:
        print(f"{type(error).__name__}: {error}")
    else:
        raise AssertionError(f"expected {' or '.join(e.__name__ for e in errors)}, got no error")
