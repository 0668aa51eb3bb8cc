"""The trainer's parts on their own: who owns a cell, the queries of a warm start, one step."""

import signal

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from detr_steps.training import trainer as module
from detr_steps.training.batches import StepSampler
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import (
    DenseDetector,
    Settings,
    Stage,
    Stopped,
    Trainer,
    dense_owners,
    dense_pairs,
    ignore_signals,
    spread_positions,
)


def small_run(data=None, choose=None, **changes):
    """A trainer of a small model on a few scenes, which are chosen on if there are some."""
    settings = Settings(**{"steps": 2, "pretrain_steps": 1, "batch_size": 2} | changes)
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    return Trainer(small_detr(6), data or Scenes(4), choose, settings, accelerator=accelerator)


def test_a_cell_on_the_border_of_a_box_is_the_boxes_and_one_outside_is_nobodys():
    target = {"boxes": torch.tensor([[0.5, 0.375, 0.25, 0.5]])}
    owners = dense_owners([target], torch.ones(1, 4, 4, dtype=torch.bool))
    column = [-1, 0, 0, -1]
    assert owners.view(4, 4).tolist() == [column, column, column, [-1] * 4]
    assert owners.dtype == torch.int64


def test_each_map_has_its_target():
    target = {"boxes": torch.tensor([[0.5, 0.5, 1.0, 1.0]])}
    maps = torch.ones(2, 2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="shorter"):
        dense_owners([target], maps)
    both = dense_owners([target, {"boxes": torch.zeros(0, 4)}], maps)
    assert both.tolist() == [[0] * 4, [-1] * 4]
    (cells, owners), (none, _) = dense_pairs(both)
    assert cells.tolist() == [0, 1, 2, 3] and owners.tolist() == [0] * 4 and not len(none)


def test_queries_begin_in_every_part_of_the_image():
    model = small_detr(6)
    positions = spread_positions(model)
    assert positions.shape == (len(model.queries), model.emb_dim)
    grid = model.position_embedding(torch.zeros(1, 1, 100, 100))[0]
    cells = torch.cdist(positions.detach(), grid.flatten(1).T).argmin(1)
    y, x = cells // 100, cells % 100
    assert torch.equal(positions, grid[:, y, x].T)
    quarters = torch.bincount(2 * (y // 50) + x // 50, minlength=4)
    assert quarters.tolist() == [len(positions) // 4] * 4


def test_without_the_decoder_the_cells_alone_answer():
    torch.manual_seed(0)
    model, images = small_detr(6).eval(), torch.zeros(1, 3, 24, 24)
    outputs = DenseDetector(model)(images)
    assert not {"cells", "decoded"} & set(outputs)
    more = DenseDetector(model, decoder=True)(images)
    assert outputs["bbox_pred"].shape[1] < len(model.queries)  # so that cells are drawn twice
    assert more["cells"].shape == (1, len(model.queries))
    assert more["cells"].max() < outputs["bbox_pred"].shape[1]
    assert more["decoded"]["bbox_pred"].shape[-2] == len(model.queries)


def test_a_process_that_reads_images_ignores_both_signals():
    both = signal.SIGINT, signal.SIGTERM
    before = [signal.getsignal(number) for number in both]
    try:
        ignore_signals(0)
        assert [signal.getsignal(number) for number in both] == [signal.SIG_IGN] * 2
    finally:
        for number, handler in zip(both, before, strict=True):
            signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_end_says_by_which_signal(number):
    trainer = small_run(pretrain_steps=0)
    trainer.report = lambda *_: setattr(trainer, "stop", number)
    with pytest.raises(Stopped, match=r"^stopped after step 2 of train; ") as stopped:
        trainer.run()
    assert stopped.value.number == number


def test_a_run_that_another_process_was_asked_to_end_ends_as_by_a_key():
    trainer = small_run(pretrain_steps=0)
    trainer.accelerator.reduce = lambda both, how: torch.tensor([1.0, 0.5])
    with pytest.raises(Stopped) as stopped:
        trainer.run()
    assert stopped.value.number == signal.SIGINT and trainer.losses == [(1, 1.0)]


class OfTwoSizes(Scenes):
    """Scenes, every other one cut in half."""

    def __getitem__(self, index):
        image, target = super().__getitem__(index)
        return (image[:, :64] if index % 2 else image), target


@pytest.mark.parametrize(("data", "flips"), [(Scenes(4), 3), (OfTwoSizes(2), 0)])
def test_images_of_one_size_are_mirrored_here_and_others_by_their_data(monkeypatch, data, flips):
    calls = []

    def flip(images, targets, which):
        calls.append(which)
        return images, targets

    monkeypatch.setattr(module, "flip_some", flip)
    small_run(data).run()
    assert len(calls) == flips and all(len(which) == 2 for which in calls)


def test_a_warm_start_of_one_step_has_a_schedule_of_one_step():
    assert small_run().pretrain_stage().scheduler.total_steps == 1
    assert small_run(pretrain_steps=7).pretrain_stage().scheduler.total_steps == 7


LR = 0.5


def one_step(module, loss_of):
    """A stage of one step of plain gradient descent."""
    optimizer = torch.optim.SGD(module.parameters(), LR)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    return Stage("train", 1, module, loss_of, optimizer, scheduler)


@pytest.mark.parametrize("accumulate", [1, 2, 3, 5])
def test_a_batch_in_parts_makes_the_step_of_the_whole_batch(accumulate):
    """The mean of five numbers, whose gradient is known; the parts may differ in size."""
    seen = []

    def loss_of(line, images, mask, targets):
        assert (mask is None) and len(images) == len(targets)
        seen.extend(targets)
        return line(images).mean()

    line = nn.Linear(1, 1, bias=False)
    nn.init.ones_(line.weight)
    stage = one_step(line, loss_of)
    trainer = small_run(accumulate=accumulate, batch_size=5, clip=1e9)
    images = torch.tensor([[1.0], [2], [3], [4], [10]])
    loss = trainer.update(stage, line, images, None, [*"abcde"])
    assert seen == [*"abcde"] and loss.item() == pytest.approx(4)
    lr = LR / 3  # what `ConstantLR` begins with
    assert line.weight.item() == pytest.approx(1 - lr * 4)


def test_a_part_of_a_batch_has_its_part_of_the_mask():
    masks = []

    def loss_of(line, images, mask, targets):
        masks.append(mask[:, 0].tolist())
        return line(images).mean()

    line = nn.Linear(1, 1)
    stage = one_step(line, loss_of)
    mask = torch.tensor([[True], [False], [True], [True]])
    trainer = small_run(accumulate=2, batch_size=4)
    trainer.update(stage, line, torch.ones(4, 1), mask, [*"abcd"])
    assert masks == [[True, False], [True, True]]


def test_what_is_watched_is_of_the_last_layer_of_the_last_batch():
    trainer = small_run()
    assert trainer.watch() == {}
    torch.manual_seed(0)
    images = torch.rand(2, 3, 64, 64)
    boxes = torch.tensor([[0.5, 0.5, 0.25, 0.25], [0.25, 0.25, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    targets = [
        {"labels": torch.tensor([1, 2, 0]), "boxes": boxes},
        {"labels": torch.tensor([5]), "boxes": boxes[:1]},
    ]
    loss = trainer.set_loss(trainer.model, images, None, targets)
    logits = trainer.last_batch[0]["class_logits"].detach().clone()
    logits[0, :3, 6] = logits[1, 7, 6] = 99.0
    outputs = trainer.last_batch[0] | {"class_logits": logits}
    trainer.last_batch = outputs, targets
    expected = trainer.model.loss_terms(outputs, targets)[-1]
    watched = trainer.watch()
    assert watched.pop("no_object") == pytest.approx(4 / 32)
    assert watched.pop("empty") == pytest.approx(28 / 32)
    assert watched == pytest.approx({name: value.item() for name, value in expected.items()})
    assert loss.requires_grad


def test_a_run_evaluates_and_saves_when_it_is_due(monkeypatch):
    kept = []
    monkeypatch.setattr(
        Trainer, "evaluate_and_keep", lambda self, done: kept.append(("evaluate", done))
    )
    monkeypatch.setattr(Trainer, "save", lambda self, stage, done: kept.append((stage.name, done)))
    steps = {"steps": 7, "pretrain_steps": 5, "evaluate_every": 3, "save_every": 2}
    trainer = small_run(choose=Scenes(2, "choose"), **steps)
    trainer.run()
    assert kept == [
        *(("pretrain", 2), ("pretrain", 4), ("pretrain", 5), ("train", 2), ("evaluate", 3)),
        *(("train", 4), ("evaluate", 6), ("train", 6), ("evaluate", 7), ("train", 7)),
    ]
    assert [step for step, _ in trainer.losses] == list(range(-4, 8))  # the warm start ends at 0


def test_the_warm_start_sees_the_scenes_in_another_order():
    trainer = small_run(seed=3)
    orders = [list(trainer.make_sampler(name, 0, 9)) for name in ("train", "pretrain")]
    assert orders == [list(StepSampler(4, 2, 0, 9, seed)) for seed in (3, 4)]
