"""Measures the groups of rows that are asked for, and writes their tables and pictures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from detr_steps.writing import check_folder

from . import report, rows, runtimes
from .levers import levers

HERE = Path(__file__).parent
GROUPS: dict[str, Callable[[int], Iterator[dict]]] = {
    "inference": lambda pairs: map(asdict, rows.inference(pairs)),
    "compiled": lambda pairs: map(asdict, rows.inference(pairs, compiled=True)),
    "loss": lambda pairs: map(asdict, rows.matching_and_loss(5 * pairs)),
    "training": lambda pairs: map(asdict, rows.training(pairs)),
    "memory": lambda pairs: map(asdict, rows.memory()),
    "import": lambda pairs: map(asdict, rows.importing(pairs)),
    "growth": lambda pairs: (growth.as_dict() for growth in rows.growth(pairs)),
    "steps": rows.steps,
    "levers": lambda pairs: map(asdict, levers(pairs)),
    "runtimes": runtimes.runtimes,
    "precision": lambda pairs: runtimes.precision(),
}


def run_benchmarks(out: Path = HERE, pairs: int = 5, only: Sequence[str] | None = None) -> None:
    """Times Step8 beside Hugging Face's DETR: same weights, same inputs, same answers, in turn.

    Args:
        out: folder for results.json and the pictures.
        pairs: rounds of a row: Step8, then the other.
        only: the groups to measure again; None for all.

    Raises:
        ValueError: there is no such group.
        OSError: the folder cannot be written.
    """
    for name in only or GROUPS:
        if name not in GROUPS:
            raise ValueError(f"only: expected one of {', '.join(GROUPS)}, found {name}")
    check_folder(out)
    console = Console()
    for name in only or GROUPS:
        found = []
        for one in GROUPS[name](pairs):
            found.append(one)
            what = one.get("name", one.get("step"))
            console.print(name, what, one.get("ratio", one.get("loss", "")), highlight=False)
        report.store(out, name, found)
    results = report.read(out)
    if set(results["groups"]) == set(GROUPS):
        report.draw(out, results)
        parts = report.parts(results)
        if out == HERE:
            report.fill(HERE / "README.md", parts)
        for part in parts.values():
            console.print(Markdown(part))
