"""What a learner reads of a difference, part by part, on made observations."""

from types import SimpleNamespace

import pytest
import torch

from detr_steps import Step2, box_iou
from detr_steps.exercises import answer, diagnosis, general, reports
from detr_steps.exercises.catalogue import TASKS
from detr_steps.exercises.observing import (
    CONSTRUCTION,
    HIDDEN,
    SHARED,
    UNCHANGED,
    Raised,
    TypeName,
    is_library,
    observe_error,
    same,
)
from detr_steps.exercises.relations import Relation
from detr_steps.exercises.reports import (
    entries_before,
    in_words,
    numbers,
    precedence,
    relation_of,
    report,
    spread,
    stage,
    verdicts,
)

ONE, TWO = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 2.0, 4.0])


def made_task(**expected):
    """A task of two probes that expects these results of the second one."""
    probes = [SimpleNamespace(tried="a number"), SimpleNamespace(tried="two boxes")]
    return SimpleNamespace(probes=probes, expected={(1, k): v for k, v in expected.items()})


@pytest.mark.parametrize(
    ("leaf", "wanted", "path", "expected"),
    [
        (Raised("ValueError"), ONE, "", 1),
        (ONE.double(), ONE, "[0]", 2),
        (ONE[:2], ONE, "[0]", 3),
        (TWO, ONE, "[0]", 5),
        (TWO, ONE, "gradient of input", 6),
        (3, ONE, "[0]", 2),
        (3, 4, "[0]", 5),
        (TypeName("a"), TypeName("b"), "[0]", 2),
        (None, ONE, "[0]", 2),
    ],
)
def test_the_earlier_a_difference_shows_the_lower_its_stage(leaf, wanted, path, expected):
    assert stage({(1, path): leaf}, {(1, path): wanted}, (1, path)) == expected


def test_a_construction_comes_first_and_its_parameters_later():
    for path, expected in (("", 0), ("parameters missing", 4)):
        key = CONSTRUCTION, path
        assert stage({}, {key: None}, key) == expected
    raised = {(1, ""): Raised("E")}
    assert stage(raised, {(1, "[0]"): ONE}, (1, "[0]")) == 1
    assert reports.STAGES[6] == "the gradients differ"


def test_what_failed_outside_of_the_learners_code_comes_last():
    expected = {(1, ""): ONE, (2, ""): ONE, (CONSTRUCTION, ""): None}
    found = {(1, ""): Raised("E", own=False), (2, ""): Raised("E"), (CONSTRUCTION, ""): Raised("E")}
    found[CONSTRUCTION, ""] = Raised("E", own=False)
    order = sorted(expected, key=lambda key: precedence(found, expected, key))
    assert order == [(CONSTRUCTION, ""), (2, ""), (1, "")]
    assert precedence(found, expected, (1, "")) == (True, 1, 1)


def test_a_report_says_what_was_tried_found_and_expected():
    task = made_task(**{"[0]": ONE, "[1]": True, "": ONE, "['name']": 3})
    tried = "Tried: two boxes."
    found = {(1, "[0]"): TWO.double(), (1, "[1]"): False}
    assert report(task, found, (1, "[0]"), None, 1) == [
        *(tried, "Found of the result[0]: float64 [3]", "Expected: float32 [3]")
    ]
    relation = Relation(None, "They are twice as large.")
    said = report(task, found, (1, "[0]"), relation, 1)
    assert said[-1] == "Expected: float32 [3]. They are twice as large"
    assert report(task, found, (1, "['name']"), None, 1)[1:] == [
        *("Found of the result['name']: nothing: it is missing", "Expected: 3")
    ]
    raised = {(1, ""): Raised("ValueError", "a: b", "x = 1")}
    assert report(task, raised, (1, ""), None, 1)[1] == (
        "Found: ValueError: a: b\n    in the line: x = 1"
    )
    yes = made_task(**{"['kept']": True})
    assert report(yes, {(1, "['kept']"): False}, (1, "['kept']"), None, 1) == [
        *(tried, "Expected: kept. It is not so.")
    ]
    said = report(yes, {(1, ""): Raised("E"), (1, "['kept']"): False}, (1, "['kept']"), None, 1)
    assert said[1].startswith("Found of the result['kept']: E")


def test_numbers_alone_are_told_by_their_values():
    task = made_task(**{"[1]": torch.tensor(2.0)})
    found = {(1, "[1]"): torch.tensor(4.00004)}
    assert report(task, found, (1, "[1]"), Relation("n", "Twice."), 1) == [
        "Tried: two boxes.",
        "Found of the result[1]: 4",
        "Entry 0 is right.",
        "Expected: 2. Twice.",
    ]


def test_a_stronger_hint_shows_numbers_and_which_results_are_right():
    task = made_task(**{"[0]": ONE, "[1]": ONE})
    found = {(1, "[0]"): TWO, (1, "[1]"): ONE}
    short, long = (report(task, found, (1, "[0]"), None, hint) for hint in (1, 2))
    assert short[-1] == (
        "Expected: the same shape, other values. 1 of 3 numbers differ, most of all at [2]: "
        "4 in place of 3."
    )
    assert long == [
        *short,
        "    yours:    1, 2, 4",
        "    expected: 1, 2, 3",
        "Right: [1]. Not right: [0].",
    ]
    known = report(task, found, (1, "[0]"), Relation("n", "Known."), 1)
    assert known[-1] == "Expected: the same shape, other values. Known."


def test_parameters_that_are_missing_or_too_many_are_listed():
    task = SimpleNamespace(
        probes=[], expected={(CONSTRUCTION, "parameters missing"): "none", (CONSTRUCTION, ""): ONE}
    )
    found = {(CONSTRUCTION, "parameters added"): "a [3]"}
    assert report(task, found, (CONSTRUCTION, "parameters missing"), None, 1) == [
        "In the package's step and not in yours: none",
        "In yours and not in the package's step: a [3]",
    ]
    found = {(CONSTRUCTION, ""): Raised("TypeError", "a")}
    said = report(task, found, (CONSTRUCTION, ""), None, 1)
    assert said == ["Found: TypeError: a", "Expected: float32 [3]"]


def test_entries_before_the_one_that_is_shown_are_right():
    said = {path: entries_before(path) for path in ("[0]", "[1]", "[3]['a']", "['a']", "")}
    assert said == {
        "[0]": [],
        "[1]": ["Entry 0 is right."],
        "[3]['a']": ["Entries 0 to 2 are right."],
        "['a']": [],
        "": [],
    }


def test_observations_in_words():
    for leaf, words in (
        *((TypeName("list"), "list"), (ONE, "float32 [3]"), (3, "3"), (None, "None")),
        *((Raised("E", "t"), "E: t"), (Raised("E", "t", "l"), "E: t\n    in the line: l")),
    ):
        assert in_words(leaf) == words
    assert reports.part_in_words("[0]") == "the result[0]"
    assert reports.part_in_words("gradient") == "gradient"
    assert reports.part_in_words("") == "the result"


def test_where_two_tensors_differ():
    left, right = torch.zeros(2, 3), torch.full((2, 3), 10.0)
    right[0] = 0
    right[1, 0] = 0.009  # below a thousandth of the largest
    left[1, 2] = float("nan")
    assert spread(left, right) == (
        "2 of 6 numbers differ, most of all at [1, 2]: nan in place of 10."
    )
    shifted = spread(torch.tensor(1.23456), torch.tensor(2.0))
    assert shifted == "1 of 1 numbers differ, most of all at []: 1.23 in place of 2."


def test_the_first_row_that_differs_is_shown_up_to_six_numbers():
    left, right = torch.zeros(3, 8), torch.zeros(3, 8)
    right[1, 7], right[2] = 1.5, 9
    assert numbers(left, right) == [
        "    yours:    0, 0, 0, 0, 0, 0, ...",
        "    expected: 0, 0, 0, 0, 0, 0, ...",
    ]
    assert numbers(left[:, 2:], right[:, 2:]) == [
        "    yours:    0, 0, 0, 0, 0, 0",
        "    expected: 0, 0, 0, 0, 0, 1.5",
    ]
    assert numbers(torch.tensor(1.0), torch.tensor(1.23456)) == [
        *("    yours:    1", "    expected: 1.235")
    ]


def test_results_of_one_probe_are_told_apart_where_some_are_right():
    task = made_task(**{"[0]": ONE, "[1]": ONE, "gradient": ONE, "['n']": 3})
    task.expected[0, "[9]"] = ONE
    right = {(1, "[0]"): ONE, (1, "[1]"): ONE}
    assert verdicts(task, right, 1) == [] and verdicts(task, {}, 1) == []
    mixed = right | {(1, "[1]"): TWO}
    assert verdicts(task, mixed, 1) == ["Right: [0]. Not right: [1]."]


def test_numbers_are_related_to_what_was_expected_and_indices_are_not():
    task = made_task(**{"[0]": 3 * torch.rand(4, 5), "[1]": torch.arange(6).view(2, 3)})
    wanted, index = task.expected.values()
    twice = relation_of(task, {(1, "[0]"): 2 * wanted}, (1, "[0]"))
    assert twice.text and "2" in twice.text
    assert relation_of(task, {(1, "[1]"): 2 * index}, (1, "[1]")) is None
    assert relation_of(task, {(1, "[0]"): 3}, (1, "[0]")) is None
    assert relation_of(task, {}, (1, "[0]")) is None


def test_of_a_number_its_gradient_is_related():
    gradient = torch.rand(4, 5)
    task = made_task(**{"": torch.tensor(3.0), "gradient of input 0": gradient})
    found = {(1, ""): torch.tensor(5.0), (1, "gradient of input 0"): gradient.clone()}
    assert relation_of(task, found, (1, "")) is None  # it is right
    found[1, "gradient of input 0"] = -gradient
    assert relation_of(task, found, (1, "")) == Relation(
        "sign turned", "This holds for the gradient of input 0: The sign is turned."
    )
    found[1, "gradient of input 0"] = None
    assert relation_of(task, found, (1, "")) is None


def helper(x):
    return x + 1


class Base:
    def run(self, x):
        return helper(x)


class Made(Base):
    """Uses what is defined above."""

    class Inner:
        pass

    def run(self, x):
        return [helper(y) for y in super().run(x)]


def test_definitions_are_those_that_a_class_is_made_of():
    assert reports.definitions(Made) == [helper, Base, Made]
    assert reports.definitions(helper) == [helper]
    names = reports.names_in(Made)
    assert names[:2] == ["Base", "Inner"] and "helper" in names and len(set(names)) == len(names)
    assert reports.globals_of(Made) is reports.globals_of(helper) is globals()
    assert reports.globals_of(Made.Inner) == globals()
    assert reports.functions_of(Made) == [Made.run] and reports.functions_of(helper) == [helper]


def test_a_source_that_nobody_knows_is_said_to_be_unknown():
    space = {}
    exec("class Lost:\n    pass\ndef lost(): pass", space)
    space["Lost"].__module__ = "nowhere"
    assert reports.source_of(space["Lost"]) == "(Lost: no source)"
    assert reports.source_of(space["lost"]) == "(lost: no source)"
    assert reports.source_of(helper) == "def helper(x):\n    return x + 1"


def test_a_difference_of_sources_has_two_lines_around_each_change():
    lines = reports.source_diff(helper, Base).splitlines()
    assert lines[:2] == ["    --- yours", "    +++ the package's"]
    assert all(line.startswith("    ") for line in lines if line)
    assert "    +class Base:" in lines and "     def helper(x):" in lines


def test_an_answer_prints_its_message_and_a_difference_in_colour():
    plain = answer.Answer(False, "a < b")
    assert repr(plain) == "a < b" and plain._repr_html_() is None
    message = f"a < b\n{answer.DIFFERENCE}\n-old\n+new"
    shown = answer.Answer(False, message, "name")._repr_html_()
    assert shown.startswith("<pre>a &lt; b\nThe package&#x27;s source beside yours:</pre><pre>")
    assert "<del" in shown and "<ins" in shown and repr(answer.Answer(False, message)) == message


def test_errors_are_the_learners_where_their_code_took_part():
    def own():
        raise ValueError("a")

    for function, is_own in ((own, True), (lambda: torch.zeros(2) @ torch.zeros(3), True)):
        try:
            function()
        except (ValueError, RuntimeError) as error:
            found = observe_error(error)
        assert found.own == is_own and found.line
    assert found.error == "RuntimeError" and "@" in found.line
    assert is_library(torch.__file__) and not is_library(__file__)
    assert Raised("E", "a") == Raised("E", "b") != Raised("F", "a")
    assert Raised("E") != "E"


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1.0, 1.0009, True),
        (1.0, 1.0011, False),
        (0.0, 9e-8, True),
        (0.0, 2e-7, False),
        (1.0, 1, False),
        ("a", "a", True),
        (True, 1, False),
        (ONE, ONE.double(), False),
        (ONE, ONE[None], False),
        (ONE, ONE + 0.0029, True),
        (ONE, ONE + 0.0031, False),
        (torch.tensor([1, 2]), torch.tensor([1, 2]), True),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), False),
        (torch.tensor([torch.inf, 1000.0]), torch.tensor([torch.inf, 1000.9]), True),
        (torch.tensor([torch.nan, 1.0]), torch.tensor([torch.nan, 1.0005]), True),
        (torch.tensor([torch.nan, 1.0]), torch.tensor([1.0, 1.0]), False),
        (torch.tensor([-torch.inf, 1.0]), torch.tensor([torch.inf, 1.0]), False),
        (torch.zeros(0), torch.zeros(0), True),
        (torch.zeros(2), torch.full((2,), 9e-8), True),
        (torch.zeros(2), torch.full((2,), 2e-7), False),
    ],
)
def test_numbers_are_the_same_up_to_a_thousandth_of_the_largest(left, right, equal):
    assert same(left, right) == equal


def observed(task=None, **options):
    """What `explain` says; nothing is known of the task's own mistakes."""
    values = {"attempt": None, "found": {}, "shown": (0, ""), "relation": None, "pairs": True}
    values |= options
    task = task or SimpleNamespace(
        expected=dict.fromkeys(values["found"], ONE) | {values["shown"]: ONE},
        differences=lambda found: [],
        mistakes=(),
        wrong=(),
    )
    said = general.explain(task, *values.values())
    return said and said.mistake.name


def test_mistakes_of_any_task_are_named_by_what_came_back():
    where = CONSTRUCTION, "parameters missing"
    assert observed(found={(CONSTRUCTION, HIDDEN): 1}, shown=where) == "layers in a plain list"
    assert observed(found={(1, UNCHANGED): False}) == "inputs changed in place"
    assert observed(found={(1, UNCHANGED): True, (0, ""): None}) == "nothing returned"
    assert observed(found={(CONSTRUCTION, SHARED): 1}, shown=where) == "one layer, used again"
    relation = Relation("axes exchanged", "text")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(general, "name_of", lambda relation: relation and "nothing returned")
        assert observed(found={(0, ""): TWO}, relation=relation) == "nothing returned"
        assert observed(found={(0, ""): TWO}, relation=relation, pairs=False) is None


@pytest.mark.parametrize(
    ("leaf", "name"),
    [
        (None, "nothing returned"),
        (torch.tensor([1.0, torch.nan]), "not a finite number"),
        (torch.tensor([1.0, torch.inf]), "not a finite number"),
        (ONE, None),
        (torch.tensor([1, 2]), None),
        (3, None),
    ],
)
def test_what_a_leaf_means_in_any_exercise(leaf, name):
    assert general.explain_leaf(leaf) == name


@pytest.mark.parametrize(
    ("leaf", "wanted", "shown", "name"),
    [
        (1, 1, (CONSTRUCTION, ""), None),
        (1, 1, (CONSTRUCTION, "x"), "parameters that are missing or too many"),
        (reports.MISSING, ONE, (0, "[0]"), "something is missing from the result"),
        (1, 2, (0, "default of a"), "another default"),
        (1, 2, (0, "[0]"), None),
        (1, ONE, (0, "[0]"), "a result of another kind"),
        (ONE, TypeName("list"), (0, "[0]"), "a result of another kind"),
        (ONE[:2], ONE, (0, "[0]"), "a result of another shape"),
        (ONE.double(), ONE, (0, "[0]"), "numbers of another type"),
        (ONE * 0, ONE, (0, "gradient of input"), "a gradient that does not arrive"),
        (ONE * 0, ONE, (0, "[0]"), None),
        (TWO, ONE, (0, "gradient of input"), None),
    ],
)
def test_what_another_kind_of_result_means(leaf, wanted, shown, name):
    assert general.explain_kind(leaf, wanted, shown) == name


def test_arguments_are_told_by_the_constructor_that_refuses_them():
    class Mine(Step2):
        def __init__(self, num_classes=3, **kwargs):
            super().__init__(**kwargs)

    task = TASKS["Step2"]
    text = "{}.__init__() got an unexpected keyword argument '{}'"
    said = [
        general.explain_argument(task, attempt, Raised("TypeError", text.format(where, name)))
        for attempt, where, name in (
            (Mine, Mine.__qualname__, "num_queries"),
            (Mine, "Step1", "num_queries"),
            (Mine, "Step2", "num_queries"),
            (Mine, "Other", "num_queries"),
            (Mine, Mine.__qualname__, "another"),
            (box_iou, "Step1", "num_queries"),
        )
    ]
    assert said == ["arguments not passed on", *["new arguments not taken"] * 2, None, None, None]
    text = "build_backbone() got an unexpected keyword argument 'num_queries'"
    error = Raised("TypeError", text)
    assert general.explain_argument(task, Mine, error) == "new arguments not taken"
    assert general.explain_argument(task, Mine, Raised("TypeError", "other")) is None


def test_how_far_a_mistake_is_from_what_is_shown():
    wrong = SimpleNamespace(shows=lambda number: {(1, "[0]"): ONE, (1, "[1]"): 3})
    assert diagnosis.distance(wrong, {(1, "[0]"): TWO}, (1, "[0]")) == pytest.approx(1 / 3)
    for found in (ONE[:2], 3, None):
        assert diagnosis.distance(wrong, {(1, "[0]"): found}, (1, "[0]")) == float("inf")
    assert diagnosis.distance(wrong, {(1, "[1]"): ONE}, (1, "[1]")) == float("inf")
