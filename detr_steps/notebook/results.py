"""What the ablations measured, read from the package: as a summary, a table and a picture.

`python -m detr_steps ablations` measures it.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from matplotlib.figure import Figure
from scipy.stats import ttest_rel

from .drawing import BLUE, SKY, VERMILLION, panels

ABLATIONS = Path(__file__).with_name("ablations.csv")


def read_ablations(file: Path = ABLATIONS) -> list[dict[str, str]]:
    """The rows of all runs so far."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@dataclass(frozen=True)
class Summary:
    """The runs of one variant, and how far they are from those of DETR.

    Args:
        values: the metric of each run, by seed.
        difference: the mean of variant minus DETR.
        low, high: 99% confidence interval of the difference, by a paired t-test: the runs of one
            seed share data and starting weights. 99%, because several variants are compared.
    """

    values: list[float]
    difference: float
    low: float
    high: float

    @property
    def shows(self) -> bool:
        """Whether the difference is outside of the noise: its interval leaves out 0."""
        return not self.low <= 0 <= self.high


def summarize(rows: Sequence[Mapping[str, str]], metric: str = "map") -> dict[str, Summary]:
    """A metric of all runs, by variant, in the order of the rows."""
    variants = dict.fromkeys(row["variant"] for row in rows)
    rows = sorted(rows, key=lambda row: int(row["seed"]))
    values = {
        variant: [float(row[metric]) for row in rows if row["variant"] == variant]
        for variant in variants
    }
    base = values["DETR"]
    summaries = {"DETR": Summary(base, 0.0, 0.0, 0.0)}
    for variant, those in values.items():
        if variant != "DETR":
            interval = ttest_rel(those, base).confidence_interval(0.99)
            summaries[variant] = Summary(those, mean(those) - mean(base), *interval)
    return summaries


def ablation_table(summaries: Mapping[str, Summary], metric: str = "AP") -> str:
    """A Markdown table of all variants."""
    lines = [
        f"| variant | {metric}, mean | standard deviation | against DETR | 99% interval | |",
        "|---|--:|--:|--:|:-:|---|",
    ]
    for name, one in summaries.items():
        start = f"| {name} | {mean(one.values):.1f} | {stdev(one.values):.1f} |"
        if name == "DETR":
            lines.append(f"{start} | | |")
        else:
            word = "shows" if one.shows else "within the noise"
            interval = f"{one.low:+.1f} to {one.high:+.1f}"
            lines.append(f"{start} {one.difference:+.1f} | {interval} | {word} |")
    return "\n".join(lines)


def draw_ablations(summaries: Mapping[str, Summary]) -> Figure:
    """Every run as a dot, the mean of each variant as a bar, DETR's range as a band."""
    figure, (axis,) = panels(1, width=8, height=3.2)
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
