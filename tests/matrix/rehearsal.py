"""Another executor than nbval: nbclient runs the notebooks. Pictures are compared as well.

`make matrix ONLY=rehearsal` runs it; so does `pytest tests/matrix/rehearsal.py`.
"""

from base64 import b64decode
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
from nbformat import NotebookNode
from pixels import changed

from detr_steps.notebook.runner import execute, read

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").rglob("*.ipynb"))
NOT_STABLE = "nbval-ignore-output"  # the tag of cells whose outputs are progress or widgets
PICTURE = "image/png"
CHANGED = 24  # of 255: a pixel that differs by more is another one
MOST_CHANGED = 1e-4  # the share of such pixels that a picture may have
# the tag of cells that draw what was trained just now: there a rounding, which is another one on
# another processor, has grown until it bends a curve
TRAINED = "draws-training"
REACH, MOST_BENT = 12, 1e-3  # pixels; measured, at most 4e-4 of a picture, and 0.017 without curves


def differences(stored: NotebookNode, executed: NotebookNode) -> Iterator[str]:
    """What two runs of one notebook gave differently, cell by cell."""
    for number, (before, after) in enumerate(zip(stored.cells, executed.cells, strict=True)):
        if before.cell_type == "code" and NOT_STABLE not in before.metadata.get("tags", []):
            first, second = list(parts(before)), list(parts(after))
            kinds = [[kind for kind, _ in one] for one in (first, second)]
            if kinds[0] != kinds[1]:
                yield f"cell {number}: stored {kinds[0]}, found {kinds[1]}"
            trained = TRAINED in before.metadata.get("tags", [])
            reach, most = (REACH, MOST_BENT) if trained else (0, MOST_CHANGED)
            for (kind, old), (_, new) in zip(first, second, strict=False):
                if kind == PICTURE:
                    share = changed_pixels(old, new, reach)
                    if share > most:
                        yield f"cell {number}: {100 * share:.2f} % of a picture's pixels differ"
                elif old != new:
                    yield f"cell {number}: stored {kind} {old!r}, found {new!r}"


def parts(cell: NotebookNode) -> Iterator[tuple[str, str]]:
    """The kind and the content of everything that a cell has printed or drawn."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.name, output.text
        elif output.output_type == "error":
            yield output.ename, output.evalue
        else:
            yield from sorted(output.data.items())


def changed_pixels(old: str, new: str, reach: int) -> float:
    """The share of pixels that differ visibly, see `changed`; 1 for pictures of other sizes."""
    return float(changed(b64decode(old), b64decode(new), CHANGED, reach).mean())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_and_draws_what_is_stored(path):
    executed = read(path)
    stored = deepcopy(executed)
    execute(executed, path.parent, path.stem)
    assert not list(differences(stored, executed))
