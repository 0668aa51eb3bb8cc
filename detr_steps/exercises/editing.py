"""The package's own source with a mistake made in it.

So there is no second copy of a solution, and an edit that no longer fits the source is an error.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from types import CodeType, ModuleType

from .mistakes import Edit

PACKAGE = __name__.partition(".")[0]


def edited(solution: Callable, edits: Iterable[Edit]) -> Callable:
    """The solution as it is after edits of its module, or of a step's before.

    Raises:
        ValueError: the text to be replaced does not stand in its definition exactly once.
    """
    names = modules_up_to(solution.__module__)
    sources = {name: inspect.getsource(sys.modules[name]) for name in names}
    first = len(names) - 1
    for edit in edits:
        top = edit.definition.partition(".")[0]
        home = next((name for name in reversed(names) if defines(name, top)), None)
        if home is None:
            raise ValueError(f"no definition {edit.definition} (of an edit)")
        sources[home] = replaced(sources[home], *edit)
        first = min(first, names.index(home))
    with restored(names):
        for name in names[first:]:
            sys.modules[name] = load(name, sources[name])
        return getattr(sys.modules[names[-1]], solution.__name__)


def modules_up_to(name: str) -> list[str]:
    """The modules of the steps up to this one; of another module that one alone."""
    start = f"{PACKAGE}.step"
    if not name.startswith(start):
        return [name]
    return [one for one in sorted(sys.modules) if one.startswith(start) and one <= name]


def defines(name: str, definition: str) -> bool:
    """Whether a class or function is defined in a module."""
    thing = vars(sys.modules[name]).get(definition)
    return getattr(thing, "__module__", None) == name


@contextmanager
def restored(names: list[str]) -> Iterator[None]:
    """Puts the modules of these names back in the end."""
    before = {name: sys.modules[name] for name in names}
    try:
        yield
    finally:
        sys.modules.update(before)


def replaced(source: str, definition: str, old: str, new: str) -> str:
    """A module's source after an edit."""
    lines = source.splitlines(keepends=True)
    node = find(ast.parse(source), definition)
    start, end = node.lineno - 1, node.end_lineno
    part = "".join(lines[start:end])
    if part.count(old) != 1:
        raise ValueError(f"expected once in {definition}, found {part.count(old)}: {old}")
    return "".join([*lines[:start], part.replace(old, new), *lines[end:]])


def find(node: ast.AST, definition: str) -> ast.stmt:
    """The class or function of a dotted name.

    Raises:
        ValueError: there is none.
    """
    for name in definition.split("."):
        node = next((one for one in node.body if getattr(one, "name", None) == name), None)
        if node is None:
            raise ValueError(f"no definition {definition} (of an edit)")
    return node


def load(name: str, source: str) -> ModuleType:
    """The module of a name, as it is with another source."""
    original = sys.modules[name]
    module = ModuleType(name)
    module.__package__, module.__file__ = original.__package__, original.__file__
    exec(compiled(source, name), module.__dict__)
    return module


@cache
def compiled(source: str, name: str) -> CodeType:
    """The code of a source."""
    return compile(source, f"<edited {name}>", "exec")
