"""Which part a parameter plays in a model, found out from what it does.

Two models are given the same values wherever their blocks have the same shape. If the models
compute the same, they agree now, whichever block stands for which, and the gradient of a block
tells its part. Blocks that it does not tell apart share their values in the next round. Where no
round tells blocks apart, as the heads of an attention, one of them is chosen.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from .observing import gradients
from .transfer import Block, Match, count_shapes, cut, ways_to_cut

Run = Callable[[nn.Module], Mapping[str, Tensor]]
Pairs = list[tuple[int, int]]
AGREE = 1e-4  # results of both models, relative to the largest
ALIKE = 1e-7  # gradients of one model, relative to the larger of two
NOISE = 1e-10  # relative to the largest gradient of all


def match_roles(reference: nn.Module, model: nn.Module, run: Run) -> Match | None:
    """The match with which a model computes what the reference does, or None without any.

    Args:
        reference: the model whose parameters are to be copied.
        model: another one, of which nothing is known but that its backbone is the reference's.
        run: gives the results of a model of double precision that have a gradient, by name.
    """
    reference, model = (deepcopy(one).double() for one in (reference, model))
    left, right = dict(reference.named_parameters()), dict(model.named_parameters())
    known = [name for name in left if name.startswith("backbone.") and name in right]
    fixed = [(block, block) for block in cut({name: left[name] for name in known})]
    Match(fixed, [], []).copy(reference, model)
    for name in known:
        del left[name], right[name]
    for sizes in ways_to_cut(reference):
        theirs, ours = cut(left, **sizes), cut(right, **sizes)
        if count_shapes(theirs) == count_shapes(ours):
            pairs = Search((reference, theirs), (model, ours), run).pairs()
            if pairs is not None:
                return Match([*fixed, *((theirs[i], ours[j]) for i, j in pairs)], [], [])
    return None


class Search:
    """Which blocks of two models have the same gradients, whatever the values are.

    Args:
        left, right: a model and its blocks.
        run: see `match_roles`.
    """

    def __init__(
        self, left: tuple[nn.Module, list[Block]], right: tuple[nn.Module, list[Block]], run: Run
    ):
        self.sides, self.run, self.rounds = (left, right), run, 0

    def pairs(self) -> Pairs | None:
        """The pairs of blocks, or None if the models do not agree."""
        shapes = list(count_shapes(self.sides[0][1]))
        return self.search(*([shapes.index(b.shape) for b in blocks] for _, blocks in self.sides))

    def search(self, left: list[int], right: list[int]) -> Pairs | None:
        """The pairs of blocks of the same kind; of alike ones the first that leads to an end."""
        while True:
            self.rounds += 1
            (made, theirs), (also, ours) = (
                try_values(model, blocks, kinds, self.rounds, self.run)
                for (model, blocks), kinds in zip(self.sides, (left, right), strict=True)
            )
            if made.keys() != also.keys() or not all(close(made[key], also[key]) for key in made):
                return None
            pairs = pair_kinds(theirs, ours, left, right)
            finer, alike = split(theirs, left)
            kinds = {j: finer[i] for i, j in pairs}
            settled = max(finer) == max(left)
            left, right = finer, [kinds[j] for j in range(len(ours))]
            if settled:
                break
        if not alike:
            return pairs
        chosen = left.index(alike[0])
        for candidate in (j for j, kind in enumerate(right) if kind == alike[0]):
            apart = max(left) + 1
            found = self.search(changed(left, chosen, apart), changed(right, candidate, apart))
            if found is not None:
                return found
        return None


def changed(kinds: list[int], index: int, kind: int) -> list[int]:
    """A copy of the kinds with another one in a place."""
    return [*kinds[:index], kind, *kinds[index + 1 :]]


def try_values(
    model: nn.Module, blocks: list[Block], kinds: list[int], seed: int, run: Run
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The results of a model in which each kind of block has values of its own.

    Returns:
        The results by name, and the gradient of each block for a fixed random sum of the results.
    """
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for block, kind in zip(blocks, kinds, strict=True):
            generator = torch.Generator().manual_seed(1000 * seed + kind)
            values = torch.randn(block.shape, generator=generator)
            block.of(parameters).copy_(0.5 * values if len(block.shape) < 2 else scaled(values))
    results = run(model)
    found = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    found |= gradients(results, parameters)
    results = {name: leaf.detach().clone() for name, leaf in results.items()}
    return results, [block.of(found) for block in blocks]


def scaled(values: Tensor) -> Tensor:
    """Weights that neither blow up nor shrink what goes through them."""
    return values / values[0].numel() ** 0.5


def close(left: Tensor, right: Tensor) -> bool:
    """Whether two results are the same up to rounding."""
    if left.shape != right.shape:
        return False
    scale = left.abs().amax() if left.numel() else 0
    return bool(torch.allclose(left, right, rtol=0, atol=float(AGREE * scale) + 1e-7))


def pair_kinds(
    theirs: Sequence[Tensor], ours: Sequence[Tensor], left: list[int], right: list[int]
) -> Pairs:
    """Pairs of blocks of the same kind, those with the closest gradients."""
    pairs = []
    for kind in dict.fromkeys(left):
        rows = [i for i, one in enumerate(left) if one == kind]
        columns = [j for j, one in enumerate(right) if one == kind]
        a, b = (
            torch.stack([g.flatten() for g in part])
            for part in ([theirs[i] for i in rows], [ours[j] for j in columns])
        )
        chosen = linear_sum_assignment(torch.cdist(a.double(), b.double()).numpy())
        pairs += [(rows[i], columns[j]) for i, j in zip(*chosen, strict=True)]
    return pairs


def split(gradients: Sequence[Tensor], kinds: list[int]) -> tuple[list[int], list[int]]:
    """Finer kinds: blocks stay together whose gradients are the same.

    Returns:
        The kind of each block, and those kinds of several blocks that have a gradient.
    """
    noise = NOISE * max((float(g.norm()) for g in gradients), default=0.0)
    finer, examples = [], []  # examples: the kind that it was, and a gradient
    for gradient, kind in zip(gradients, kinds, strict=True):
        for number, (old, example) in enumerate(examples):
            if old == kind:
                limit = ALIKE * max(gradient.norm(), example.norm()) + noise
                if (gradient - example).norm() <= limit:
                    finer.append(number)
                    break
        else:
            finer.append(len(examples))
            examples.append((kind, gradient))
    counts = Counter(finer)
    alike = [k for k, (_, g) in enumerate(examples) if counts[k] > 1 and g.norm() > noise]
    return finer, alike
