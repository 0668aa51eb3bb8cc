"""Parameters as blocks: three projections in one matrix are three, or one for every head or output.

Two models may cut, stack and transpose their parameters in different ways. They can be compared
block by block once both are cut in such a way that the blocks of one are those of the other.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import combinations, islice, product
from typing import NamedTuple

import torch
from torch import Tensor, nn

Parameters = Mapping[str, Tensor]
Way = tuple[int, list["Block"], list["Block"]]
Orientation = tuple[tuple[int, ...], int]  # the axes, inputs last, and how many are inputs
MOST_CHOICES, MOST_OUTPUTS = 32, 3000
WHOLE, ROWS = 0, -1  # vectors are not cut; those are not that are as long as a row of weights


class Block(NamedTuple):
    """A part of a parameter.

    Args:
        name: of the parameter.
        shape: of the block.
        start: its first row and column, where it is no whole parameter.
        order: of the axes, where an output is a block: those of the inputs come last; (1, 0) also
            where a matrix is transposed before it is cut.
        output: the index along the others.
    """

    name: str
    shape: tuple[int, ...]
    start: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    output: tuple[int, ...] = ()

    def of(self, parameters: Parameters) -> Tensor:
        """The block as a view of its parameter; axes of length 1 are left out."""
        view = parameters[self.name]
        if self.order and not self.start:
            return view.permute(self.order)[self.output]
        view = view.T if self.order else view.squeeze()
        view = view.reshape(1) if view.dim() < len(self.start) else view
        ranges = zip(self.start, self.shape, strict=True)
        return view[tuple(slice(a, a + n) for a, n in ranges)] if self.start else view

    def fill(self, parameters: Parameters, values: Tensor) -> None:
        """Writes values, in any shape, into the parameter."""
        view = self.of(parameters)
        view.copy_(values.reshape(view.shape))


def cut(
    parameters: Parameters, rows: int = 0, columns: int = 0, turned: Collection[str] = ()
) -> list[Block]:
    """All blocks of some parameters.

    Args:
        parameters: by name.
        rows: height of a block, where that divides the rows of a vector or matrix; 0 is any.
        columns: width of a block, where that divides the columns of a matrix; 0 is any.
        turned: names of matrices that are transposed first.
    """
    blocks = []
    for name, parameter in parameters.items():
        order = (1, 0) if name in turned else ()
        shape = tuple((parameter.T if order else parameter.squeeze()).shape)
        if len(shape) not in (1, 2) or 0 in shape:
            blocks.append(Block(name, shape))
            continue
        block = tuple(
            side if side and length % side == 0 else length
            for length, side in zip(shape, (rows, columns), strict=False)
        )
        starts = torch.cartesian_prod(
            *(torch.arange(0, n, part) for n, part in zip(shape, block, strict=True))
        )
        blocks += [
            Block(name, block, tuple(s), order) for s in starts.view(-1, len(shape)).tolist()
        ]
    return blocks


def ways_to_cut(reference: nn.Module) -> Iterator[dict[str, int]]:
    """From whole parameters to ever smaller blocks: as wide as the model, and as a head."""
    yield {}
    for width, head in sorted(set(attention_widths(reference))):
        yield {"rows": width}
        yield {"rows": head}
        yield {"rows": head, "columns": head}


def attention_widths(model: nn.Module) -> Iterator[tuple[int, int]]:
    """The channels of each attention, and of one of its heads."""
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            yield module.embed_dim, module.head_dim


def ways_to_pair(reference: nn.Module, left: Parameters, right: Parameters) -> Iterator[Way]:
    """Blocks of a reference's parameters and of another model's, as many of each shape.

    Args:
        reference: the model of the first parameters.
        left, right: parameters by name.

    Yields:
        The number of the way in which the reference is cut, and the blocks of both.
    """
    same = {name for name in right if name in left and right[name].shape == left[name].shape}
    matrices = [name for name, p in right.items() if name not in same and p.dim() == 2]
    number, found = 0, False
    for sizes in ways_to_cut(reference):
        theirs = cut(left, **sizes)
        for turned in ((), matrices) if matrices else ((),):
            ours = cut(right, **sizes, turned=turned)
            if count_shapes(theirs) == count_shapes(ours):
                found = True
                yield number, theirs, ours
        number += 1
    widths = [width for width, _ in attention_widths(reference)][:1]
    if found and widths:
        return  # to cut on would take long, and help few
    sizes = [sum(p.numel() for p in side.values()) for side in (left, right)]
    if sizes[0] != sizes[1] or sum(len(p) for p in left.values() if p.dim()) > MOST_OUTPUTS:
        return
    lengths = {math.prod(p.shape[1:]) for p in left.values() if p.dim() > 1}
    # single numbers that are equal would make all channels equal, and a layer norm 0
    for width in (*widths, WHOLE) if widths else (WHOLE, ROWS, 1):
        theirs = cut_outputs(left, [normal(p.shape) for p in left.values()], lengths, width)
        for choice in orientations(right, lengths, same):
            ours = cut_outputs(right, choice, lengths, width)
            if count_shapes(theirs) == count_shapes(ours):
                yield number, theirs, ours
        number += 1


def normal(shape: tuple[int, ...]) -> Orientation:
    """How PyTorch's layers lie: the first axis is the outputs'; vectors have no outputs."""
    return tuple(range(len(shape))), max(len(shape) - 1, 0)


def orientations(
    parameters: Parameters, lengths: Collection[int], same: Collection[str]
) -> Iterator[list[Orientation]]:
    """Choices of which axes are inputs, one for each parameter.

    Args:
        parameters: by name.
        lengths: numbers of inputs.
        same: names of those that lie as the reference's; others of the same shape lie alike.
    """
    shapes = list(dict.fromkeys(tuple(p.shape) for n, p in parameters.items() if n not in same))
    known = [list(possible(shape, lengths)) for shape in shapes]
    if math.prod(len(some) for some in known) > MOST_CHOICES:
        known = [some[:2] for some in known]
    for choice in islice(product(*known), MOST_CHOICES):
        chosen = dict(zip(shapes, choice, strict=True))
        yield [
            normal(p.shape) if name in same else chosen[tuple(p.shape)]
            for name, p in parameters.items()
        ]


def possible(shape: tuple[int, ...], lengths: Collection[int]) -> Iterator[Orientation]:
    """The ways to part axes into outputs and inputs with as many inputs as some layer has.

    PyTorch's own comes first. A kernel [k, k, in, out] has its inputs in the order in, k, k.
    """
    if len(shape) < 2:
        yield normal(shape)
        return
    axes = range(len(shape))
    some = [inputs for n in axes for inputs in combinations(axes, n + 1)]
    some.sort(key=lambda inputs: inputs != tuple(axes[-len(inputs) :]))
    kernels = [(2, 0, 1)] if len(shape) == 4 and shape[0] == shape[1] else []
    found = 0
    for inputs in (*kernels, *some):
        if math.prod(shape[axis] for axis in inputs) in lengths:
            found += 1
            yield (*(axis for axis in axes if axis not in inputs), *inputs), len(inputs)
    if not found:
        yield normal(shape)


def cut_outputs(
    parameters: Parameters, choice: list[Orientation], lengths: Collection[int], width: int
) -> list[Block]:
    """Blocks of a single output each.

    Args:
        parameters: by name.
        choice: which axes are inputs, for each parameter.
        lengths: numbers of inputs.
        width: of the blocks of a vector, as of a bias; or one of the above.
    """
    blocks = []
    for (name, parameter), (order, inputs) in zip(parameters.items(), choice, strict=True):
        if parameter.dim() < 2:
            part = vector_part(parameter.numel(), lengths, width)
            starts = range(0, parameter.numel(), part)
            blocks += [Block(name, (part,), (start,)) for start in starts]
            continue
        sizes = [parameter.shape[axis] for axis in order]
        outputs, length = sizes[: len(order) - inputs], math.prod(sizes[len(order) - inputs :])
        if length not in lengths and parameter.numel() == width:
            outputs, length = (), width  # a vector in several axes
        elif length not in lengths and vector_part(length, lengths, width) == 1:
            outputs, length = sizes, 1  # vectors that are stacked
        for output in product(*map(range, outputs)):
            blocks.append(Block(name, (length,), (), order, output))
    return blocks


def vector_part(length: int, lengths: Collection[int], width: int) -> int:
    """How long the blocks of a vector are; see `cut_outputs`."""
    if width == WHOLE or (width == ROWS and length in lengths):
        return max(length, 1)
    width = max(width, 1)
    return width if length % width == 0 else max(length, 1)


def count_shapes(blocks: list[Block]) -> Counter:
    """How many blocks there are of each shape."""
    return Counter(block.shape for block in blocks)
