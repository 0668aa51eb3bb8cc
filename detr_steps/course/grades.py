"""What came of a folder of notebooks: a table for a terminal, as CSV, and as JSON."""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ..writing import check_file, whole_file
from .protection import UNPROTECTED, Protection
from .submission import PASSED, printable

ENDINGS = (".csv", ".json")
UNPROTECTED_MEANS = (
    "The notebooks run with your rights: they can read and delete your files, and use the network."
)


@dataclass
class Report:
    """What came of a notebook.

    Args:
        results: name of each solution -> "passed", the mistake's name, "not attempted", ...
        questions: key of each question that it asks -> whether the answer is right.
        note: what happened to the notebook as a whole, if anything did.
    """

    results: dict[str, str] = field(default_factory=dict)
    questions: dict[str, bool] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Grades:
    """What is known after a run.

    Args:
        names: of the notebooks.
        reports: one for each.
        protection: what kept them apart from the system.
        gap: why nothing did, if that is so.
    """

    names: list[str]
    reports: list[Report]
    protection: Protection = UNPROTECTED
    gap: str = ""

    def rows(self) -> list[dict[str, str]]:
        """For each notebook its name, its exercises, its questions, what happened, protection."""
        tasks = dict.fromkeys(task for report in self.reports for task in report.results)
        return [
            {
                "notebook": printable(name),
                **{task: report.results.get(task, "") for task in tasks},
                "questions": count_right(report),
                "note": report.note,
                "protection": self.protection.name,
            }
            for name, report in zip(self.names, self.reports, strict=True)
        ]

    def write(self, path: Path) -> None:
        """Writes all as JSON or, under any other ending, the rows as CSV."""
        with whole_file(path) as new, new.open("w", encoding="utf-8", newline="") as file:
            if path.suffix == ".json":
                json.dump(self.tree(), file, indent=1, ensure_ascii=False)
                return
            rows = self.rows()
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def tree(self) -> dict:
        """All as JSON has it: what is a number or a yes in there need not be read from text."""
        notebooks = [
            {
                "notebook": printable(name),
                "exercises": {
                    task: {"passed": result.startswith(PASSED), "result": result}
                    for task, result in report.results.items()
                },
                "questions": report.questions,
                "note": report.note,
            }
            for name, report in zip(self.names, self.reports, strict=True)
        ]
        return {"protection": self.protection.name, "gap": self.gap, "notebooks": notebooks}

    def table(self) -> Table:
        """The rows for a terminal: exercises below each other, so that nine steps fit, too."""
        table = Table("notebook", "exercises", "questions", "note", show_lines=True)
        table.caption = f"protection: {self.protection.name}"
        for row in self.rows():
            name, *results, questions, note, _ = row.items()
            lines = [f"{task}: {result}" for task, result in results if result]
            cells = (name[1], "\n".join(lines), questions[1], note[1])
            table.add_row(*(Text(cell) for cell in cells))
        return table


def count_right(report: Report) -> str:
    """How many questions are answered right, of how many."""
    right = sum(report.questions.values())
    return f"{right} of {len(report.questions)}" if report.questions else ""


def check_endings(paths: list[Path]) -> None:
    """Raises before any work is done for a file that cannot be written.

    Raises:
        ValueError: a file's name does not say how to write it, or its folder is missing.
        OSError: it cannot be written.
    """
    for path in paths:
        if path.suffix not in ENDINGS:
            raise ValueError(f"--out: expected a name that ends in .csv or .json, found {path}")
        if not path.parent.is_dir():
            raise ValueError(f"--out {path}: there is no folder {path.parent}")
        check_file(path)
