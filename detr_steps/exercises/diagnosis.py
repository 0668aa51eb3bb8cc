"""Which known mistakes explain what was found: one, two at once, or one of several."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from torch import Tensor

from .mistakes import Mistake
from .observing import CONSTRUCTION, Key, Observations, Raised
from .tasks import Task, Wrong, differ

PARAMETERS = {(CONSTRUCTION, f"parameters {which}") for which in ("missing", "added")}
ENOUGH = 4  # numbers that agree by chance are fewer


@dataclass(frozen=True)
class Diagnosis:
    """What explains a difference.

    Args:
        mistake: the first one to mend.
        more: whether there is another one.
    """

    mistake: Mistake
    more: bool = False


def diagnose(task: Task, found: Observations, shown: Key, pairs: bool) -> Diagnosis | None:
    """The mistake that explains what was found.

    Args:
        task: what was to be written.
        found: what its probes show of an attempt.
        shown: the difference that the learner gets to see; the mistake must explain it.
        pairs: whether two mistakes at once are tried, which takes seconds.
    """
    differences = set(task.differences(found))
    by_sign = mistake_by_sign(task, differences & set(found), shown)
    if by_sign:
        return Diagnosis(by_sign)
    counts = [count_explained(wrong, found, differences, shown) for wrong in task.wrong]
    most = max(counts, default=0)
    if most:
        return Diagnosis(task.wrong[counts.index(most)].mistake)
    for wrong in task.wrong:
        if explains_shown(wrong, found, shown):
            return Diagnosis(wrong.mistake, more=True)
    if pairs and isinstance(found.get(shown), Tensor):
        return next((Diagnosis(one, more=True) for one in two_mistakes(task, found, shown)), None)
    return None


def mistake_by_sign(task: Task, differences: set[Key], shown: Key) -> Mistake | None:
    """The first mistake whose sign differs, where that is what is shown or it counts always."""
    paths = {path for _, path in differences}
    for mistake in task.mistakes:
        path = f"[{mistake.sign!r}]"
        if path in paths and (shown[1] == path or mistake.always):
            return mistake
    return None


def count_explained(wrong: Wrong, found: Observations, differences: set[Key], shown: Key) -> int:
    """How many differences a mistake explains; 0 if it cannot be the one that was made.

    It must lead to the same observations wherever it changes any, border cases left out, and
    change what is shown. An attempt that raises an error elsewhere as well is not explained.
    Where parameters are missing or added, those alone decide, because the numbers are random.
    """
    task, changed, border = wrong.task, set(), set()
    parameters = PARAMETERS & set(wrong.changes(CONSTRUCTION))
    if parameters:
        if any(differ(found, wrong.shows(CONSTRUCTION), key) for key in PARAMETERS):
            return 0
        numbers = range(CONSTRUCTION, len(task.probes))
        changed = {key for number in numbers for key in wrong.changes(number)}
        return sum(not differ(found, wrong.shows(key[0]), key) for key in changed)
    if shown not in wrong.changes(shown[0]):
        return 0
    numbers = sorted(range(CONSTRUCTION, len(task.probes)), key=lambda one: one != shown[0])
    for number in numbers:
        for key in wrong.changes(number):
            if task.is_border(key):
                border.add(key)
            elif differ(found, wrong.shows(number), key):
                return 0
            else:
                changed.add(key)
    if any(isinstance(found.get(key), Raised) for key in differences - changed - border):
        return 0
    explained = {key for key in border if not differ(found, wrong.shows(key[0]), key)}
    return len(changed) + len(explained) if changed or explained == border else 0


def explains_shown(wrong: Wrong, found: Observations, shown: Key) -> bool:
    """Whether a mistake explains the numbers that are shown; of whole ones all of the probe's."""
    leaf = found.get(shown)
    if shown[0] == CONSTRUCTION or not isinstance(leaf, Tensor) or leaf.numel() < ENOUGH:
        return False
    if shown not in wrong.changes(shown[0]):
        return False
    made, keys = wrong.shows(shown[0]), {shown}
    if not leaf.is_floating_point():
        keys = {key for key in {*made, *found} if key[0] == shown[0]}
    return not any(differ(found, made, key) for key in keys)


def two_mistakes(task: Task, found: Observations, shown: Key) -> Iterator[Mistake]:
    """The first ones of pairs of mistakes that explain all that was found."""
    near = sorted(task.wrong, key=lambda wrong: distance(wrong, found, shown))[: task.paired]
    for one, other in combinations(near, 2):
        a, b = one.mistake, other.mistake
        both = Mistake(a.name, a.hint, a.stronger, a.edits + b.edits)
        if agrees(Wrong(task, both), found):
            yield a


def distance(wrong: Wrong, found: Observations, shown: Key) -> float:
    """How far what is shown is from what the mistake leads to."""
    left, right = found.get(shown), wrong.shows(shown[0]).get(shown)
    if not isinstance(left, Tensor) or not isinstance(right, Tensor) or left.shape != right.shape:
        return float("inf")
    return float((left.double() - right.double()).abs().mean())


def agrees(wrong: Wrong, found: Observations) -> bool:
    """Whether mistakes lead to all that was found; border cases are left out."""
    for number, probe in enumerate(wrong.task.probes):
        if probe.border or probe.remark:
            continue
        try:
            made = wrong.shows(number) | wrong.shows(CONSTRUCTION)
        except ValueError:  # both change the same place
            return False
        keys = {key for key in {*made, *found} if key[0] == number}
        keys |= {key for key in wrong.task.expected if key[0] == CONSTRUCTION}
        if any(differ(made, found, key) for key in keys):
            return False
    return True
