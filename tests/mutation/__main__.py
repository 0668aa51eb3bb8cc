"""The command: `python -m tests.mutation --help`."""

import argparse
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

from .covering import TESTS, measure
from .mutants import Definition, Mutant, definitions, files, mutants
from .results import Results, Survivor, room, table
from .running import KnownTests, Worker


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    add = parser.add_argument
    add("paths", nargs="*", help="beginnings of files' names, as detr_steps/step; all if none")
    add("--room", help="the steps, training or the rest: a word of the room's name")
    help = "first run tests to see which run what: all, or new ones in these files"
    add("--measure", nargs="*", metavar="FILE", help=help)
    add("--again", action="store_true", help="run survivors without a reason again")
    add("--report", action="store_true", help="print the table, and run nothing")
    add("--workers", type=int, default=2)
    return parser.parse_args()


def wanted(options: argparse.Namespace) -> list[str]:
    """The files that the command line asks for."""
    return [
        file
        for file in files()
        if (not options.paths or file.startswith(tuple(options.paths)))
        and (not options.room or options.room in room(file))
    ]


def work(options: argparse.Namespace, results: Results) -> None:
    """Runs the mutants that are not known, or those that survived, and writes what came of them."""
    tests, existing = KnownTests(), everything()
    lock, workers = threading.Lock(), Queue()
    for number in range(options.workers):
        workers.put(Worker(number, tests))

    def run(definition: Definition, found: list[Mutant]) -> None:
        worker = workers.get()
        try:
            survived = [Survivor.of(mutant) for mutant in found if not worker.notices(mutant)]
        finally:
            workers.put(worker)
        with lock:
            count = len(found)
            if options.again:
                count = int(results.rows[definition.file, definition.name]["mutants"])
                survived += [one for one in results.of(definition) if one.reason]
            results.add(definition, count, survived)
            results.keep(existing)
            count, left = len(found), sum(not one.reason for one in survived)
            print(f"{definition.place}: {count} mutants, {left} survived", flush=True)

    with ThreadPoolExecutor(options.workers) as pool:
        jobs = [
            pool.submit(run, definition, found)
            for file in wanted(options)
            for definition, found in to_run(file, options, results)
        ]
        for job in jobs:
            job.result()
    for _ in range(options.workers):
        workers.get().close()


def to_run(
    file: str, options: argparse.Namespace, results: Results
) -> list[tuple[Definition, list[Mutant]]]:
    """The definitions of a file with their mutants that are to run."""
    by_definition: dict[Definition, list[Mutant]] = defaultdict(list)
    for definition in definitions(file).values():
        if options.again == results.is_known(definition):
            by_definition[definition] = []
    for mutant in mutants(file, by_definition):
        survivors = results.of(mutant.definition)
        open_ = any(one.is_mutant(mutant) and not one.reason for one in survivors)
        if open_ or not options.again:
            by_definition[mutant.definition].append(mutant)
    return [(one, found) for one, found in by_definition.items() if found or not options.again]


def everything() -> list[Definition]:
    """All definitions of the package."""
    return [definition for file in files() for definition in definitions(file).values()]


def main() -> None:
    """Runs the command."""
    options, results = arguments(), Results()
    if not options.report:
        if options.measure is not None or not TESTS.exists():
            measure(options.workers, options.measure or [])
        work(options, results)
    print(table(results))


if __name__ == "__main__":
    main()
