"""Which mutants there are: the operators of cosmic-ray, on every expression of the package."""

import ast
from collections.abc import Container, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "detr_steps"
OTHER_PROGRAMS = (
    "detr_steps/pages/sphinx/",
    "detr_steps/notebook/lab_config.py",
)  # run by other programs
BINARY = "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_Mul Pow_Mul BitOr_BitAnd BitAnd_BitOr"
COMPARISON = "Eq_NotEq NotEq_Eq Lt_LtE LtE_Lt Gt_GtE GtE_Gt Is_IsNot IsNot_Is"
OPERATORS = (
    *(f"ReplaceBinaryOperator_{change}" for change in BINARY.split()),
    *(f"ReplaceComparisonOperator_{change}" for change in COMPARISON.split()),
    *("ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Not"),
    *("ReplaceUnaryOperator_Delete_Invert", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "NumberReplacer", "AddNot"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    *("ExceptionReplacer", "RemoveDecorator"),
)
SIGNATURE = ("parameters", "param")  # whose stars are no products


@dataclass(frozen=True)
class Definition:
    """A function, a method, or ("") what a file holds outside of them.

    `source` is what the mutants are made of; when it changes, they are others.
    """

    file: str
    name: str
    source: str

    @property
    def place(self) -> str:
        """Its name among all."""
        return f"{self.file}:{self.name}"

    @property
    def fingerprint(self) -> str:
        """A short name of the source."""
        return sha256(self.source.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Mutant:
    """One change of one token; `before` and `after` are the lines that differ.

    `lines` are those of the statement, counted from the first of its function, where it stands in
    the body of one: such code may be replaced when it has been imported. Elsewhere there are none.
    """

    definition: Definition
    before: str
    after: str
    code: str  # the whole file
    lines: tuple[int, ...]


def files() -> list[str]:
    """The modules that are mutated."""
    found = (path.relative_to(ROOT).as_posix() for path in sorted(PACKAGE.rglob("*.py")))
    return [file for file in found if not file.startswith(OTHER_PROGRAMS)]


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """The functions and methods of a file by name; those inside of a function belong to it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")


def owners(code: str) -> dict[int, str]:
    """The function of each line of a file, where it has one."""
    return {
        line: name
        for name, node in functions(ast.parse(code))
        for line in range(first_line(node), node.end_lineno + 1)
    }


def statements(code: str) -> dict[int, tuple[int, ...]]:
    """For each line in the body of a function the lines of its statement, as in `Mutant`."""
    found = {}
    for _, function in functions(ast.parse(code)):
        first = first_line(function)
        for node in ast.walk(function):  # outer statements before inner ones
            if node is not function and isinstance(node, ast.stmt | ast.ExceptHandler):
                inner = getattr(node, "body", [])  # of a compound statement the first lines
                end = inner[0].lineno if inner else node.end_lineno + 1
                lines = range(node.lineno, max(end, node.lineno + 1))
                found |= dict.fromkeys(lines, tuple(line - first for line in lines))
    return found


def first_line(node: ast.FunctionDef) -> int:
    """A function begins with its decorators."""
    return min(part.lineno for part in (node, *node.decorator_list))


def definitions(file: str) -> dict[str, Definition]:
    """The definitions of a file by name."""
    code = (ROOT / file).read_text(encoding="utf-8")
    lines = code.splitlines()
    sources: dict[str, list[str]] = {"": []}
    of_line = owners(code)
    for number, line in enumerate(lines, 1):
        sources.setdefault(of_line.get(number, ""), []).append(line)
    return {name: Definition(file, name, "\n".join(text)) for name, text in sources.items()}


def annotations(code: str) -> set[tuple[int, int]]:
    """Where (line, column) the annotations of types stand, whose operators compute nothing."""
    nodes = list(ast.walk(ast.parse(code)))
    notes = [getattr(node, "annotation", None) or getattr(node, "returns", None) for node in nodes]
    return {
        (line, column)
        for note in notes
        if note is not None
        for part in ast.walk(note)
        if hasattr(part, "lineno")
        for line in range(part.lineno, part.end_lineno + 1)
        for column in range(part.col_offset if line == part.lineno else 0, part.end_col_offset)
    }


def mutants(file: str, wanted: Container[Definition]) -> Iterator[Mutant]:
    """All mutants of some definitions of a file, in the order of the operators."""
    code = (ROOT / file).read_text(encoding="utf-8")
    defined, of_line, types = definitions(file), owners(code), annotations(code)
    statement = statements(code)
    nodes = list(ast_nodes(get_ast(code)))
    stars = {one.start_pos for one in nodes if one.parent and one.parent.type in SIGNATURE}
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        places = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, place in enumerate(places):
            definition = defined[of_line.get(place[0], "")]
            second = name == "NumberReplacer" and occurrence % 2  # it adds 1, which is enough
            if place in types | stars or second or definition not in wanted:
                continue
            try:
                mutated = mutate_code(code, operator, occurrence)
                ast.parse(mutated)  # not so `{*mapping, 1: 2}`
            except (AttributeError, SyntaxError):  # the first of an exception with a dot in it
                continue
            if name == "ExceptionReplacer":  # its own exception would have to be imported
                mutated = mutated.replace("CosmicRayTestingException", "ZeroDivisionError")
            line = first_change(code, mutated)
            lines = (text.splitlines()[line - 1].strip() for text in (code, mutated))
            yield Mutant(definition, *lines, mutated, statement.get(line, ()))


def first_change(before: str, after: str) -> int:
    """The number of the first line that differs."""
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    for number, (old, new) in enumerate(pairs, 1):
        if old != new:
            return number
    raise ValueError("expected another text, found the same")
