"""What was measured, as tables in Markdown, a JSON file and three pictures."""

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from detr_steps.inference.bfloat16 import has_bfloat16
from detr_steps.notebook.drawing import BLUE, VERMILLION
from detr_steps.writing import write_text

TABLE = ("inference", "compiled", "loss", "training", "memory", "import")


def machine() -> dict:
    """What the numbers depend on beside the code."""
    packages = ("torch", "torchvision", "transformers", "onnxruntime", "openvino")
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": instructions(),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def instructions() -> str:
    """What PyTorch uses of the processor."""
    own = " with bfloat16" if has_bfloat16(torch.device("cpu")) else ""
    return torch.backends.cpu.get_cpu_capability() + own


def quantity(group: str, value: float) -> str:
    """Seconds, or bytes for memory, as a reader would say them."""
    if "memory" in group:
        return f"{value / 2**20:,.0f} MiB"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"


def table(rows: Sequence[dict]) -> str:
    """The rows in Markdown."""
    lines = [
        "| | Step8 | Hugging Face | ratio | over the rounds | goal | of the machine's rate "
        "| in convolutions |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        name, ours = f"{row['group']}, {row['name']}", quantity(row["group"], row["ours"])
        theirs = quantity(row["group"], row["theirs"])
        spread = f"{row['lowest']:.2f} to {row['highest']:.2f}"
        reached, convolutions = (
            "" if row[key] is None else f"{row[key]:.0%}" for key in ("reached", "convolutions")
        )
        lines.append(
            f"| {name} | {ours} | {theirs} | **{row['ratio']:.2f}** | {spread} "
            f"| {goal_and_mark(row)} | {reached} | {convolutions} |"
        )
    return "\n".join(lines)


def goal_and_mark(row: dict) -> str:
    """The goal with a mark that tells whether it is met; nothing where there is none."""
    if row["goal"] is None:
        return ""
    return f"{row['goal']:.2f} {'✓' if row['ratio'] <= row['goal'] else '✗'}"


def lever_table(levers: Sequence[dict]) -> str:
    """What each lever brings, in Markdown."""
    lines = ["| lever | time with it, of the time without | over the rounds |", "|---|--:|--:|"]
    lines += [
        f"| {row['name']} | **{row['ratio']:.2f}** | {row['lowest']:.2f} to {row['highest']:.2f} |"
        for row in levers
    ]
    return "\n".join(lines)


def short_table(rows: Sequence[dict]) -> str:
    """The rows that have a goal, ratios alone."""
    lines = ["| | ratio | goal |", "|---|--:|--:|"]
    lines += [
        f"| {row['group']}, {row['name']} | **{row['ratio']:.2f}** | {goal_and_mark(row)} |"
        for row in rows
        if row["goal"] is not None
    ]
    return "\n".join(lines)


def step_table(steps: Sequence[dict]) -> str:
    """What each step's forward costs, in Markdown."""
    lines = ["| step | parameters | multiply-adds | time, of Step 8's |", "|---|--:|--:|--:|"]
    lines += [
        f"| {step['step']} | {step['parameters']:,} | {step['multiply_adds'] / 1e9:.2f} G "
        f"| {step['time']:.2f} |"
        for step in steps
    ]
    return "\n".join(lines)


def machine_line(results: dict, groups: Sequence[str]) -> str:
    """The machine that groups were measured on, in one sentence; of several, a line each."""
    lines = []
    for group in groups:
        m = dict(results["machines"][group])
        line = f"{m.pop('processor')}, {m.pop('cores')} cores, {m.pop('threads')} threads, "
        line += f"{m.pop('instructions')}; Python {m.pop('python')}, "
        line += ", ".join(f"{package} {number}" for package, number in m.items()) + "."
        lines.append(line)
    return "\n".join(dict.fromkeys(lines))


def runtime_table(rows: Sequence[dict]) -> str:
    """Step8 beside other libraries that run it, in Markdown."""
    lines = [
        "| | time | of Step8 as it is | of the faster other | over the rounds | goal |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['group']}, {row['name']} | {quantity('', row['seconds'])} "
        f"| {row['of_plain']:.2f} | **{row['ratio']:.2f}** "
        f"| {row['lowest']:.2f} to {row['highest']:.2f} | {goal_and_mark(row)} |"
        for row in rows
    ]
    return "\n".join(lines)


def precision_table(rows: Sequence[dict]) -> str:
    """AP by the way a model is run, in Markdown."""
    lines = ["| | AP | lost | goal |", "|---|--:|--:|--:|"]
    lines += [
        f"| {row['group']}, {row['name']} | {row['ap']:.2f} | **{row['loss']:z.2f}** "
        f"| {goal_and_mark({**row, 'ratio': row['loss']})} |"
        for row in rows
    ]
    return "\n".join(lines)


def fill(page: Path, parts: dict[str, str]) -> None:
    """Replaces what stands between `<!-- NAME -->` and `<!-- end of NAME -->` in a page."""
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        if not end:
            raise ValueError(f"{page}: expected <!-- {name} --> and <!-- end of {name} -->")
        text = f"{before}{start}\n{part}\n\n{end}{after}"
    write_text(page, text)


def growth_table(growths: Sequence[dict]) -> str:
    """The exponents in Markdown."""
    lines = ["| time over | Step8 | Hugging Face |", "|---|--:|--:|"]
    lines += [
        f"| {g['name']} | {g['exponents']['ours']:.2f} | {g['exponents']['theirs']:.2f} |"
        for g in growths
    ]
    return "\n".join(lines)


def read(folder: Path) -> dict:
    """What `results.json` holds so far: of each group its rows, and the machine."""
    path = folder / "results.json"
    if not path.exists():
        return {"machines": {}, "groups": {}}
    return json.loads(path.read_text(encoding="utf-8"))


def store(folder: Path, group: str, rows: Sequence[dict]) -> None:
    """Puts the rows of a group, and its machine, into `results.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    results = read(folder)
    results["machines"][group] = machine()
    results["groups"][group] = list(rows)
    text = json.dumps(results, indent=1) + "\n"
    write_text(folder / "results.json", text)


def table_rows(results: dict) -> list[dict]:
    """The rows of all groups that compare Step8 with Hugging Face's DETR."""
    return list(chain(*(results["groups"][group] for group in TABLE)))


def draw(folder: Path, results: dict) -> None:
    """Draws `ratios.png`, `growth.png` and `runtimes.png`."""
    groups = results["groups"]
    draw_ratios(table_rows(results)).savefig(folder / "ratios.png", dpi=110)
    draw_growth(groups["growth"]).savefig(folder / "growth.png", dpi=110)
    draw_runtimes(groups["runtimes"]).savefig(folder / "runtimes.png", dpi=110)
    plt.close("all")


def parts(results: dict) -> dict[str, str]:
    """What the pages show of the results, by name."""
    rows, groups = table_rows(results), results["groups"]
    return {
        "machine": machine_line(results, TABLE),
        "table": table(rows),
        "short table": short_table(rows),
        "growth": growth_table(groups["growth"]),
        "steps": step_table(groups["steps"]),
        "levers": lever_table(groups["levers"]),
        "machine of the levers": machine_line(results, ("levers",)),
        "machine of the runtimes": machine_line(results, ("runtimes", "precision")),
        "runtimes": runtime_table(groups["runtimes"]),
        "precision": precision_table(groups["precision"]),
    }


def draw_ratios(rows: Sequence[dict]) -> plt.Figure:
    """A bar for each row, with the spread of its rounds, and its goal."""
    figure, axis = plt.subplots(figsize=(9, 0.28 * len(rows) + 1), layout="constrained")
    for i, row in enumerate(rows):
        spread = [[row["ratio"] - row["lowest"]], [row["highest"] - row["ratio"]]]
        axis.barh(i, row["ratio"], color=BLUE, xerr=spread, ecolor="black", height=0.7)
        if row["goal"] is not None:
            axis.plot([row["goal"]] * 2, [i - 0.45, i + 0.45], color=VERMILLION, lw=2)
    axis.set_yticks(range(len(rows)), [f"{row['group']}, {row['name']}" for row in rows], size=8)
    axis.invert_yaxis()
    axis.axvline(1, color="black", lw=1)
    axis.set_xlim(0, 1.1)
    axis.set_xlabel("Step8's time or memory over Hugging Face's (lines: goal; 1: the same)")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def draw_runtimes(rows: Sequence[dict]) -> plt.Figure:
    """A bar for each way to run Step8: its time over that of Step8 as it is."""
    figure, axis = plt.subplots(figsize=(9, 0.28 * len(rows) + 1), layout="constrained")
    colors = [BLUE if row["ours"] else VERMILLION for row in rows]
    axis.barh(range(len(rows)), [row["of_plain"] for row in rows], color=colors, height=0.7)
    axis.set_yticks(range(len(rows)), [f"{row['group']}, {row['name']}" for row in rows], size=8)
    axis.invert_yaxis()
    axis.axvline(1, color="black", lw=1)
    axis.set_xlabel("time over that of Step8 as it is (blue: this package, red: other libraries)")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def draw_growth(growths: Sequence[dict]) -> plt.Figure:
    """A panel for each growing size, both axes logarithmic."""
    figure, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained")
    for axis, growth in zip(axes.flat, growths, strict=True):
        contestants = (
            ("ours", "Step8", BLUE, "o-"),
            ("theirs", "Hugging Face", VERMILLION, "s--"),
        )
        for key, name, color, style in contestants:
            label = f"{name}: exponent {growth['exponents'][key]:.2f}"
            axis.loglog(growth["sizes"], growth[key], style, color=color, label=label)
        what, _, over = growth["name"].partition(" over ")
        axis.set_title(what, size=10)
        axis.set_xlabel(over, size=9)
        labels = [f"{n / 1000:.0f}k" if n >= 10000 else f"{n:g}" for n in growth["sizes"]]
        axis.set_xticks(growth["sizes"], labels, size=8)
        axis.minorticks_off()
        axis.set_ylabel("seconds", size=9)
        axis.grid(alpha=0.3, lw=0.5)
        axis.legend(fontsize=8, frameon=False)
    return figure
