"""What came of the mutants, kept in two files beside this one and printed as a table."""

import csv
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from detr_steps.writing import write_text

from .mutants import Definition, Mutant

HERE = Path(__file__).parent
COLUMNS = ("file", "definition", "fingerprint", "mutants", "survived")
ROOMS = {  # the share of mutants that tests are to notice, in percent
    "steps, inputs, inference": 97,
    "training, official": 90,
    "the rest": 85,
}


def room(file: str) -> str:
    """Which of the three parts of the package a file belongs to."""
    _, first, *more = file.split("/")
    if first in ("training", "official.py"):
        return "training, official"
    steps = not more and first.startswith(("step", "inputs", "arguments", "backbone"))
    return "steps, inputs, inference" if steps or first == "inference" else "the rest"


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed, and why none has to; an empty reason leaves that open."""

    file: str
    definition: str
    before: str
    after: str
    reason: str = ""

    @classmethod
    def of(cls, mutant: Mutant) -> "Survivor":
        """A mutant that has just survived."""
        definition = mutant.definition
        return cls(definition.file, definition.name, mutant.before, mutant.after)

    def is_mutant(self, mutant: Mutant) -> bool:
        """Whether it is this mutant."""
        return replace(self, reason="") == Survivor.of(mutant)


class Results:
    """The two files, which are written after every definition."""

    def __init__(self, folder: Path = HERE):
        self.table, self.list = folder / "results.csv", folder / "survivors.toml"
        self.rows: dict[tuple[str, str], dict[str, str]] = {}
        self.survivors: list[Survivor] = []
        if self.table.exists():
            with self.table.open(encoding="utf-8", newline="") as file:
                self.rows = {(row["file"], row["definition"]): row for row in csv.DictReader(file)}
        if self.list.exists():
            listed = tomllib.loads(self.list.read_text(encoding="utf-8"))
            self.survivors = [Survivor(**entry) for entry in listed.get("survivor", [])]

    def is_known(self, definition: Definition) -> bool:
        """Whether the mutants of a definition have been run, and are the same still."""
        row = self.rows.get((definition.file, definition.name))
        return row is not None and row["fingerprint"] == definition.fingerprint

    def of(self, definition: Definition) -> list[Survivor]:
        """The survivors of a definition."""
        key = definition.file, definition.name
        return [one for one in self.survivors if (one.file, one.definition) == key]

    def add(self, definition: Definition, mutants: int, survived: Iterable[Survivor]) -> None:
        """Replaces what is known of a definition; reasons that were given stay."""
        before = self.of(definition)
        reasons = {replace(one, reason=""): one.reason for one in before}
        survived = [replace(one, reason=one.reason or reasons.get(one, "")) for one in survived]
        others = [one for one in self.survivors if one not in before]
        self.survivors = sorted(
            others + survived, key=lambda one: (one.file, one.definition, one.before, one.after)
        )
        numbers = definition.fingerprint, str(mutants), str(len(survived))
        values = dict(zip(COLUMNS, (definition.file, definition.name, *numbers), strict=True))
        self.rows[definition.file, definition.name] = values

    def keep(self, existing: Iterable[Definition]) -> None:
        """Forgets definitions that are no more, and writes the files."""
        keys = {(definition.file, definition.name) for definition in existing}
        self.rows = {key: row for key, row in sorted(self.rows.items()) if key in keys}
        self.survivors = [one for one in self.survivors if (one.file, one.definition) in keys]
        rows = StringIO()
        writer = csv.DictWriter(rows, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows.values())
        write_text(self.table, rows.getvalue())
        write_text(self.list, "\n".join(map(as_toml, self.survivors)))

    def summary(self) -> list[tuple[str, int, int, int]]:
        """For each room: its name, mutants, how many have a reason, how many are open."""
        found = []
        for name in ROOMS:
            rows = [row for row in self.rows.values() if room(row["file"]) == name]
            reasons = [bool(one.reason) for one in self.survivors if room(one.file) == name]
            mutants = sum(int(row["mutants"]) for row in rows)
            found.append((name, mutants, sum(reasons), len(reasons) - sum(reasons)))
        return found

    def scores(self) -> dict[str, float]:
        """For each room that has run: percent noticed, of the mutants that change something."""
        return {
            name: 100 * (1 - open_ / (mutants - explained))
            for name, mutants, explained, open_ in self.summary()
            if mutants
        }


def as_toml(survivor: Survivor) -> str:
    """An entry of the list; a string of JSON is one of TOML."""
    fields = ("file", "definition", "before", "after", "reason")
    lines = [f"{f} = {json.dumps(getattr(survivor, f), ensure_ascii=False)}" for f in fields]
    return "\n".join(["[[survivor]]", *lines, ""])


def table(results: Results) -> str:
    """The rooms as Markdown."""
    lines = ["| room | mutants | change nothing | noticed, of the others | wanted | open |"]
    lines.append("|---|--:|--:|--:|--:|--:|")
    scores = results.scores()
    for name, mutants, explained, open_ in results.summary():
        score = f"{scores[name]:.1f} %" if mutants else "not run"
        lines.append(
            f"| {name} | {mutants:,} | {explained:,} | {score} | {ROOMS[name]} % | {open_:,} |"
        )
    return "\n".join(lines)
