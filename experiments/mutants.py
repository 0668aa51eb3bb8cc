"""How many wrong versions of the nine steps the checker rejects: `python -m detr_steps mutants`.

A mutant is a step's module with one small change: another operator, constant, name or argument, or
a line left out. `SAME` says which changes no exercise could notice, and why.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from detr_steps.exercises.catalogue import TASKS
from detr_steps.exercises.checker import fixed_conditions
from detr_steps.exercises.editing import load
from detr_steps.exercises.tasks import Task

OTHER_OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
OTHER_NAMES = {
    "min": "max",
    "max": "min",
    "maximum": "minimum",
    "minimum": "maximum",
    "sum": "mean",
    "mean": "sum",
    "sin": "cos",
    "cos": "sin",
    "relu": "tanh",
    "sigmoid": "tanh",
    "softmax": "log_softmax",
    "log_softmax": "softmax",
    "zeros": "ones",
    "ones": "zeros",
    "randn": "zeros",
}
SAME = {  # "where: change" -> why an answer with this change is as right as the package's
    r"raise|check_\w+\(|emb_dim % 4|expected = |multiple of 4": "bad arguments: not asked for",
    r"strict|: True -> False .*const.*zip": "lengths that are equal anyway",
    r"init_transformer": "values before training: not in the exercise",
    r"mean_over_processes": "several processes: not in the exercise",
    r"loss_terms": "the pages look at the terms; the exercise asks for the loss",
    r"coderLayer.__init__: \S+ -> \S+ \(another c": "a layer's defaults: it gets all arguments",
    r"\.to\(|\.cpu\(\)|\.numpy\(\)|finfo|dtype|device": "other devices and precisions",
    r"need_weights|value=|without mode|persistent": "what is the default, or is thrown away",
    r"None -> 0": "a default that is never looked at, or is not there either way",
    r"'p' -> 'p_'": "names of modules",
    r"1e-0?[67]": "a number that keeps 0 / 0 away",
    r"pretrained": "weights to download",
    r"-2 -> 2|transpose\(2, 1\)": "the same axes",
    r"(max|min)imum\(.*exchanged|promote_types\(.*exchanged|dist\.": "the same in either order",
    r"Conv2d\(emb_dim, emb_dim|Linear\(self.emb_dim, self.emb_dim": "two equal arguments",
    r"tuple\[": "types",
}


@dataclass(frozen=True)
class Mutant:
    """A changed module.

    Args:
        task: whose solution stands in it.
        line: of the change, counted from 1.
        change: where, and what was changed.
        source: of the module.
    """

    task: Task
    line: int
    change: str
    source: str

    @property
    def same(self) -> str | None:
        """Why nobody could notice the change, or None."""
        return next((why for text, why in SAME.items() if re.search(text, self.change)), None)


def mutations(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:
    """Other nodes that may stand in the place of one; None where it is left out."""
    if (
        isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign)
        and type(node.op) in OTHER_OPERATORS
    ):
        yield "another operator", changed(node, op=OTHER_OPERATORS[type(node.op)]())
    if isinstance(node, ast.BinOp):
        yield "the left side alone", node.left
        yield "the right side alone", node.right
    if isinstance(node, ast.BoolOp):
        yield from (("one condition alone", value) for value in node.values)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OTHER_OPERATORS:
        yield "another comparison", changed(node, ops=[OTHER_OPERATORS[type(node.ops[0])]()])
    if isinstance(node, ast.UnaryOp):
        yield "without sign", node.operand
    if isinstance(node, ast.IfExp):
        yield "always the first", node.body
        yield "always the second", node.orelse
    if isinstance(node, ast.Constant):
        yield from (("another constant", ast.Constant(value)) for value in other(node.value))
    if isinstance(node, ast.Attribute) and node.attr in OTHER_NAMES:
        yield "another function", changed(node, attr=OTHER_NAMES[node.attr])
    if isinstance(node, ast.Call):
        yield from call_mutations(node)
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield "without index", node.value
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr):
        yield "left out", ast.Pass()
    if isinstance(node, ast.Return) and node.value is not None:
        yield "nothing returned", changed(node, value=ast.Constant(None))
    if isinstance(node, ast.If):
        yield "always", changed(node, test=ast.Constant(True))
        yield "never", changed(node, test=ast.Constant(False))


def call_mutations(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    """Calls with an argument less or two exchanged, and a method that is not called."""
    for i, keyword in enumerate(node.keywords):
        rest = [*node.keywords[:i], *node.keywords[i + 1 :]]
        yield f"without {keyword.arg or '**'}", changed(node, keywords=rest)
    if node.args:
        yield "an argument less", changed(node, args=node.args[:-1])
    if len(node.args) > 1:
        first, second, *more = node.args
        yield "arguments exchanged", changed(node, args=[second, first, *more])
    module = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value)
    if module and module not in ("torch", "nn", "nn.init", "F", "math", "super()"):
        yield "without the method", node.func.value


def other(value: object) -> Iterator[object]:
    """Constants that may stand for another one."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, float):
        yield from (2 * value, 0.5 * value, 0.0) if value else (1.0,)
    elif value is None:
        yield 0
    elif isinstance(value, str):
        yield f"{value}_"


def changed(node: ast.AST, **fields: object) -> ast.AST:
    """A copy of a node with other fields."""
    new = deepcopy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def changed_trees(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """All trees with one change, with its line and what was changed."""
    skipped, scopes = set(parts_to_skip(tree)), dict(scopes_of(tree))
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            for i, node in enumerate(value if isinstance(value, list) else [value]):
                if not isinstance(node, ast.AST) or node in skipped:
                    continue
                for words, new in mutations(node):
                    put(parent, field, i, new)
                    texts = [ast.unparse(one).splitlines()[0] for one in (node, new)]
                    text = f"{scopes.get(node, 'module')}: {' -> '.join(texts)} ({words})"
                    yield getattr(node, "lineno", 0), text, tree
                    put(parent, field, i, node)


def scopes_of(node: ast.AST, scope: str = "") -> Iterator[tuple[ast.AST, str]]:
    """In which class and function each node stands."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        scope = f"{scope}.{node.name}".lstrip(".")
    for child in ast.iter_child_nodes(node):
        yield child, scope
        yield from scopes_of(child, scope)


def put(parent: ast.AST, field: str, index: int, node: ast.AST) -> None:
    """Sets a child of a node."""
    value = getattr(parent, field)
    if isinstance(value, list):
        value[index] = node
    else:
        setattr(parent, field, node)


def parts_to_skip(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes whose change nobody would see: docstrings, types, texts of errors, imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield from ast.walk(first)
        if isinstance(node, ast.FunctionDef):
            annotations = [node.returns, *(argument.annotation for argument in every(node.args))]
            yield from (part for one in annotations if one for part in ast.walk(one))
        if isinstance(node, ast.AnnAssign):
            yield from ast.walk(node.annotation)
        if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom):
            yield from ast.walk(node)


def every(arguments: ast.arguments) -> list[ast.arg]:
    """All arguments of a function."""
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return named + [one for one in (arguments.vararg, arguments.kwarg) if one]


def find_mutants(tasks: list[Task]) -> Iterator[Mutant]:
    """The mutants of all modules in which solutions stand; each with the tasks of its module."""
    for module in dict.fromkeys(task.solution.__module__ for task in tasks):
        own = next(task for task in tasks if task.solution.__module__ == module)
        tree = ast.parse(inspect.getsource(sys.modules[module]))
        for line, words, changed_tree in changed_trees(tree):
            yield Mutant(own, line, words, ast.unparse(ast.fix_missing_locations(changed_tree)))


def is_rejected(mutant: Mutant) -> bool:
    """Whether a check of one of the solutions in the mutant's module finds a difference."""
    solution = mutant.task.solution
    try:
        module = load(solution.__module__, mutant.source)
    except Exception:
        return True
    tasks = (task for task in TASKS.values() if task.solution.__module__ == solution.__module__)
    return any(task.differences(task.observe(getattr(module, task.name))) for task in tasks)


def run_mutants(only: str | None = None) -> float:
    """Prints the mutants that are accepted although they are wrong, and the share of the others.

    Args:
        only: the name of a task whose module alone is tried.
    """
    steps = {name: task for name, task in TASKS.items() if ".step" in task.solution.__module__}
    tasks = [task for name, task in steps.items() if only in (None, name)]
    rejected = accepted = same = 0
    with fixed_conditions():
        for mutant in find_mutants(tasks):
            if is_rejected(mutant):
                rejected += 1
            elif mutant.same:
                same += 1
            else:
                accepted += 1
                print(
                    f"{mutant.task.solution.__module__}:{mutant.line}: {mutant.change}", flush=True
                )
    total = rejected + accepted
    print(f"rejected: {rejected} of {total} mutants, {rejected / total:.1%}; {same} are as right")
    return rejected / total
