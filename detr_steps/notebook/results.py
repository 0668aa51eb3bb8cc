"""What the ablations measured, read from the package: as a summary, a table and a picture.

`python -m detr_steps ablations` measures it.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from statistics import mean

from matplotlib.figure import Figure

from ..reading import read_text
from .drawing import BLUE, SKY, VERMILLION, panels

ABLATIONS = Path(__file__).with_name("ablations.csv")
LONG = Path(__file__).with_name("ablations_long.csv")  # self-attention alone, 9,500 steps
MEASURES = {
    "map": "AP",
    "map_50": "AP50",
    "map_75": "AP75",
    "map_large": "AP of large objects",
    "duplicates": "duplicates an image",
    "map_nms": "AP after NMS",
    "map_50_nms": "AP50 after NMS",
}
COLUMNS = ("variant", "seed", "steps", *MEASURES)
CONFIDENCE = 0.95


def read_ablations(file: Path = ABLATIONS) -> list[dict[str, str]]:
    """The rows of all runs so far.

    Raises:
        OSError, ValueError: the file is no such table; it is named.
    """
    if not file.exists():
        return []
    try:
        rows = list(csv.DictReader(StringIO(read_text(file), newline="")))
    except csv.Error as error:
        raise ValueError(f"{file}: expected a table: {error}") from error
    for number, row in enumerate(rows, 1):
        numbers = [row[name] for name in COLUMNS[1:] if name in row]
        if None in row or not all(map(is_number, numbers)) or not row.get("seed", "0").isdecimal():
            expected = "a number or nothing in each column but the first"
            raise ValueError(f"{file}: row {number}: expected {expected}, found {row!s:.200}")
    return rows


def is_number(text: str | None) -> bool:
    """Whether a cell holds a number, or nothing because it was not measured."""
    try:
        return text == "" or math.isfinite(float(text))
    except (TypeError, ValueError):
        return False


@dataclass(frozen=True)
class Summary:
    """The runs of one variant, and how far they are from those of DETR.

    Args:
        values: the measure of each run, by seed.
        difference: the mean of variant minus DETR.
        low, high: 95% confidence interval of the difference, by a paired t-test: the runs of one
            seed share data and starting weights.
    """

    values: list[float]
    difference: float
    low: float
    high: float

    @property
    def shows(self) -> bool:
        """Whether the difference is outside of the noise: its interval leaves out 0."""
        return self.low > 0 or self.high < 0


def by_variant(
    rows: Sequence[Mapping[str, str]], measure: str = "map"
) -> dict[str, dict[str, float]]:
    """A measure of all runs: variant -> seed -> value, DETR first."""
    values: dict[str, dict[str, float]] = {"DETR": {}}
    values |= {row["variant"]: {} for row in rows}
    for row in sorted(rows, key=lambda row: int(row["seed"])):
        values[row["variant"]][row["seed"]] = float(row[measure])
    return values


def difference(rows: Sequence[Mapping[str, str]], variant: str, measure: str = "map") -> float:
    """The mean of a variant minus that of DETR, over the variant's seeds."""
    values = by_variant(rows, measure)
    return mean_difference(values[variant], values["DETR"])


def mean_difference(runs: Mapping[str, float], base: Mapping[str, float]) -> float:
    """The mean over the seeds of runs of run minus base."""
    return mean(value - base[seed] for seed, value in runs.items())


def summarize(rows: Sequence[Mapping[str, str]], measure: str = "map") -> dict[str, Summary]:
    """A measure of all runs, by variant, in the order of the rows.

    Args:
        rows: see `read_ablations`; DETR has every seed that another variant has.
        measure: one of `MEASURES`.
    """
    from scipy.stats import ttest_rel  # takes half a second, which most pages spare

    values = by_variant(rows, measure)
    base = values.pop("DETR")
    summaries = {"DETR": Summary(list(base.values()), 0.0, 0.0, 0.0)}
    for variant, runs in values.items():
        those, whole = zip(*((value, base[seed]) for seed, value in runs.items()), strict=True)
        interval = ttest_rel(those, whole).confidence_interval(CONFIDENCE)
        summaries[variant] = Summary(list(those), mean_difference(runs, base), *interval)
    return summaries


def ablation_table(summaries: Mapping[str, Summary], measure: str = "AP", digits: int = 1) -> str:
    """A Markdown table of all variants, with so many digits after the point."""
    lines = [
        f"| variant | {measure} | against DETR | 95% interval | |",
        "|---|--:|--:|:-:|---|",
    ]
    for name, one in summaries.items():
        start = f"| {name} | {mean(one.values):.{digits}f} |"
        if name == "DETR":
            lines.append(f"{start} | | |")
        else:
            word = "shows" if one.shows else "within the noise"
            interval = f"{one.low:+.{digits}f} to {one.high:+.{digits}f}"
            lines.append(f"{start} {one.difference:+.{digits}f} | {interval} | {word} |")
    return "\n".join(lines)


def measure_table(rows: Sequence[Mapping[str, str]], measure: str) -> str:
    """The table of one of `MEASURES`."""
    digits = 2 if measure == "duplicates" else 1
    return ablation_table(summarize(rows, measure), MEASURES[measure], digits)


def report(rows: Sequence[Mapping[str, str]]) -> str:
    """The tables of all measures that every run has, one below the other."""
    measured = (measure for measure in MEASURES if all(row[measure] for row in rows))
    return "\n\n".join(measure_table(rows, measure) for measure in measured)


def draw_ablations(summaries: Mapping[str, Summary]) -> Figure:
    """Every run as a dot, the mean of each variant as a bar, DETR's range as a band."""
    figure, (axis,) = panels(1, width=8, height=0.36 * len(summaries) + 0.7)
    names = list(summaries)
    base = summaries["DETR"].values
    axis.axvspan(min(base), max(base), color=SKY, alpha=0.3, label="range of DETR's runs")
    for row, one in enumerate(summaries.values()):
        axis.plot(one.values, [row] * len(one.values), "o", color=BLUE, alpha=0.7)
        axis.plot([mean(one.values)] * 2, [row - 0.3, row + 0.3], color=VERMILLION, linewidth=2.5)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set_xlabel("AP on 500 scenes, a dot for each seed")
    axis.legend(loc="upper left")
    return figure
