"""Which part a parameter plays in a model, found out from what it does.

Two models are given the same values wherever their blocks have the same shape. If the models
compute the same, they agree now, whichever block stands for which, and the gradient of a block
tells its part. Blocks that it does not tell apart share their values in the next round. Where no
round tells blocks apart, as the heads of an attention, one of them is chosen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from .cutting import Block, attention_widths, count_shapes, cut, ways_to_cut, ways_to_pair
from .observing import gradients
from .transfer import Match

Run = Callable[[nn.Module], Mapping[str, Tensor]]
Pairs = list[tuple[int, int]]
Results = dict[str, Tensor]
Tried = tuple[Results, list[Tensor]]
Side = tuple[nn.Module, dict[str, nn.Parameter]]
AGREE = 1e-4  # results of both models, relative to the largest
ALIKE = 1e-7  # gradients of one model, relative to the larger of two
MOST_ROUNDS = 40
CHECKED = (101, 102)  # seeds
TIE = 1e-9  # relative to the largest distance: blocks that are alike keep their order
NOISE = 1e-10  # relative to the largest gradient of all


def match_roles(reference: nn.Module, model: nn.Module, run: Run) -> Match | None:
    """The match with which a model computes what the reference does, or None without any.

    Args:
        reference: the model whose parameters are to be copied.
        model: another one, of which nothing is known but that its backbone is the reference's.
        run: gives the results of a model of double precision that have a gradient, by name.
    """
    fixed, left, right = free_parameters(reference, model)
    seen: dict[int, Results] = {}  # by the way to cut the reference
    for number, theirs, ours in ways_to_pair(reference, left[1], right[1]):
        if number not in seen:
            seen[number] = results_alike(left[0], theirs, theirs, run)
        if agree(seen[number], results_alike(right[0], ours, theirs, run)):
            search = Search((left[0], theirs), (right[0], ours), run)
            pairs = search.pairs()
            matched = [(theirs[i], ours[j]) for i, j in pairs or ()]
            if matched and in_order(matched) and search.holds(pairs):
                return Match([*fixed, *matched], [], [])
    return None


def in_order(pairs: list[tuple[Block, Block]]) -> bool:
    """Whether outputs of one parameter that are outputs of one of the reference's keep their order.

    Otherwise an answer could hand its results on in any order.
    """
    outputs: dict[tuple[str, str], list[tuple]] = {}
    for theirs, ours in sorted(pairs):
        if theirs.order and ours.order and not ours.start:
            outputs.setdefault((theirs.name, ours.name), []).append(ours.output)
        elif theirs.shape == (1,) and theirs.start and ours.start:
            outputs.setdefault((theirs.name, ours.name), []).append(ours.start)
    return all(some == sorted(some) for some in outputs.values())


def free_parameters(reference: nn.Module, model: nn.Module) -> tuple[list, Side, Side]:
    """Copies of double precision with the same backbone.

    Returns:
        The pairs of the backbone's blocks, and for each model a copy and its other parameters.
    """
    reference, model = (deepcopy(one).double() for one in (reference, model))
    left, right = dict(reference.named_parameters()), dict(model.named_parameters())
    known = [name for name in left if name.startswith("backbone.") and name in right]
    fixed = [(block, block) for block in cut({name: left[name] for name in known})]
    Match(fixed, [], []).copy(reference, model)
    for name in known:
        del left[name], right[name]
    return fixed, (reference, left), (model, right)


def first_results(reference: nn.Module, model: nn.Module, run: Run) -> list[Results | None]:
    """What a model gives where all blocks of a shape have the same values.

    Models that are the same but for the parts that their parameters play give the same.

    Args:
        reference, run: as for `match_roles`.
        model: the model.

    Returns:
        The results for each way in which the model can be cut into blocks as small as a head, or
        as an output where there is no attention.
    """
    _, (_, left), (copy, right) = free_parameters(reference, model)
    smallest = len(list(ways_to_cut(reference))) - 1
    smallest += not any(attention_widths(reference))
    return [
        results_alike(copy, ours, theirs, run)
        for number, theirs, ours in ways_to_pair(reference, left, right)
        if number == smallest
    ]


def results_alike(
    model: nn.Module, blocks: list[Block], theirs: list[Block], run: Run
) -> Results | None:
    """The results of a model whose blocks of the same shape have the same values; None if it fails.

    Args:
        model, blocks, run: the model, its blocks, and how it is run.
        theirs: the reference's blocks, which say in which order shapes are counted.
    """
    shapes = list(count_shapes(theirs))
    fill(model, blocks, [shapes.index(block.shape) for block in blocks], 1)
    try:
        return {name: leaf.detach().clone() for name, leaf in run(model).items()}
    except Exception:  # a learner's
        return None


def agree(left: Results | None, right: Results | None) -> bool:
    """Whether two models gave the same results."""
    if left is None or right is None or left.keys() != right.keys():
        return False
    return all(close(left[key], right[key]) for key in left)


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

    def holds(self, pairs: Pairs) -> bool:
        """Whether the models agree where every block has values of its own."""
        kinds = [i for i, _ in sorted(pairs, key=lambda pair: pair[1])]
        tries = (self.try_both(list(range(len(kinds))), kinds, seed) for seed in CHECKED)
        return all(agree(made, also) for (made, _), (also, _) in tries)

    def try_both(self, left: list[int], right: list[int], seed: int) -> Iterator[Tried]:
        """What `try_values` returns for the one model, and for the other."""
        for (model, blocks), kinds in zip(self.sides, (left, right), strict=True):
            yield try_values(model, blocks, kinds, seed, self.run)

    def search(self, left: list[int], right: list[int]) -> Pairs | None:
        """The pairs of blocks of the same kind; of alike ones the first that leads to an end."""
        while True:
            self.rounds += 1
            if self.rounds > MOST_ROUNDS:
                return None
            (made, theirs), (also, ours) = self.try_both(left, right, self.rounds)
            if not agree(made, also):
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
) -> Tried:
    """The results of a model in which each kind of block has values of its own.

    Returns:
        The results by name, and the gradient of each block for a fixed random sum of the results.
    """
    fill(model, blocks, kinds, seed)
    parameters = dict(model.named_parameters())
    results = run(model)
    found = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    found |= gradients(results, parameters)
    results = {name: leaf.detach().clone() for name, leaf in results.items()}
    return results, [block.of(found).reshape(block.shape) for block in blocks]


def fill(model: nn.Module, blocks: list[Block], kinds: list[int], seed: int) -> None:
    """Gives each kind of block values of its own."""
    parameters = dict(model.named_parameters())
    outputs = any(block.order and not block.start for block in blocks)
    with torch.no_grad():
        for block, kind in zip(blocks, kinds, strict=True):
            generator = torch.Generator().manual_seed(1000 * seed + kind)
            values = torch.randn(block.shape, generator=generator)
            block.fill(parameters, scaled(values) if values.dim() > 1 or outputs else 0.5 * values)


def scaled(values: Tensor) -> Tensor:
    """Weights that neither blow up nor shrink what goes through them."""
    return values / (values[0] if values.dim() > 1 else values).numel() ** 0.5


def close(left: Tensor, right: Tensor) -> bool:
    """Whether two results are the same up to rounding."""
    if left.shape != right.shape:
        return False
    left, right = left.detach(), right.detach()
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
        # not the quick way, which is not exact
        far = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        order = (torch.arange(len(a))[:, None] - torch.arange(len(b))).abs()
        far = far + TIE * far.amax() * order / len(a)
        chosen = linear_sum_assignment(far.numpy())
        pairs += [(rows[i], columns[j]) for i, j in zip(*chosen, strict=True)]
    return pairs


def split(gradients: Sequence[Tensor], kinds: list[int]) -> tuple[list[int], list[int]]:
    """Finer kinds: blocks stay together whose gradients are the same.

    Returns:
        The kind of each block, and those kinds of several blocks that have a gradient.
    """
    noise = NOISE * max((float(g.norm()) for g in gradients), default=0.0)
    finer, alike, count = [-1] * len(kinds), [], 0
    for kind in dict.fromkeys(kinds):
        places = [place for place, one in enumerate(kinds) if one == kind]
        rows = torch.stack([gradients[place].flatten() for place in places])
        norms = rows.norm(dim=1)
        while places:
            limits = ALIKE * torch.maximum(norms, norms[0]) + noise
            near = ((rows - rows[0]).norm(dim=1) <= limits).tolist()
            if sum(near) > 1 and norms[0] > noise:
                alike.append(count)
            for place, same in zip(places, near, strict=True):
                finer[place] = count if same else finer[place]
            others = [i for i, same in enumerate(near) if not same]
            places, rows, norms = [places[i] for i in others], rows[others], norms[others]
            count += 1
    return finer, alike
