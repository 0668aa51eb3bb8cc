"""A course out of the notebooks: copies for students, copies with the solutions, and pages of both.

The solutions are the package's own source, taken from it when the copies are made.
"""

import ast
import inspect
import json
import re
import symtable
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from importlib.util import resolve_name
from pathlib import Path
from textwrap import dedent

from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbconvert.filters import strip_ansi
from nbconvert.preprocessors import ClearOutputPreprocessor
from nbformat import NotebookNode, v4

from ..exercises.catalogue import TASKS
from ..exercises.questions import QUESTIONS
from ..notebook.runner import execute, read, write
from ..pages.site import TITLE, build_site
from ..reading import read_text
from ..writing import check_folder, copy_file, write_text
from .grading import find_exercises, mark_questions
from .submission import PASSED, short_error

SPOILER = (
    "*The complete notebook shows the package's source here. Write yours first: see “Your turn”.*"
)
KINDS = ("student", "solved")
UNANSWERED = re.compile(r'ask\("([^"]+)", answer=None\)')
# to a file, not to the web
FILE_LINK = re.compile(r"!?\[(?P<text>[^\]]*)\]\((?!\w+:)(?P<file>[^)#\s]+)[^)]*\)")
VERDICTS = """\
import json

from detr_steps.course.submission import verdict

print(json.dumps({{task: verdict(globals(), name, task) for name, task in {pairs}}}))"""


def write_course(paths: list[Path], out: Path, kinds: Sequence[str] = KINDS) -> list[str]:
    """Writes the copies `student/` and `solved/`, and pages of both in `html/`.

    Args:
        paths: the notebooks, all in one folder.
        out: folder for the course.
        kinds: the kinds of copies; only the solved ones are executed.

    Returns:
        What is wrong in the solved copies: nothing, where every solution passes its own check.

    Raises:
        OSError: the folder cannot be written: before anything is executed.
    """
    check_folder(out)
    lessons = [read_lesson(path) for path in paths]  # before anything is written
    linked = linked_files(paths)
    names = {path.name for path in [*paths, *linked]}
    for kind in kinds:
        write_beside(linked, out, kind, names)
    problems = []
    for i, (path, notebook) in enumerate(zip(paths, lessons, strict=True), 1):
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = keep_links(cell.source, names)
        if "student" in kinds:
            write(student_copy(notebook), out / "student" / path.name)
        if "solved" in kinds:
            solved = solved_copy(notebook)
            label = f"[{i}/{len(paths)}] {path.stem}"
            problems += [f"{path.stem}: {line}" for line in verify(solved, path.parent, label)]
            write(solved, out / "solved" / path.name)
    for kind in kinds:
        build_site(out / kind, out / "html" / kind, title=f"{TITLE}: {kind}")
    return problems


def read_lesson(path: Path) -> NotebookNode:
    """A notebook whose exercises and questions all have a solution.

    Raises:
        OSError, ValueError: there is none, or it has others; the file is named.
    """
    notebook = read(path)
    try:
        solved_copy(notebook)
    except Exception as error:  # of its metadata, or of the code of an exercise
        raise ValueError(f"{path}: expected a lesson: {short_error(error)}") from error
    return notebook


def write_beside(linked: list[Path], out: Path, kind: str, names: set[str]) -> None:
    """Makes the folder of one kind of copies, and writes what the notebooks link to into it."""
    (out / kind).mkdir(parents=True, exist_ok=True)
    for file in linked:
        write_linked(file, out / kind, names)


def student_copy(notebook: NotebookNode) -> NotebookNode:
    """A copy without outputs, and without the cells that give a solution away."""
    copy = deepcopy(notebook)
    copy.cells = [
        v4.new_markdown_cell(SPOILER, id=cell.id)
        if "spoiler" in cell.metadata.get("tags", ())
        else cell
        for cell in copy.cells
    ]
    return ClearOutputPreprocessor().preprocess(copy, {})[0]


def solved_copy(notebook: NotebookNode) -> NotebookNode:
    """A copy with every exercise solved and every question answered, not executed yet."""
    copy = deepcopy(notebook)
    for cell in copy.cells:
        if "exercise" in cell.metadata:
            cell.source = solve(cell.source, **cell.metadata.exercise)
        cell.source = UNANSWERED.sub(
            lambda match: f'ask("{match[1]}", answer="{QUESTIONS[match[1]].right}")', cell.source
        )
    return copy


def solve(source: str, attempt: str, solution: str) -> str:
    """The source of a cell, with the definition of `attempt` taken from the package.

    Raises:
        ValueError: the cell does not define `attempt`.
    """
    thing = TASKS[solution].solution
    definitions = {getattr(node, "name", None): node for node in ast.parse(source).body}
    if attempt not in definitions:
        raise ValueError(f"exercise: expected a definition of {attempt}, found {source!r}")
    stub = definitions[attempt]
    lines = source.splitlines()
    code = re.sub(rf"^(class|def) {solution}\b", rf"\1 {attempt}", plain_source(thing), flags=re.M)
    lines[stub.lineno - 1 : stub.end_lineno] = code.splitlines()
    return "\n".join([*needed_imports(thing), "", "", *lines])


def plain_source(thing: Callable) -> str:
    """The source of a class or function, not indented."""
    return dedent(inspect.getsource(thing)).rstrip()


def needed_imports(thing: Callable) -> list[str]:
    """The imports that the source of a class or function needs outside of its module."""
    module = inspect.getmodule(thing)
    names = set(global_names(symtable.symtable(plain_source(thing), module.__name__, "exec")))
    imports = []
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [name for name in node.names if (name.asname or name.name) in names]
            names -= {name.asname or name.name for name in node.names}
            if isinstance(node, ast.ImportFrom) and node.level:
                relative = "." * node.level + (node.module or "")
                node.module, node.level = resolve_name(relative, module.__package__), 0
            if node.names:
                imports.append(ast.unparse(node))
    own = [ast.alias(name) for name in sorted(names) if name in vars(module)]
    return imports + [ast.unparse(ast.ImportFrom(module.__name__, own, 0))] * bool(own)


def global_names(table: symtable.SymbolTable) -> Iterator[str]:
    """The names that a piece of source reads but does not define itself, built-in ones too."""
    for symbol in table.get_symbols():
        if symbol.is_global() and symbol.is_referenced():
            yield symbol.get_name()
    for inner in table.get_children():
        yield from global_names(inner)


def verify(solved: NotebookNode, folder: Path, label: str) -> list[str]:
    """Executes a solved copy; says which of its solutions and answers do not pass."""
    pairs = [(exercise["attempt"], exercise["solution"]) for exercise in find_exercises(solved)]
    solved.cells.append(v4.new_code_cell(VERDICTS.format(pairs=pairs)))
    try:
        execute(solved, folder, label)
    except (CellControlSignal, DeadKernelError) as error:
        return [strip_ansi(str(error)).strip().splitlines()[-1]]
    finally:
        last = solved.cells.pop()
    results = json.loads(last.outputs[-1].text)
    wrong = [
        f"{task}: {result}" for task, result in results.items() if not result.startswith(PASSED)
    ]
    answers = mark_questions(solved).items()
    return wrong + [f"question {key}: wrong" for key, right in answers if not right]


def linked_files(paths: list[Path]) -> list[Path]:
    """The files beside the notebooks that these link to, and that those link to."""
    found: list[Path] = []
    for path in (todo := list(paths)):
        texts = [read_text(path)] if path.suffix == ".md" else []
        if path.suffix == ".ipynb":
            texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
        for link in FILE_LINK.finditer("\n".join(texts)):
            file = path.parent / link["file"]
            beside = file.parent == path.parent and file.is_file() and file.suffix != ".ipynb"
            if beside and file not in found:
                found.append(file)
                todo.append(file)
    return found


def keep_links(text: str, names: set[str]) -> str:
    """Markdown in which a link to a file that does not go along becomes plain text."""
    return FILE_LINK.sub(lambda link: link[0] if link["file"] in names else link["text"], text)


def write_linked(file: Path, folder: Path, names: set[str]) -> None:
    """Writes a linked file into the folder of the copies."""
    if file.suffix == ".md":
        write_text(folder / file.name, keep_links(read_text(file), names))
    else:
        copy_file(file, folder / file.name)
