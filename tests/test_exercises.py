"""The checker names the mistakes, passes what is right, and survives whatever it is given."""

import collections
import contextlib
import itertools
import math
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from attempts import ATTEMPTS
from learner import run, write
from torch import nn

from detr_steps import FPN, ResNetFPN, Step2, Step3, Step4, Step5, Step6, Step7
from detr_steps.backbone import build_backbone
from detr_steps.exercises import check, checker
from detr_steps.exercises.catalogue import TASKS
from detr_steps.exercises.catalogue.decoder import BUILT_ONCE, built_once
from detr_steps.exercises.catalogue.matching import count_copies
from detr_steps.exercises.diagnosis import diagnose
from detr_steps.exercises.editing import edited
from detr_steps.exercises.limited import TimeUp, can_be_copied, run_limited
from detr_steps.exercises.mistakes import Edit
from detr_steps.exercises.observing import same
from detr_steps.exercises.reports import precedence
from detr_steps.notebook.runner import read
from detr_steps.step5_decoder import TransformerDecoder

MADE_ELSEWHERE = {  # in test_narrow_escapes
    "evaluation mode in training",
    "queries that start alike",
    "dropout where none belongs",
    "other results in training mode",
}
MISTAKES = [(name, mistake) for name, task in TASKS.items() for mistake in task.mistakes]
CHANGED = [(name, change) for name, (_, changes) in ATTEMPTS.items() for change in changes]
SLOWER = [one for one in CHANGED if one[1][-1] == "a copy for each image and layer"]
WRONG = [one for one in CHANGED if one not in SLOWER]


def test_every_task_has_an_attempt_and_five_mistakes_at_least():
    assert set(ATTEMPTS) == set(TASKS)
    for task in TASKS.values():
        assert len({mistake.name for mistake in task.mistakes}) >= 5, task.name


@pytest.mark.parametrize("name", TASKS)
def test_the_packages_own_solution_passes(name):
    answer = check(TASKS[name].solution, name)
    assert answer.passed and answer.mistake is None, answer


@pytest.mark.parametrize("name", TASKS)
def test_a_solution_written_differently_passes(name):
    answer = check(write(ATTEMPTS[name][0]), name)
    assert answer.passed and answer.mistake is None, answer


@pytest.mark.parametrize(
    ("name", "change"), WRONG, ids=[f"{name}: {change[-1]}" for name, change in WRONG]
)
def test_a_wrong_attempt_gets_the_name_of_its_mistake(name, change):
    old, new, *more, mistake = change
    answer = check(write(ATTEMPTS[name][0], (old, new), *(more[0] if more else ())), name)
    assert not answer.passed
    assert answer.mistake == mistake, answer
    assert f"This looks like: {mistake}." in answer.message


@pytest.mark.parametrize("name", TASKS)
def test_the_probes_separate_the_mistakes_from_one_another(name):
    task = TASKS[name]
    assert task.wrong
    for wrong in task.wrong:
        differences = task.differences(wrong.found)
        assert differences, wrong.mistake.name
        shown = min(differences, key=partial(precedence, wrong.found, task.expected))
        assert diagnose(task, wrong.found, shown, pairs=False).mistake.name == wrong.mistake.name


def test_every_mistake_that_is_no_edit_is_made_by_an_attempt():
    made = {(name, change[-1]) for name, change in CHANGED}
    for name, mistake in MISTAKES:
        elsewhere = mistake.name in MADE_ELSEWHERE or name == "Step1"
        if mistake.sign and not elsewhere:
            assert (name, mistake.name) in made, (name, mistake.name)


def test_every_sign_is_an_observation():
    for name, mistake in MISTAKES:
        paths = {path for _, path in TASKS[name].expected}
        assert mistake.sign is None or f"[{mistake.sign!r}]" in paths, (name, mistake.sign)


def test_an_edit_that_does_not_fit_the_source_is_an_error():
    with pytest.raises(ValueError, match="found 0: no such line"):
        edited(Step4, [Edit("Step4.encode", "no such line", "pass")])


class Stub(Step3):
    def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
        """Builds the encoder."""
        super().__init__(**kwargs)
        ...

    def encode(self, images, padding_mask=None): ...


class Unfinished(Step3):
    def encode(self, images, padding_mask=None):
        raise NotImplementedError("to do")


class Empty(Step3):
    pass


class Given(Step2):
    def __init__(self, num_classes=80, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        ...


def empty_function(a, b):
    """Nothing yet."""


def stubs_of_the_pages():
    """The stub of each exercise that is a class, from the page itself."""
    for path in sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb")):
        for cell in read(path).cells:
            if cell.metadata.get("exercise", {}).get("attempt", "").startswith("MyStep"):
                bases = {"MyDecoder": type("MyDecoder", (TransformerDecoder,), {})}
                yield run(cell.source, **bases)[-1]


@pytest.mark.parametrize("stub", list(stubs_of_the_pages()), ids=lambda stub: stub.__name__)
def test_a_stub_of_a_page_is_not_attempted(stub):
    assert check(stub).message == f"{stub.__name__}: not attempted yet."


@pytest.mark.parametrize("stub", [Stub, Unfinished, Empty, Given])
def test_a_stub_is_not_attempted(stub):
    answer = check(stub)
    assert answer.message == repr(answer) == f"{stub.__name__}: not attempted yet."
    assert not answer.passed and answer.mistake is None


def test_an_empty_function_is_not_attempted():
    assert check(empty_function, "box_iou").message == "empty_function: not attempted yet."


@pytest.mark.parametrize("value", ["True", '""', "1", "()", "box"])
def test_a_function_that_returns_something_is_attempted(value):
    namespace = {}
    exec(f"def some_function(box): return {value}", namespace)
    assert checker.is_attempted(namespace["some_function"])


def test_the_step_is_found_from_the_base_class():
    source, _ = ATTEMPTS["Step4"]
    assert check(write(source)).message.startswith("MyStep4: passed. It does what Step4 does.")


@pytest.mark.parametrize("attempt", [None, 3, "Step4", torch.zeros(2), []])
def test_what_cannot_be_checked_is_named(attempt):
    assert f"found {type(attempt).__name__}" in check(attempt).message


def test_a_model_in_place_of_its_class_is_named():
    assert "found Identity" in check(nn.Identity()).message


def test_an_unknown_name_is_named():
    assert "found 'Step9'" in check(Stub, "Step9").message
    assert "a name beside it" in check(empty_function).message


def encoder_that(encode):
    """A Step4 whose `encode` is the given function."""

    class MyStep4(Step3):
        def __init__(self, nhead, enc_layers, dim_feedforward, dropout, **kwargs):
            super().__init__(**kwargs)

    MyStep4.encode = encode
    return MyStep4


class Hostile:
    def __repr__(self):
        raise RuntimeError("no")

    __str__ = __eq__ = __repr__
    __hash__ = None


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no")


def raising(error):
    def encode(self, images, padding_mask=None):
        raise error

    return encode


def looping(self, images, padding_mask=None):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


RETURNED = (None, 3, "text", [], {}, object(), Hostile(), {"mem": torch.tensor(torch.nan)})
RAISED = (ValueError("x"), KeyError(1), SystemExit(1), KeyboardInterrupt(), Unspeakable())


@pytest.mark.parametrize("value", RETURNED, ids=lambda value: type(value).__name__)
def test_whatever_comes_back_is_answered(value):
    answer = check(encoder_that(lambda self, images, padding_mask=None: value))
    assert not answer.passed and "not right yet" in answer.message


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_is_raised_is_answered(error):
    answer = check(encoder_that(raising(error)))
    assert not answer.passed
    assert f"Found: {type(error).__name__}" in answer.message


@pytest.mark.parametrize(
    "value", [None, math.nan, torch.full((6, 6), torch.nan), "x", torch.zeros(0)]
)
def test_functions_may_return_anything(value):
    answer = check(lambda a, b: value, "box_iou")
    assert not answer.passed


def test_nothing_returned_and_nan_are_named():
    assert check(lambda a, b: print(end=""), "box_iou").mistake == "nothing returned"
    nan = check(lambda a, b: a[..., 0] * b[..., 0] * math.nan, "giou_loss")
    assert nan.mistake == "not a finite number"


def test_what_never_ends_is_stopped():
    start = time.perf_counter()
    answer = check(encoder_that(looping), time_limit=1)
    assert answer.mistake == "no end" and "1 s" in answer.message
    assert time.perf_counter() - start < 30


def test_a_loop_is_stopped_and_a_quick_call_is_not():
    with pytest.raises(TimeUp):
        run_limited(lambda: [None for _ in iter(int, 1)], 0.2)
    assert run_limited(lambda: 3, 5) == 3
    with pytest.raises(SystemExit):
        run_limited(exit, 5)


def test_a_constructor_that_fails_is_explained():
    class Forgets(Step3):
        def __init__(self, **kwargs):
            self.layer = nn.Linear(1, 1)

    class Refuses(Step3):
        def __init__(self, enc_layers=6):
            super().__init__()
            self.layers = enc_layers

    assert check(Forgets).mistake == "constructor of the parent not called"
    answer = check(Refuses)
    assert answer.mistake == "arguments not passed on"
    assert "it cannot be built" in answer.message


def test_new_arguments_that_go_on_to_the_parent_are_told_from_old_ones_that_do_not():
    class Passes(Step7):
        def compute_loss(self, outputs, targets):
            return torch.tensor(0.0)

    class Misuses(Step3):
        def __init__(self, **kwargs):
            super().__init__()
            self.encoder = nn.Linear(1, 1, width=3)

    unknown = "an argument that is not known"
    answer = check(Passes)
    assert answer.mistake == "new arguments not taken" and "'w_class'" in answer.message
    assert "in the line" not in answer.message  # none of the learner's has to do with it
    answer = check(Misuses)
    assert answer.mistake == unknown and "nn.Linear(1, 1, width=3)" in answer.message
    answer = check(lambda a, b: nn.Linear(1, 1, width=3), "box_iou")
    assert answer.mistake == unknown and "'width'" in answer.message


def test_an_argument_of_ones_own_that_the_backbone_does_not_know_is_not_named():
    class Misspells(Step3):
        def __init__(self, **kwargs):
            super().__init__(dilate=True)
            self.encoder = nn.Identity()

    class TakesAll(ResNetFPN):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

        def forward(self, images):
            return build_backbone(width=3)(images)

    answer = check(Misspells)
    assert answer.mistake == "an argument that is not known" and "'dilate'" in answer.message
    answer = check(TakesAll, "ResNetFPN")
    assert answer.mistake == "an argument that is not known" and "'width'" in answer.message


class TwoDecoders(Step5):
    """Builds the parent's decoder, and throws it away for another one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.decoder = TransformerDecoder(len(self.decoder.layers), *self.layer_args)


class Registered(Step5):
    """Keeps one decoder under two names."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.layers = nn.ModuleList(self.decoder.layers)


class Copied(Step4):
    """PyTorch's decoder, which copies the layer that it gets."""

    def __init__(self, dec_layers, **kwargs):
        super().__init__(**kwargs)
        layer = nn.TransformerDecoderLayer(*self.layer_args, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, dec_layers)


@pytest.mark.parametrize(
    ("model", "once"), [(Step6, True), (Registered, True), (Copied, True), (TwoDecoders, False)]
)
def test_a_decoder_that_is_built_and_not_kept_is_seen(model, once):
    assert built_once(lambda: model(**TASKS["Step6"].arguments())) == {BUILT_ONCE: once}


def test_nothing_is_watched_any_more_after_an_error():
    hooks = dict(torch.nn.modules.module._global_module_registration_hooks)
    with pytest.raises(TypeError, match="missing"):
        built_once(Copied)
    assert torch.nn.modules.module._global_module_registration_hooks == hooks


def copies_of(work):
    """Whether `work(outputs, targets)` is found to copy no more for more images."""
    (once,) = count_copies(work, (1, 1), (3, 1)).values()
    return once


def test_only_predictions_are_copied_to_the_cpu():
    def boxes(outputs):
        return outputs["bbox_pred"].detach()

    assert copies_of(lambda outputs, targets: boxes(outputs).cpu())
    assert copies_of(lambda outputs, targets: [target["boxes"].cpu() for target in targets])
    assert copies_of(lambda outputs, targets: [t["boxes"].to(boxes(outputs)) for t in targets])
    assert copies_of(lambda outputs, targets: [b.to(b.device) for b in boxes(outputs)])
    assert not copies_of(lambda outputs, targets: [b.cpu() for b in boxes(outputs)])
    assert not copies_of(lambda outputs, targets: [b.to("cpu") for b in boxes(outputs)])
    assert not copies_of(lambda outputs, targets: [b.to(device="cpu") for b in boxes(outputs)])


def test_nothing_is_named_that_was_not_seen():
    class Ends(Step3):
        def __init__(self, **kwargs):
            super().__init__()
            raise SystemExit(3)

    class KeepsNothing(Step3):
        def __init__(self, **kwargs):
            super().__init__()
            self.encoder = nn.ModuleList()

    assert check(Ends).mistake is None
    answer = check(KeepsNothing)
    assert answer.mistake == "something is missing from the result"
    assert "the result['mem']: nothing: it is missing" in answer.message


def test_what_shows_first_is_named():
    class FirstQueries(Step6):
        def __init__(self, cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, **kwargs):
            super().__init__(**kwargs)

        def match(self, outputs, targets):  # by no cost, and without a check of the targets
            return [(torch.arange(len(target["labels"])),) * 2 for target in targets]

    answer = check(FirstQueries)
    assert "twelve images" in answer.message and answer.mistake is None


def test_pytorchs_decoder_on_sums_is_named():
    class MyStep5(Step4):
        def __init__(self, dec_layers=6, **kwargs):
            super().__init__(**kwargs)
            layer = nn.TransformerDecoderLayer(*self.layer_args, batch_first=True)
            self.decoder = nn.TransformerDecoder(layer, dec_layers, nn.LayerNorm(self.emb_dim))

        def decode(self, context):
            queries = super().decode(context) + context["query_pos"]
            mem, padding = context["mem"] + context["mem_pos"], context.get("padding_mask")
            padding = None if padding is None else padding.flatten(1)
            return self.decoder(queries, mem, memory_key_padding_mask=padding)

    assert check(MyStep5).mistake == "all positions added at the input"


def test_a_loop_in_a_constructor_is_no_stub():
    class Waits(Step3):
        def __init__(self, **kwargs):
            super().__init__()
            while True:
                pass

    assert check(Waits, time_limit=1).mistake == "no end"


@pytest.mark.parametrize("keep", [list, lambda layers: dict(enumerate(layers))])
def test_layers_in_a_plain_list_are_named(keep):
    class MyFPN(FPN):
        def __init__(self, in_channels, emb_dim=256):
            nn.Module.__init__(self)
            self.lateral = keep(nn.Conv2d(c, emb_dim, 1) for c in in_channels.values())
            self.output = nn.ModuleList(nn.Conv2d(emb_dim, emb_dim, 3) for _ in in_channels)

    answer = check(MyFPN, "FPN")
    assert answer.mistake == "layers in a plain list" and "[20, 8, 1, 1]" in answer.message


def test_parameters_that_cannot_be_copied_are_told():
    class Wider(FPN):
        def __init__(self, in_channels, emb_dim=256):
            super().__init__(in_channels, emb_dim)
            self.extra = nn.Linear(2, 3)

    answer = check(Wider, "FPN")
    assert "parameters" in answer.message and "[3, 2], [3]" in answer.message


def test_a_change_of_the_inputs_is_named():
    def my_corners(boxes):
        with torch.no_grad():
            boxes[..., :2] -= boxes[..., 2:] / 2
        return torch.cat((boxes[..., :2], boxes[..., :2] + boxes[..., 2:]), -1)

    assert check(my_corners, "box_cxcywh_to_xyxy").mistake == "inputs changed in place"


@pytest.mark.parametrize(("name", "change"), SLOWER)
def test_what_is_right_but_slower_passes_with_a_remark(name, change):
    old, new, *more, mistake = change
    answer = check(write(ATTEMPTS[name][0], (old, new), *(more[0] if more else ())), name)
    assert answer.passed and f"Remark ({mistake}): " in answer.message, answer


ENDS = {
    "a loop in C": ("collections.deque(itertools.count(), maxlen=0)", "no end", "1 s"),
    "an exit": ("os._exit(3)", "process ended", "exit code 3"),
    "a fault": ("os.kill(os.getpid(), signal.SIGSEGV)", "process ended", "SIGSEGV"),
}


@pytest.mark.skipif(not can_be_copied(), reason="needs copies of a process")
@pytest.mark.parametrize("end", ENDS)
def test_whatever_an_attempt_does_the_notebook_goes_on(end):
    line, mistake, text = ENDS[end]
    namespace = {"collections": collections, "itertools": itertools, "os": os, "signal": signal}
    exec(f"def my_corners(boxes):\n    {line}", namespace)
    answer = check(namespace["my_corners"], "box_cxcywh_to_xyxy", time_limit=1)
    assert answer.mistake == mistake and text in answer.message, answer


def test_no_copy_is_made_beside_a_gpu_on_macos_or_without_fork(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr("sys.platform", "linux")
    assert can_be_copied() == hasattr(os, "fork")
    with monkeypatch.context() as changed:
        changed.setattr("sys.platform", "darwin")
        assert not can_be_copied()
    with monkeypatch.context() as changed:
        changed.delattr(os, "fork", raising=False)
        assert not can_be_copied()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert not can_be_copied()


def test_where_no_copy_can_be_made_a_thread_has_to_do(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert not can_be_copied()
    assert check(Step4).passed
    with pytest.raises(TimeUp):
        run_limited(lambda: [None for _ in iter(int, 1)], 0.2)
    with pytest.raises(SystemExit):
        run_limited(exit, 5)


@pytest.mark.skipif(not can_be_copied(), reason="needs copies of a process")
def test_what_cannot_be_handed_over_is_said():
    with pytest.raises(RuntimeError, match="cannot be handed over"):
        run_limited(lambda: lambda: 0, 5)


def test_a_chain_of_own_steps_is_judged_by_the_name_of_its_last_one():
    first = type("MyStep2", (Step2,), {"__module__": "learner"})
    second = write(ATTEMPTS["Step3"][0], Step2=first)
    assert second.__mro__[1] is first
    answer = check(second)
    assert answer.passed and "It does what Step3 does" in answer.message, answer
    nameless = type("Decoded", (second,), {"size": 0, "__module__": "learner"})
    assert "which step is it?" in check(nameless).message
    assert check(nameless, "Step3").passed


def test_hints_grow_stronger():
    attempt = write(ATTEMPTS["box_iou"][0], ("x.clamp(min=0) * y.clamp(min=0)", "x * y"))
    first, second, third = (check(attempt, "box_iou", hint=hint).message for hint in (1, 2, 3))
    mistake = next(m for m in TASKS["box_iou"].mistakes if m.name == "overlap below zero")
    assert mistake.hint in first and mistake.stronger not in first
    assert mistake.stronger in second
    assert "+    return ratio(intersection, union)" in third
    assert "return ratio(" not in first + second


def test_the_same_question_gets_the_same_answer():
    attempt = write(ATTEMPTS["Step4"][0], (".relu()", ""))
    torch.manual_seed(1)
    first = check(attempt)
    torch.manual_seed(2)
    assert check(attempt) == first


def test_checking_leaves_no_trace():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            assert check(Step4).passed
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_counts_as_the_same():
    assert same(torch.ones(3), torch.ones(3) + 1e-4) and not same(torch.ones(3), torch.ones(4))
    assert not same(torch.ones(3), torch.ones(3) + 1e-2)
    assert not same(torch.ones(3), torch.ones(3).double()) and not same(1, True)
    assert same(torch.tensor(torch.inf), torch.tensor(torch.inf))
