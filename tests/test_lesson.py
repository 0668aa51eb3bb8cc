"""What every notebook shows of its step, and the glossary."""

import re
from pathlib import Path

import pytest
import torch
from conftest import small_resnet

from detr_steps import Step0, Step1, Step2, Step4, Step8
from detr_steps.notebook import lesson

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
GLOSSARY = (NOTEBOOKS / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^### (.+)$", GLOSSARY, re.M)


@pytest.fixture
def shown(monkeypatch):
    pages = []
    monkeypatch.setattr(lesson, "display", lambda markdown: pages.append(markdown.data))
    return pages


def test_methods_are_new_overridden_or_inherited():
    table = lesson.changes_table(Step4)
    assert "| `encode` | **overrides** that of `Step3` |" in table
    assert "| `decode` | inherited from `Step2` |" in table
    assert "| `predict` | inherited from `Step2` |" in table
    assert "| `compute_loss` | **new** |" in lesson.changes_table(Step8)


def test_parameters_are_counted():
    with torch.device("meta"):
        added = sum(p.numel() for p in Step4().encoder.parameters())
    line = f"| parameters of `encoder` | +{added:,} in 72 tensors |"
    assert line in lesson.changes_table(Step4)
    assert "| parameters of `fpn` | -2,229,760 in 12 tensors |" in lesson.changes_table(Step1)
    assert "parameters" not in lesson.changes_table(Step0)


def test_the_difference_shows_lines_of_the_source(shown):
    lesson.show_difference(Step2)
    assert "+++ Step2.__init__ extends Step1.__init__" in shown[0]
    assert "+++ Step2.forward replaces Step1.forward" in shown[0]
    assert "-    (p5,) = super().forward(images)" in shown[0]
    assert "+    hidden = self.decode(context)" in shown[0]
    assert '"""' not in shown[0]
    assert re.search(r"\+\+\+ Step2.predict: new, 5 lines", shown[0])


def test_the_trace_holds_the_shapes_of_a_real_run():
    images = torch.rand(1, 3, 65, 97)
    table = lesson.trace_table(Step4, images)
    for row in (
        "| `Step4` on [1, 3, 65, 97] | in | out |",
        "| `fpn.lateral.p5` | [1, 2048, 3, 4] | [1, 256, 3, 4] |",
        "| `encoder.*.linear1` x 6 | [1, 12, 256] | [1, 12, 2048] |",
        "| `class_head` | [1, 100, 256] | [1, 100, 81] |",
    ):
        assert row in table
    with torch.no_grad():
        out = Step4(backbone=small_resnet(), enc_layers=1).eval()(images)
    assert f"| [1, 12, 256], [1, 12, 256] | {list(out['mem'].shape)} |" in table
    assert "layer1.0" not in table and "ReLU" not in table


def test_the_glossary_is_in_order_and_every_term_is_met_in_a_step():
    assert len(TERMS) >= 38
    assert sorted(TERMS) == TERMS and all(term == term.lower() for term in TERMS)
    entries = re.split(r"^### .+$", GLOSSARY, flags=re.M)[1:]
    for term, entry in zip(TERMS, entries, strict=True):
        (file,) = re.findall(r"Met in \[Step \d\]\((\S+)\)", entry)
        assert (NOTEBOOKS / file).exists(), term


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("Step*.ipynb")), ids=lambda path: path.stem)
def test_the_notebooks_link_terms_that_exist(path):
    anchors = re.findall(r"\(glossary\.md#([\w-]+)\)", path.read_text(encoding="utf-8"))
    assert len(anchors) >= 5
    assert set(anchors) <= {term.replace(" ", "-") for term in TERMS}
    assert len(anchors) == len(set(anchors))  # at the first mention


def test_an_error_that_must_come_is_printed_and_no_other(capsys):
    with lesson.shown_error(KeyError, ValueError):
        raise ValueError("a: b")
    assert capsys.readouterr().out == "ValueError: a: b\n"
    with pytest.raises(TypeError), lesson.shown_error(ValueError):
        raise TypeError
    missing = pytest.raises(
        AssertionError, match=r"^expected KeyError or ValueError, got no error$"
    )
    with missing, lesson.shown_error(KeyError, ValueError):
        pass
    lesson.count_cost.__wrapped__(Step1)
    assert capsys.readouterr().out == ""  # it counts in silence


def test_what_holds_no_tensor_has_no_shape():
    one = torch.zeros(2, 3)
    assert lesson.shape([one, [], (one, None)]) == "[2, 3], [2, 3]"
    assert lesson.shape([]) == "" and not lesson.has_shape([]) and not lesson.has_shape(3)
    assert lesson.has_shape([3]) and lesson.has_shape(one)
