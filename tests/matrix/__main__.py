"""Runs the rows of the matrix and prints their table, see `python -m tests.matrix --help`."""

import argparse
import hashlib
import json
import platform
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from .environments import HOME, ROOT, Unavailable, make_root
from .rows import ROWS, Row

README, RESULTS = ROOT / "README.md", Path(__file__).with_name("results.json")
RECORDS = {"README.md", "tests/matrix/results.json"}  # of runs: they change no other run
RECORDS |= {"tests/mutation/results.csv", "tests/mutation/survivors.toml"}
MARKERS = ("<!-- matrix -->\n", "<!-- end of the matrix -->")
NOT_RUN = "not run: "


def git(*words: str) -> str:
    """What git prints."""
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def state() -> str:
    """What results belong to: the project's files, but for those in which runs are recorded."""
    digest = hashlib.sha256()
    for name in git("ls-files", "-z").split("\0"):
        file = ROOT / name
        if file.is_file() and name not in RECORDS:
            digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def known_results(files: str) -> dict[str, dict]:
    """The results of such a `state`, by row; of another none count."""
    if not RESULTS.exists():
        return {}
    known = json.loads(RESULTS.read_text(encoding="utf-8"))
    return known["rows"] if known["state"] == files else {}


def keep(results: dict[str, dict], files: str) -> None:
    """Writes down the results of a `state`; a row that failed has to run again."""
    rows = {name: one for name, one in results.items() if not has_failed(one)}
    text = json.dumps({"state": files, "rows": rows}, indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")


def has_failed(result: dict) -> bool:
    """Whether a row ran and did not pass."""
    return result["result"].startswith("failed")


def processor() -> str:
    """The name of the machine's processor."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    named = re.search(r"^model name\s*: (.+)$", text, re.M)
    return named[1] if named else platform.processor()


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
    start, where = time.perf_counter(), {"processor": processor()}
    try:
        command = row.command(junit, tests)
    except Unavailable as reason:
        return where | {"result": f"{NOT_RUN}{reason}"}
    with log.open("w", encoding="utf-8") as lines:
        done = subprocess.run(command, cwd=ROOT, env=row.surroundings(), stdout=lines, stderr=lines)
    result = where | {"result": "passed" if done.returncode == 0 else f"failed, see {log}"}
    if junit.exists():
        result |= counted(junit)
    return result | {"minutes": round((time.perf_counter() - start) / 60, 1)}


def table(results: dict[str, dict]) -> str:
    """The rows that have a result, as a table of Markdown."""
    lines = [
        "| | differs | which tests | unit tests | cells | result | processor |",
        "|---|---|---|--:|--:|---|---|",
    ]
    for row in ROWS:
        one = results.get(row.name)
        if one:
            counts = [counts_of(one, kind) for kind in ("tests", "cells")]
            lines.append(
                f"| `{row.name}` | {row.differs} | {row.selection} | {counts[0]} | {counts[1]} "
                f"| {one['result'].split(', see')[0]} | {one['processor']} |"
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
    files = state()
    results = known_results(files)
    for row in ROWS:
        wanted = not asked.rows or row.name in asked.rows
        if wanted and (asked.again or asked.tests or row.name not in results):
            print(f"{row.name}: {row.differs}", flush=True)
            results[row.name] = run_row(row, asked.tests)
            print(f"    {json.dumps(results[row.name])}", flush=True)
            if not asked.tests:
                keep(results, files)
    text = table(results)
    print(text)
    if asked.save:
        save(text)
    return int(any(map(has_failed, results.values())))


if __name__ == "__main__":
    sys.exit(main())
