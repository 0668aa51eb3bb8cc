"""Mutants: each is one change that runs, and the checker rejects those that are wrong."""

import ast
import inspect
import sys

import pytest

from detr_steps.exercises.catalogue import TASKS
from experiments import mutants
from experiments.mutants import Mutant, changed_trees, find_mutants, is_rejected, run_mutants

SOURCE = '''
def scaled(x, factor: int = 2):
    """2 is a constant, but not of the code."""
    if factor < 0:
        raise ValueError("factor: 0")
    return x.relu() * factor
'''


def test_a_mutant_is_one_change_of_the_code_alone():
    tree = ast.parse(SOURCE)
    changes = [(words, ast.unparse(other)) for _, words, other in changed_trees(tree)]
    assert ast.unparse(tree) == ast.unparse(ast.parse(SOURCE))  # all are taken back
    assert len({source for _, source in changes}) == len(changes)
    words = [text for text, _ in changes]
    assert "scaled: x.relu() * factor -> x.relu() / factor (another operator)" in words
    assert "scaled: x.relu() -> x (without the method)" in words
    assert "scaled: factor < 0 -> factor <= 0 (another comparison)" in words
    assert not any("is a constant" in text or "ValueError" in text for text in words)


@pytest.mark.parametrize("name", ["FPN", "PositionEmbedding2D", "box_iou"])
def test_what_the_mutants_of_a_module_have_in_common(name):
    task = TASKS[name]
    found = list(find_mutants([task]))
    assert len(found) > 50 and len({mutant.source for mutant in found}) > 0.9 * len(found)
    assert all(mutant.task.solution.__module__ == task.solution.__module__ for mutant in found)


def test_a_wrong_mutant_is_rejected_and_a_right_one_is_not():
    task = TASKS["giou_loss"]
    source = inspect.getsource(sys.modules[task.solution.__module__])
    assert not is_rejected(Mutant(task, 0, "", source))
    assert is_rejected(Mutant(task, 0, "", source.replace("return 1 - ", "return 2 - ")))
    assert is_rejected(Mutant(task, 0, "", source.replace("import torch", "import torch_", 1)))


def test_the_share_leaves_out_what_nobody_could_notice(monkeypatch, capsys):
    task = TASKS["FPN"]
    made = [
        Mutant(task, 1, "FPN.__init__: a -> b (another constant)", "wrong"),
        Mutant(task, 2, "FPN.forward: zip(strict=True) -> zip() (without strict)", "same"),
        Mutant(task, 3, "FPN.forward: c -> d (left out)", "accepted"),
    ]
    monkeypatch.setattr(mutants, "find_mutants", lambda tasks: made)
    monkeypatch.setattr(mutants, "is_rejected", lambda mutant: mutant.source == "wrong")
    assert run_mutants() == 0.5
    printed = capsys.readouterr().out
    assert "rejected: 1 of 2 mutants, 50.0%; 1 are as right" in printed
    assert "FPN.forward: c -> d" in printed and "strict" not in printed
