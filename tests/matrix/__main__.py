"""Runs the rows of the matrix and prints their table, see `python -m tests.matrix --help`."""

import argparse
import json
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from .environments import HOME, ROOT, Unavailable, make_root
from .rows import ROWS, Row

README = ROOT / "README.md"
MARKERS = ("<!-- matrix -->\n", "<!-- end of the matrix -->")
NOT_RUN = "not run: "


def commit() -> str:
    """What the results belong to: a commit, with a + where files differ from it."""
    git = ["git", "-C", str(ROOT)]
    name = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True)
    changed = [*git, "status", "--porcelain", "--", ".", ":!README.md"]
    return name.stdout.strip() + "+" * bool(subprocess.run(changed, capture_output=True).stdout)


def counted(junit: Path) -> dict[str, int]:
    """How many unit tests and how many cells of notebooks passed, failed and were skipped."""
    counts = {
        f"{kind} {end}": 0 for kind in ("tests", "cells") for end in ("passed", "failed", "skipped")
    }
    for case in ElementTree.parse(junit).iter("testcase"):
        ends = {child.tag for child in case}
        end = (
            "failed"
            if ends & {"failure", "error"}
            else "skipped"
            if "skipped" in ends
            else "passed"
        )
        kind = "cells" if ".ipynb" in case.get("classname", "") + case.get("name", "") else "tests"
        counts[f"{kind} {end}"] += 1
    return counts


def run_row(row: Row, tests: list[str] | None = None) -> dict:
    """The result of a row: its counts, or the reason why this machine cannot run it."""
    folder = HOME / "results"
    folder.mkdir(parents=True, exist_ok=True)
    junit, log = folder / f"{row.name}.xml", folder / f"{row.name}.log"
    junit.unlink(missing_ok=True)
    start = time.perf_counter()
    try:
        command = row.command(junit, tests)
    except Unavailable as reason:
        return {"result": f"{NOT_RUN}{reason}"}
    with log.open("w", encoding="utf-8") as lines:
        done = subprocess.run(command, cwd=ROOT, env=row.surroundings(), stdout=lines, stderr=lines)
    result = {"result": "passed" if done.returncode == 0 else f"failed, see {log}"}
    if junit.exists():
        result |= counted(junit)
    return result | {"minutes": round((time.perf_counter() - start) / 60, 1)}


def table(results: dict[str, dict]) -> str:
    """The rows that have a result, as a table of Markdown."""
    lines = [
        "| | differs | which tests | unit tests | cells | result |",
        "|---|---|---|--:|--:|---|",
    ]
    for row in ROWS:
        one = results.get(row.name)
        if one:
            counts = [counts_of(one, kind) for kind in ("tests", "cells")]
            lines.append(
                f"| `{row.name}` | {row.differs} | {row.selection} | {counts[0]} | {counts[1]} "
                f"| {one['result'].split(', see')[0]} |"
            )
    return "\n".join(lines) + "\n"


def counts_of(result: dict, kind: str) -> str:
    """Counts as "12 passed, 1 failed"; those that are 0 are left out."""
    ends = [(result.get(f"{kind} {end}", 0), end) for end in ("passed", "failed", "skipped")]
    return ", ".join(f"{count} {end}" for count, end in ends if count)


def save(text: str) -> None:
    """Writes the table into the README, between its two markers."""
    readme = README.read_text(encoding="utf-8")
    start, end = MARKERS
    if readme.count(start) != 1 or readme.count(end) != 1:
        raise ValueError(f"README.md: expected one {start.strip()} and one {end}")
    pattern = f"{re.escape(start)}.*?{re.escape(end)}"
    README.write_text(re.sub(pattern, lambda _: start + text + end, readme, flags=re.S), "utf-8")


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("rows", nargs="*", help=f"those to run, else all: {', '.join(names)}")
    parser.add_argument("--again", action="store_true", help="run finished rows again")
    parser.add_argument("--save", action="store_true", help="write the table into README.md")
    parser.add_argument("--root", metavar="SUITE", help="only make a Debian root, as sid or trixie")
    parser.add_argument("--tests", nargs="+", help="files in place of a row's own; nothing is kept")
    found = parser.parse_args(words)
    unknown = set(found.rows) - set(names)
    if unknown:
        parser.error(f"unknown rows {', '.join(sorted(unknown))}: expected {', '.join(names)}")
    return found


def main() -> int:
    """Runs what the command line asks for; 1 if a row failed."""
    asked = arguments()
    if asked.root:
        make_root(asked.root)
        return 0
    path = HOME / f"{commit()}.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for row in ROWS:
        wanted = not asked.rows or row.name in asked.rows
        if wanted and (asked.again or asked.tests or row.name not in results):
            print(f"{row.name}: {row.differs}", flush=True)
            results[row.name] = run_row(row, asked.tests)
            print(f"    {json.dumps(results[row.name])}", flush=True)
            if not asked.tests:
                path.write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = f"Commit {commit()}:\n\n{table(results)}"
    print(text)
    (HOME / "matrix.md").write_text(text, encoding="utf-8")
    if asked.save:
        save(text)
    return int(any(one["result"].startswith("failed") for one in results.values()))


if __name__ == "__main__":
    sys.exit(main())
