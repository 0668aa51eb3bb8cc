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


def test_methods_are_new_overridden_or_inherited(shown):
    lesson.show_changes(Step4)
    assert "| `encode` | **overrides** that of `Step3` |" in shown[0]
    assert "| `decode` | inherited from `Step2` |" in shown[0]
    assert "| `predict` | inherited from `Step2` |" in shown[0]
    lesson.show_changes(Step8)
    assert "| `compute_loss` | **new** |" in shown[1]


def test_parameters_are_counted(shown):
    lesson.show_changes(Step4)
    with torch.device("meta"):
        added = sum(p.numel() for p in Step4().encoder.parameters())
    assert f"| parameters of `encoder` | +{added:,} in 72 tensors |" in shown[0]
    lesson.show_changes(Step1)
    assert "| parameters of `fpn` | -2,229,760 in 12 tensors |" in shown[1]
    lesson.show_changes(Step0)
    assert "parameters" not in shown[2]


def test_the_difference_shows_lines_of_the_source(shown):
    lesson.show_difference(Step2)
    assert "+++ Step2.__init__ extends Step1.__init__" in shown[0]
    assert "+++ Step2.forward replaces Step1.forward" in shown[0]
    assert "-    (p5,) = super().forward(images)" in shown[0]
    assert "+    hidden = self.decode(context)" in shown[0]
    assert '"""' not in shown[0]
    assert re.search(r"\+\+\+ Step2.predict: new, 5 lines", shown[0])


def test_the_trace_holds_the_shapes_of_a_real_run(shown):
    images = torch.rand(1, 3, 65, 97)
    lesson.show_trace(Step4, images)
    for row in (
        "| `Step4` on [1, 3, 65, 97] | in | out |",
        "| `fpn.lateral.p5` | [1, 2048, 3, 4] | [1, 256, 3, 4] |",
        "| `encoder.*.linear1` x 6 | [1, 12, 256] | [1, 12, 2048] |",
        "| `class_head` | [1, 100, 256] | [1, 100, 81] |",
    ):
        assert row in shown[0]
    with torch.no_grad():
        out = Step4(backbone=small_resnet(), enc_layers=1).eval()(images)
    assert f"| [1, 12, 256], [1, 12, 256] | {list(out['mem'].shape)} |" in shown[0]
    assert "layer1.0" not in shown[0] and "ReLU" not in shown[0]


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
