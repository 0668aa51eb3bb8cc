"""How the checker goes about it: what it is asked about, which ways it tries, what it answers."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from learner import run
from torch import nn

from detr_steps import Step3, Step4, box_iou, generalized_box_iou
from detr_steps.exercises import Answer, checker, diagnosis, location
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
from detr_steps.exercises.diagnosis import (
    Diagnosis,
    agrees,
    count_explained,
    diagnose,
    explains_shown,
)
from detr_steps.exercises.limited import Died, TimeUp
from detr_steps.exercises.location import locate
from detr_steps.exercises.mistakes import Mistake
from detr_steps.exercises.observing import CONSTRUCTION, OWN_NAMES, Raised, same
from detr_steps.exercises.relations import Relation
from detr_steps.exercises.transfer import match_in_order

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
        (ZeroDivisionError("by 0"), "cannot tell", "failed (ZeroDivisionError: by 0)"),
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


def leads_to(passed=False, mistake=None):
    """Observations that a judge answers so."""
    return {(0, "answer"): Answer(passed, f"{passed} {mistake}", mistake)}


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


# which mistakes explain it


EXPECTED = {
    **{(CONSTRUCTION, f"parameters {which}"): "none" for which in ("missing", "added")},
    **{(CONSTRUCTION, "kept"): True, (0, "a"): 1, (0, "b"): 1, (1, "a"): 1, (2, "a"): 1},
}
PLAIN, BORDER, REMARK = (
    SimpleNamespace(border=border, remark=remark)
    for border, remark in ((False, False), (True, False), (False, True))
)


class Made:
    """A task that expects numbers of three probes, the last of them a border case.

    Its construction, probe -1, has the parameters missing and added, and something else.
    """

    expected, probes, mistakes, wrong = EXPECTED, (PLAIN, PLAIN, BORDER), (), ()

    def is_border(self, key):
        return key[0] == 2

    def differences(self, found):
        return [key for key in self.expected if not same(found[key], self.expected[key])]


class MadeWrong:
    """A mistake that leads to other observations at some places."""

    def __init__(self, changed, task=None, name="a mistake"):
        self.task, self.changed = task or Made(), changed
        self.mistake = Mistake(name, "Look here.", "Look there.")

    def shows(self, number):
        found = self.task.expected | self.changed
        return {key: leaf for key, leaf in found.items() if key[0] == number}

    def changes(self, number):
        return [key for key in self.changed if key[0] == number]


MISSING = (CONSTRUCTION, "parameters missing")


@pytest.mark.parametrize(
    ("made", "found", "shown", "count"),
    [
        ({(0, "a"): 2}, {(0, "a"): 2}, (0, "a"), 1),
        ({(0, "a"): 2}, {(0, "a"): 3}, (0, "a"), 0),
        ({(0, "b"): 2}, {(0, "a"): 2}, (0, "a"), 0),  # not what is shown
        ({(0, "a"): 2, (1, "a"): 2}, {(0, "a"): 2, (1, "a"): 2}, (0, "a"), 2),
        ({(0, "a"): 2, (1, "a"): 2}, {(0, "a"): 2}, (0, "a"), 0),
        ({(0, "a"): 2}, {(0, "a"): 2, (1, "a"): 2}, (0, "a"), 1),  # more differs
        ({(0, "a"): 2}, {(0, "a"): 2, (1, "a"): Raised("E")}, (0, "a"), 0),
        ({(1, "a"): 2, (0, "a"): 2}, {(0, "a"): 2, (1, "a"): 2}, (1, "a"), 2),
        # a border case counts where it is the same, and does not have to be
        ({(0, "a"): 2, (2, "a"): 2}, {(0, "a"): 2, (2, "a"): 2}, (0, "a"), 2),
        ({(0, "a"): 2, (2, "a"): 2}, {(0, "a"): 2, (2, "a"): 3}, (0, "a"), 1),
        ({(0, "a"): 2, (2, "a"): 2}, {(0, "a"): 2, (2, "a"): Raised("E")}, (0, "a"), 1),
        # unless there are no others
        ({(2, "a"): 2}, {(2, "a"): 2}, (2, "a"), 1),
        ({(2, "a"): 2}, {(2, "a"): 3}, (2, "a"), 0),
        ({(CONSTRUCTION, "kept"): False}, {(CONSTRUCTION, "kept"): False}, (-1, "kept"), 1),
        # where parameters are missing those decide alone
        ({MISSING: "a"}, {MISSING: "a"}, MISSING, 1),
        ({MISSING: "a"}, {MISSING: "b"}, MISSING, 0),
        ({MISSING: "a", (0, "a"): 2}, {MISSING: "a", (0, "a"): 3}, MISSING, 1),
        ({MISSING: "a", (0, "a"): 2, (1, "a"): 2}, {MISSING: "a", (0, "a"): 2}, MISSING, 2),
        ({(0, "a"): 2}, {(0, "a"): 2, MISSING: "a"}, (0, "a"), 1),
    ],
)
def test_a_mistake_counts_by_the_differences_that_it_explains(made, found, shown, count):
    task = Made()
    seen = task.expected | found
    differences = set(task.differences(seen))
    assert count_explained(MadeWrong(made), seen, differences, shown) == count


FOUR, OTHER_FOUR = torch.arange(4.0), torch.ones(4)
WHOLE_NUMBERS = torch.arange(4)


@pytest.mark.parametrize(
    ("made", "found", "shown", "explains"),
    [
        ({(0, "a"): FOUR}, {(0, "a"): FOUR}, (0, "a"), True),
        ({(0, "a"): FOUR}, {(0, "a"): OTHER_FOUR}, (0, "a"), False),
        ({(0, "a"): FOUR[:3]}, {(0, "a"): FOUR[:3]}, (0, "a"), False),  # too few
        ({(0, "a"): 2}, {(0, "a"): 2}, (0, "a"), False),
        ({(CONSTRUCTION, "kept"): FOUR}, {(CONSTRUCTION, "kept"): FOUR}, (-1, "kept"), False),
        ({(0, "b"): FOUR}, {(0, "a"): FOUR}, (0, "a"), False),  # no change there
        ({(0, "a"): FOUR, (0, "b"): 2}, {(0, "a"): FOUR}, (0, "a"), True),
        ({(0, "a"): FOUR, (1, "a"): 2}, {(0, "a"): FOUR}, (0, "a"), True),
        # whole numbers agree by chance: all of the probe's must
        ({(0, "a"): WHOLE_NUMBERS}, {(0, "a"): WHOLE_NUMBERS}, (0, "a"), True),
        ({(0, "a"): WHOLE_NUMBERS, (0, "b"): 2}, {(0, "a"): WHOLE_NUMBERS}, (0, "a"), False),
        ({(0, "a"): WHOLE_NUMBERS}, {(0, "a"): WHOLE_NUMBERS, (0, "c"): 2}, (0, "a"), False),
        ({(0, "a"): WHOLE_NUMBERS, (1, "a"): 2}, {(0, "a"): WHOLE_NUMBERS}, (0, "a"), True),
    ],
)
def test_a_mistake_may_explain_only_what_is_shown(made, found, shown, explains):
    assert explains_shown(MadeWrong(made), EXPECTED | found, shown) == explains


@pytest.mark.parametrize(
    ("made", "found", "agreed"),
    [
        ({(0, "a"): 2}, {(0, "a"): 2}, True),
        ({(0, "a"): 2}, {(0, "a"): 2, (1, "a"): 2}, False),
        ({(0, "a"): 2, (1, "a"): 2}, {(0, "a"): 2}, False),
        ({(0, "a"): 2, (2, "a"): 2}, {(0, "a"): 2}, True),  # a border case
        ({(0, "a"): 2, MISSING: "a"}, {(0, "a"): 2}, False),
        ({(0, "a"): 2}, {(0, "a"): 2, MISSING: "a"}, False),
        ({(0, "a"): 2}, {(0, "a"): 2, (0, "c"): 2}, False),
        ({(0, "a"): 2, (0, "c"): 2}, {(0, "a"): 2}, False),
    ],
)
def test_mistakes_agree_where_all_probes_do_that_are_no_border(made, found, agreed):
    assert agrees(MadeWrong(made), EXPECTED | found) == agreed


def test_a_border_case_is_passed_over_and_what_follows_is_not():
    task = Made()
    task.probes = BORDER, PLAIN, PLAIN
    assert agrees(MadeWrong({(0, "a"): 2}, task), task.expected)
    assert not agrees(MadeWrong({(1, "a"): 2}, task), task.expected)
    task.probes = REMARK, PLAIN, PLAIN
    assert agrees(MadeWrong({(0, "a"): 2}, task), task.expected)
    assert not agrees(MadeWrong({(1, "a"): 2}, task), task.expected)


def test_two_edits_of_one_place_agree_with_nothing():
    wrong = MadeWrong({})

    def fail(number):
        raise ValueError("both change it")

    assert agrees(wrong, EXPECTED)
    wrong.shows = fail
    assert not agrees(wrong, EXPECTED)


def test_of_several_mistakes_the_one_that_explains_most_is_named(monkeypatch):
    task = Made()
    one = MadeWrong({(0, "a"): FOUR}, task, "one")
    more = MadeWrong({(0, "a"): FOUR, (1, "a"): 2}, task, "more")
    task.wrong = [one, more]
    found = task.expected | {(0, "a"): FOUR, (1, "a"): 2}
    assert diagnose(task, found, (0, "a"), pairs=False) == Diagnosis(more.mistake)
    found[1, "a"] = 3
    assert diagnose(task, found, (0, "a"), pairs=False) == Diagnosis(one.mistake)
    task.wrong = [more]  # not all that it leads to is there, but what is shown
    assert diagnose(task, found, (0, "a"), pairs=False) == Diagnosis(more.mistake, more=True)
    found[0, "a"] = OTHER_FOUR
    assert diagnose(task, found, (0, "a"), pairs=False) is None
    monkeypatch.setattr(diagnosis, "two_mistakes", lambda *given: iter([one.mistake]))
    assert diagnose(task, found, (0, "a"), pairs=False) is None
    assert diagnose(task, found, (0, "a"), pairs=True) == Diagnosis(one.mistake, more=True)
    found[0, "a"] = 5
    assert diagnose(task, found, (0, "a"), pairs=True) is None


def test_pairs_of_the_nearest_mistakes_are_tried(monkeypatch):
    task, tried = Made(), []
    task.paired = 3
    task.wrong = [MadeWrong({(0, "a"): FOUR + gap}, task, str(gap)) for gap in (9.0, 1.0, 3.0, 2.0)]
    monkeypatch.setattr(diagnosis, "Wrong", lambda task, mistake: mistake.name)
    monkeypatch.setattr(
        diagnosis, "agrees", lambda name, found: tried.append(name) or name == "2.0"
    )
    found = task.expected | {(0, "a"): FOUR}
    (mistake,) = diagnosis.two_mistakes(task, found, (0, "a"))
    assert tried == ["1.0", "1.0", "2.0"] and mistake is task.wrong[3].mistake


def view(*differences):
    """A view of a task, in which an attempt differs so."""
    return SimpleNamespace(differences=lambda found: list(differences), expected={})


def test_a_mistake_lies_where_nothing_differs_without_it(monkeypatch):
    named = {}
    monkeypatch.setattr(location, "diagnose", lambda view, found, shown, pairs: named.get(shown))
    monkeypatch.setattr(location, "precedence", lambda found, expected, key: key)
    task = SimpleNamespace(views={"with one layer": view((0, "a")), "where x adds nothing": view()})
    words = "Yours is right where x adds nothing. Look at what is different then."
    both = {"with one layer": {}, "where x adds nothing": {}}
    assert locate(task, [both]) == words
    assert locate(task, []) is None
    task.views["where x adds nothing"] = view((0, "c"), (0, "b"))
    assert locate(task, [both]) is None
    named[0, "b"] = Diagnosis(MISTAKE)
    assert locate(task, [both]) == Diagnosis(MISTAKE, more=True)
    named[0, "b"] = Diagnosis(MISTAKE, more=True)  # one of several there, too
    assert locate(task, [both]) is None
    named[0, "b"] = Diagnosis(MISTAKE)
    assert locate(task, [both, both]) == Diagnosis(MISTAKE, more=True)
    assert locate(task, [{"with one layer": OWN}, both]) is None


def test_both_ways_to_match_are_looked_at_unless_they_are_one():
    def observe(attempt, way):
        if attempt == "one way" and way is match_in_order:
            raise LookupError
        return way.__name__

    task = SimpleNamespace(views={"in a case": SimpleNamespace(observe=observe)})
    names = [{"in a case": "match_parameters"}, {"in a case": "match_in_order"}]
    assert location.look(task, "two ways") == names
    assert location.look(task, "one way") == names[:1]
