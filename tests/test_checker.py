"""How the checker goes about it: what it is asked about, which ways it tries, what it answers."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from learner import run
from torch import nn

from detr_steps import Step3, Step4, box_iou, generalized_box_iou
from detr_steps.exercises import Answer, checker
from detr_steps.exercises.answer import DIFFERENCE
from detr_steps.exercises.catalogue import TASKS
from detr_steps.exercises.checker import (
    BORROWED,
    UNSURE,
    Judge,
    best_answer,
    check,
    find_task,
    is_attempted,
    is_borrowed,
    is_stub,
    ways_to_match,
)
from detr_steps.exercises.diagnosis import Diagnosis
from detr_steps.exercises.limited import Died, TimeUp
from detr_steps.exercises.mistakes import Mistake
from detr_steps.exercises.observing import CONSTRUCTION, OWN_NAMES
from detr_steps.exercises.relations import Relation

MISTAKE = Mistake("a mistake", "Look here.", "Look there.")
OWN = {(CONSTRUCTION, OWN_NAMES): True}


def my_iou(a, b):
    return box_iou(a, b).clone()


def function(source):
    """A function that was typed."""
    return run(f"def my_function(a, b):\n    {source}")[-1]


# what is asked


@pytest.mark.parametrize(
    ("error", "mistake", "words"),
    [
        (TimeUp(), "no end", "stopped after 7 s"),
        (Died("SIGSEGV"), "process ended", "(SIGSEGV)"),
        (RuntimeError("never seen"), "cannot tell", "failed (RuntimeError: never seen)"),
    ],
)
def test_a_check_that_comes_to_no_end_has_not_passed(monkeypatch, error, mistake, words):
    def fail(*given):
        raise error

    monkeypatch.setattr(checker, "best_answer", fail)
    answer = check(my_iou, "box_iou", time_limit=7)
    assert (answer.passed, answer.mistake) == (False, mistake)
    assert answer.message.startswith("my_iou: ") and words in answer.message


def test_what_is_checked_is_called_by_its_name_or_the_tasks(monkeypatch):
    class Callable:
        def __call__(self, a, b):
            return a

    monkeypatch.setattr(checker, "best_answer", lambda task, label, *more: (task.name, label))
    assert check(my_iou, "box_iou") == ("box_iou", "my_iou")
    assert check(Callable(), "box_iou") == ("box_iou", "box_iou")


def test_a_check_gives_its_hint_and_its_time_on(monkeypatch):
    monkeypatch.setattr(checker, "best_answer", lambda *given: given[2:])
    assert check(my_iou, "box_iou", hint=2, time_limit=9) == (my_iou, 2, 9)
    assert check(my_iou, "box_iou") == (my_iou, 1, 60)
    answer = check(function("..."), "box_iou")
    assert answer == Answer(False, "my_function: not attempted yet.")


@pytest.mark.parametrize(
    ("attempt", "name", "words"),
    [
        (3, None, "check: expected a class or a function, found int."),
        (nn.Identity(), "Step4", "check: expected a class or a function, found Identity."),
        (my_iou, "iou", "found 'iou'."),
        (my_iou, None, "check: expected a class that inherits from a step, or a name beside it"),
    ],
)
def test_what_has_no_task_has_not_passed(attempt, name, words):
    answer = find_task(attempt, name)
    assert isinstance(answer, Answer) and not answer.passed and words in answer.message


def test_the_task_of_a_class_is_that_of_its_name_or_of_its_parent():
    first = type("MyStep3", (Step3,), {"__module__": "learner"})
    assert find_task(first, None) is TASKS["Step3"]
    assert find_task(first, "Step2") is TASKS["Step2"]
    assert find_task(type("Encoder", (Step3,), {"__module__": "learner"}), None) is TASKS["Step4"]
    chain = type("Encoder", (first,), {"__module__": "learner"})
    answer = find_task(chain, None)
    assert not answer.passed and 'Encoder: which step is it? Write check(Encoder, "Step5")' in (
        answer.message
    )


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        *(("pass", True), ("...", True), ("return", True), ("'''Words.'''", True)),
        *(("raise NotImplementedError", True), ("raise NotImplementedError('to do')", True)),
        *(("raise ValueError", False), ("return 1", False), ("return a", False)),
        *(("a = 1", False), ("return super().__init__(a)", True)),
        ("return super().__init__(a, emb_dim=b.emb_dim)", True),
        ("a.emb_dim = b.num_classes", True),
        ("c = super().__init__(a)", False),
        ("if a.emb_dim: b.emb_dim = 1", False),
        ("for _ in a.emb_dim: pass", False),
        ("check_targets(a.shape, b.num_classes)", True),
        ("return a.shape", False),
        ("return check_targets", False),
        ("return a.emb_dim + a.other", False),
        ("return a.emb_dim, a.layer_args, a.num_classes, super().__init__", True),
    ],
)
def test_a_stub_is_told_from_what_was_written(source, is_one):
    assert is_stub(function(source)) == is_one
    assert is_attempted(function(source)) != is_one


def test_what_is_neither_a_function_nor_a_class_counts_as_attempted():
    assert is_attempted(len) and is_attempted(torch.nn.functional.relu)
    assert not is_attempted(type("Empty", (), {"run": lambda self: None}))
    assert is_attempted(type("Sized", (), {"size": 3}))
    assert is_attempted(type("Inner", (), {"Part": type("Part", (), {"size": 3})}))


def test_what_is_borrowed_is_told_from_what_was_written():
    def by_closure(a, b):
        return solution(a, b)

    solution = box_iou
    for attempt in (box_iou, my_iou, by_closure):
        assert is_borrowed(attempt, box_iou)
        assert not is_borrowed(attempt, generalized_box_iou)
    assert not is_borrowed(lambda a, b: a, box_iou)
    assert is_borrowed(type("MyStep4", (Step4,), {}), Step4) and is_borrowed(Step4, Step4)
    assert not is_borrowed(Step3, Step4)
    assert is_borrowed(len, len) and not is_borrowed(len, box_iou)


# which ways are tried


class Script:
    """A task whose ways to match lead to given observations, or to none, in order.

    Args:
        found: for each way its observations, or None where it finds no match.
    """

    expected, views, arguments, wrong = {}, {}, None, ()

    def __init__(self, *found):
        self.found, self.tried = found, 0

    def matchers(self):
        return iter(range(len(self.found)))

    def observe(self, attempt, matcher):
        self.tried += 1
        if self.found[matcher] is None:
            raise LookupError
        return self.found[matcher]

    def differences(self, found):
        return [key for key in found if key != (CONSTRUCTION, OWN_NAMES)]


@pytest.fixture
def judged(monkeypatch):
    """Judges that say what observations hold under "answer", and that they are asked last."""

    class Told(Judge):
        def shown(self, found):
            return (0, "shown")

        def answer(self, found, last=False, where=None):
            answer = found.get((0, "answer"), Answer(False, "nothing known"))
            return replace(answer, message=f"{answer.message}; last, {where}") if last else answer

    monkeypatch.setattr(checker, "Judge", Told)
    monkeypatch.setattr(checker, "run_limited", lambda work, seconds: work())
    monkeypatch.setattr(checker, "relation_of", lambda task, found, shown: found.get("relation"))


def leads_to(passed=False, mistake=None, **more):
    """Observations that a judge answers so."""
    return {(0, "answer"): Answer(passed, f"{passed} {mistake}", mistake)} | more


PASSED, NAMED, OTHER = leads_to(True), leads_to(mistake="one"), leads_to(mistake="other")
UNKNOWN = leads_to()


@pytest.mark.parametrize(
    ("found", "tried", "message"),
    [
        ([PASSED, NAMED, NAMED], 1, "True None"),
        ([NAMED, PASSED, PASSED], 1, "False one"),
        # what has names of its own may play another part
        ([NAMED | OWN, PASSED, NAMED], 2, "True None"),
        ([NAMED | OWN, OTHER, PASSED], 2, "False other"),
        ([NAMED | OWN, None, PASSED], 3, "True None"),
        ([NAMED | OWN, None, OTHER | OWN], 3, "False one"),
        ([PASSED | OWN, NAMED, NAMED], 1, "True None"),
        ([UNKNOWN, None, NAMED], 3, "False one"),
        ([UNKNOWN, None, NAMED, PASSED], 3, "False one"),
        ([UNKNOWN, None, UNKNOWN, PASSED], 4, "True None"),
        ([None, None, UNKNOWN, NAMED], 4, "False one"),
        # matched by what they do: that is what it is
        ([UNKNOWN, PASSED, NAMED], 2, "True None"),
        ([None, PASSED, NAMED], 2, "True None"),
        ([NAMED | OWN, UNKNOWN, PASSED], 2, "False None; last, None"),
    ],
)
def test_ways_to_match_are_tried_until_one_explains_it(judged, found, tried, message):
    task = Script(*found)
    assert best_answer(task, "label", None, 1, 60).message == message
    assert task.tried == tried


def test_where_nothing_explains_it_the_closest_is_told(judged):
    far = leads_to() | {(0, "a"): 1, (0, "b"): 2}
    near = {(0, "answer"): Answer(False, "near"), (0, "a"): 1}
    assert best_answer(Script(far, None, near), "", None, 1, 60).message == "near; last, None"
    assert best_answer(Script(near, None, far), "", None, 1, 60).message == "near; last, None"


def test_where_numbers_differ_it_is_looked_for_the_part(judged, monkeypatch):
    monkeypatch.setattr(checker, "look", lambda task, attempt: ["looked"])
    monkeypatch.setattr(checker, "locate", lambda task, seen: f"in {seen[0]}")
    numbers = UNKNOWN | {(0, "shown"): torch.ones(3)}

    def where(found, views):
        task = Script(found)
        task.views = views
        return best_answer(task, "", None, 1, 60).message.partition("; last, ")[2]

    assert where(numbers, {"one": 1}) == "in looked"
    assert where(numbers, {}) == where(UNKNOWN, {"one": 1}) == "None"
    assert where(UNKNOWN | {(0, "shown"): 1.0}, {"one": 1}) == "None"
    named = Relation("a name", "twice as large")
    assert where(numbers | {"relation": named}, {"one": 1}) == "None"
    assert (
        where(numbers | {"relation": Relation(None, "twice as large")}, {"one": 1}) == "in looked"
    )


def test_the_time_of_the_package_is_not_the_learners(judged):
    class Slow(Script):
        asked = False

        @property
        def expected(self):
            self.asked = True
            return {}

        def observe(self, attempt, matcher):
            assert self.asked
            return PASSED

    assert best_answer(Slow(None), "", None, 1, 60).passed


def test_models_of_known_mistakes_are_ways_to_match_where_they_may_be_it(monkeypatch):
    limits = []
    monkeypatch.setattr(
        checker, "run_limited", lambda work, seconds: limits.append(seconds) or work()
    )
    wrong = [
        SimpleNamespace(may_be=lambda results, n=n: results == [n], solution=n) for n in (1, 2, 3)
    ]
    task = SimpleNamespace(
        matchers=lambda: iter(["by name"]),
        arguments=dict,
        wrong=wrong,
        first_results=lambda attempt: [attempt],
        match_roles=lambda solution: solution,
    )
    by_name, *others = ways_to_match(task, 2, 9)
    assert by_name == "by name" and [other() for other in others] == [2] and limits == [9]
    task.arguments = None  # a function has no parameters
    assert list(ways_to_match(task, 2, 9)) == ["by name"] and limits == [9]


# what is answered


def judge(hint=1, attempt=my_iou):
    return Judge(TASKS["box_iou"], "my_iou", attempt, hint)


def test_a_mistake_comes_with_its_hint_and_the_way_to_more():
    more = "More: check(..., hint=2) for a stronger hint."
    looks = "This looks like: a mistake."
    again = "Something else may differ as well: check again when this is done."
    assert judge(1).advice(None) == [more]
    assert judge(1).advice(Diagnosis(MISTAKE)) == [looks, "Hint: Look here.", more]
    assert judge(1).advice(Diagnosis(MISTAKE, more=True)) == [
        *(looks, "Hint: Look here.", again, more),
    ]
    source = "More: check(..., hint=3) for the package's source beside yours."
    assert judge(2).advice(Diagnosis(MISTAKE)) == [looks, "Hint: Look there.", source]
    *lines, intro, difference = judge(3).advice(Diagnosis(MISTAKE))
    assert lines == [looks, "Hint: Look here."] and intro == DIFFERENCE
    assert "-def my_iou(a, b):" in difference
    assert judge(4).advice(None)[0] == DIFFERENCE


def observed(attempt):
    return TASKS["box_iou"].observe(attempt)


def test_what_is_right_is_told_with_what_was_tried():
    task = TASKS["box_iou"]
    answer = judge(attempt=lambda a, b: a).answer(observed(box_iou))
    tried = "; ".join(probe.tried for probe in task.probes)
    words = f"my_iou: passed. It does what box_iou does. Tried: {tried}."
    assert answer == Answer(True, words) and answer.remarks == ()
    borrowed = judge().answer(observed(box_iou))
    assert borrowed.message == f"{words}\nRemark (the package's own): {BORROWED}"
    assert borrowed.remarks == ("the package's own",)


def test_remarks_have_their_hint_in_both_strengths(monkeypatch):
    monkeypatch.setattr(type(TASKS["box_iou"]), "remarks", lambda task, found: [MISTAKE])
    answer = judge(attempt=lambda a, b: a).praise({})
    assert answer.message.endswith("\nRemark (a mistake): Look here. Look there.")
    assert answer.passed and answer.remarks == ("a mistake",)


def twice(a, b):
    return 2 * box_iou(a, b)


def test_what_is_wrong_is_told_with_where_it_lies():
    found = observed(twice)
    first, last = judge(attempt=twice).answer(found), judge(attempt=twice).answer(found, last=True)
    start = "my_iou: not right yet: "
    for answer in (first, last):
        assert not answer.passed and answer.message.startswith(start)
        assert answer.message.splitlines()[-1] == "More: check(..., hint=2) for a stronger hint."
    assert first.mistake is None and "This looks like" not in first.message
    placed = judge(attempt=twice).answer(found, last=True, where="It lies there.")
    assert "It lies there." in placed.message.splitlines() and placed.mistake == last.mistake
    given = judge(attempt=twice).answer(found, where=Diagnosis(MISTAKE))
    assert given.mistake == "a mistake" and "Hint: Look here." in given.message


def test_where_parameters_have_names_of_their_own_it_is_said_that_all_was_tried(monkeypatch):
    monkeypatch.setattr(checker, "explain", lambda *given: None)
    found = observed(twice)
    assert UNSURE not in judge().answer(found, last=True).message
    assert UNSURE in judge().answer(found | OWN, last=True).message.splitlines()
    assert UNSURE not in judge().answer(found | OWN).message
    assert UNSURE not in judge().answer(found | OWN, last=True, where="There.").message
    monkeypatch.setattr(checker, "explain", lambda *given: Diagnosis(MISTAKE))
    assert UNSURE not in judge().answer(found | OWN, last=True).message


def test_what_shows_first_is_shown():
    found = observed(twice)
    task = TASKS["box_iou"]
    assert judge().shown(observed(box_iou)) is None
    assert judge().shown(found) in task.differences(found)


def test_conditions_are_set_and_set_back():
    torch.set_default_dtype(torch.float64)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        state = torch.get_rng_state()
        with torch.no_grad(), pytest.raises(KeyError), checker.fixed_conditions():
            assert torch.get_default_dtype() == torch.float32 and torch.get_num_threads() == 1
            assert torch.is_grad_enabled()
            torch.rand(3)
            raise KeyError
        assert torch.get_default_dtype() == torch.float64 and torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)
