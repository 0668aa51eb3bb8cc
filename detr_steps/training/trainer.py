"""Training: a dense warm start, then DETR's set loss."""

import math
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..inputs import read_layers
from ..reading import one_line
from ..step7_hungarian_matching import Pairs
from ..step8_set_loss import Step8, mean_over_processes
from .batches import SeededItems, StepSampler, Target, collate, flip_some, mixed_seed
from .checkpoints import CHECKPOINT, check_form, load_checkpoint, save_checkpoint
from .detectors import save_detector
from .evaluation import METRICS, evaluate
from .sizes import sizes_of

BEST = "best.safetensors"
SLOW_PARTS = {  # what the weights at hand know already: after the warm start, and in DETR
    "small": ("backbone", "fpn", "encoder"),
    "medium": ("backbone", "fpn", "encoder"),
    "full": ("backbone",),
}


@dataclass(frozen=True)
class Settings:
    """What a training run is decided by, beside its data.

    `warm_lr` is the learning rate of what has learnt before the set loss, `SLOW_PARTS`; `lr` is
    that of the rest. `warm_decoder` lets the warm start train the decoder, too, and the queries
    begin spread over the image. A batch goes through the model in `accumulate` parts, one after the
    other, which takes less memory.
    """

    steps: int = 9500
    pretrain_steps: int = 2000
    warm_decoder: bool = False
    batch_size: int = 8
    accumulate: int = 1
    lr: float = 2e-3
    warm_lr: float = 3e-4
    pretrain_lr: float = 2e-3
    weight_decay: float = 1e-4
    warmup: int = 100
    clip: float = 0.1
    seed: int = 0
    evaluate_every: int = 1000
    save_every: int = 250

    def __post_init__(self):
        for name, value in asdict(self).items():
            least = 1 if name in ("batch_size", "accumulate", "evaluate_every", "save_every") else 0
            if not least <= value < math.inf or (name == "clip" and value == 0):
                above = "above 0" if name == "clip" else f"from {least} on"
                raise ValueError(f"{name}: expected a finite number {above}, found {value}")


FINE_TUNING = Settings(  # of official weights: DETR, section 4, but for steps and batches
    steps=5000,
    pretrain_steps=0,
    batch_size=4,
    lr=1e-4,
    warm_lr=1e-5,
    warmup=1,
    evaluate_every=500,
    save_every=100,
)
PHOTOGRAPHS = Settings(
    steps=3000, pretrain_steps=1500, warm_decoder=True, lr=1e-3, evaluate_every=1000
)
PRESETS = {"small": Settings(), "medium": PHOTOGRAPHS, "full": FINE_TUNING}


def dense_owners(targets: Sequence[Target], inside: Tensor) -> Tensor:
    """Which object each cell of a map answers for: the smallest box over the cell's centre.

    Args:
        targets: see `Step7.match`.
        inside: True for cells that are not padding, bool [B, H', W']; rows and columns are counted
            as `PositionEmbedding2D` does.

    Returns:
        Target index of each cell, or -1, int64 [B, H'W'].
    """
    owners = torch.full(inside.shape, -1)
    for owner, target, cells in zip(owners, targets, inside, strict=True):
        y, x = (
            (torch.arange(len(used)) + 0.5) / used.sum() for used in (cells.any(1), cells.any(0))
        )
        cx, cy, w, h = target["boxes"].unbind(-1)
        for j in (w * h).argsort(descending=True):
            covered = ((y - cy[j]).abs() <= h[j] / 2)[:, None] & ((x - cx[j]).abs() <= w[j] / 2)
            owner[covered] = j
    return owners.flatten(1)


def dense_pairs(owners: Tensor) -> list[Pairs]:
    """Owners [B, K], or -1, as pairs of each image: (index [M], target index [M])."""
    indices = [(owner >= 0).nonzero()[:, 0] for owner in owners]
    return [(index, owner[index]) for index, owner in zip(indices, owners, strict=True)]


def inside_cells(context: Mapping[str, Tensor]) -> Tensor:
    """Which cells of a context's map are not padding, bool [B, H', W']."""
    if "padding_mask" in context:
        return ~context["padding_mask"]
    return torch.ones_like(context["features"][:, 0], dtype=torch.bool)


def spread_positions(model: Step8) -> Tensor:
    """Query positions [N, D] as cells have them that are spread evenly over an image."""
    fine = 100  # cells along each side
    points = torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(len(model.queries))
    y, x = (points * fine).long().unbind(-1)
    return model.position_embedding(torch.zeros(1, 1, fine, fine))[0, :, y, x].T


class DenseDetector(nn.Module):
    """A model whose two heads read each cell of the memory, without the decoder or beside it.

    Args:
        model: the model, whose parts are shared.
        decoder: whether the decoder is asked as well: each of its queries then has the position of
            some cell.
    """

    def __init__(self, model: Step8, decoder: bool = False):
        super().__init__()
        parts = [model.backbone, model.fpn, model.encoder, model.class_head, model.bbox_head]
        self.parts = nn.ModuleList([*parts, model.decoder] if decoder else parts)
        self.encode, self.decode, self.predict = model.encode, model.decode, model.predict
        self.asked = len(model.queries) if decoder else 0

    def forward(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Any]:
        """Images [B, 3, H, W] -> class_logits [B, H'W', C+1], bbox_pred [B, H'W', 4], context.

        With the decoder also the `cells` [B, N] that the queries stand for, drawn at random, and
        what is `decoded` for them, as Step8 returns it.
        """
        context = self.encode(images, padding_mask)
        outputs = {**self.predict(context["mem"][None]), **context}
        if self.asked:
            weights = inside_cells(context).flatten(1).float()
            cells = torch.multinomial(weights, self.asked, replacement=True)
            positions = context["mem_pos"].take_along_dim(cells[..., None], 1)
            decoded = self.predict(self.decode({**context, "query_pos": positions}))
            outputs |= {"cells": cells, "decoded": decoded}
        return outputs


def schedule(settings: Settings) -> Callable[[int], float]:
    """Linear warm-up, then a cosine down to zero: the factor of the learning rate at a step."""

    def factor(step: int) -> float:
        rise = min(1.0, (step + 1) / max(settings.warmup, 1))
        return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(settings.steps, 1))))

    return factor


def load_steps_of(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Loads what an optimizer has learnt of its steps, after a check of kinds and shapes.

    Raises:
        Exception: of many classes; the state is of another optimizer.
    """
    before = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict(state)
    check_form(before, optimizer.state_dict()["param_groups"], "optimizer")
    for parameter, steps in optimizer.state.items():
        moments = dict.fromkeys(("exp_avg", "exp_avg_sq"), parameter)
        check_form({"step": torch.tensor(0.0), **moments}, steps, "optimizer")


@dataclass
class Stage:
    """One of the two stages of a run: what is trained, by what, and for how long.

    Args:
        name: "pretrain" or "train".
        steps: of the whole stage.
        module: what is trained.
        loss_of: module, images, padding mask and targets -> loss.
        optimizer: of the module's parameters.
        scheduler: of the optimizer's learning rates.
    """

    name: str
    steps: int
    module: nn.Module
    loss_of: Callable[..., Tensor]
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler


class Stopped(KeyboardInterrupt):
    """A run was asked to end, and is saved.

    Args:
        message: for the user.
        number: of the signal that asked.
    """

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


def ignore_signals(worker: int) -> None:
    """Lets a process that reads images outlive a request to end all: the run is saved first."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class Trainer:
    """Trains a Step8 on a data set; a run that was stopped goes on where its last checkpoint was.

    Args:
        model: the model, changed in place.
        dataset: items (image, target), with `classes` and `short_side`, as `Scenes` has them.
        choose: data that the best weights are chosen on, with `large` as `Scenes` has it; None
            evaluates nothing.
        settings: see `Settings`.
        folder: where checkpoints and weights are kept; None keeps nothing.
        accelerator: of Hugging Face Accelerate; decides devices, processes and precision.
        report: called after each step with the stage, the step, the steps and the loss.
        workers: processes that read images, beside this one; 0 reads them here.
        origin: what decides the run beside settings and data, such as the weights it starts from.

    `history` has the scores of each evaluation, with its "step", and `losses` the loss of each
    step, as (step, loss); the warm start ends with step 0.

    Set `stop` to the number of a signal to end a run after its current step: it is saved, and
    `Stopped` is raised.
    """

    def __init__(
        self,
        model: Step8,
        dataset: Dataset,
        choose: Dataset | None,
        settings: Settings,
        folder: Path | None = None,
        accelerator: Accelerator | None = None,
        report: Callable[[str, int, int, float], None] = lambda *_: None,
        workers: int = 0,
        origin: Mapping[str, Any] | None = None,
    ):
        self.accelerator = accelerator or Accelerator()
        self.model, self.dataset, self.choose = model, dataset, choose
        self.settings, self.folder, self.report = settings, folder, report
        self.workers = workers
        self.history: list[dict[str, float]] = []
        self.losses: list[tuple[int, float]] = []
        self.last_batch: tuple | None = None
        self.stop = 0
        self.decided_by = {
            **asdict(settings),
            "training data": getattr(dataset, "identity", None),
            "data to choose on": getattr(choose, "identity", None),
            "precision": self.accelerator.mixed_precision,
            **(origin or {}),
        }

    def check(self) -> None:
        """Refuses a run that cannot begin or go on, before anything is written.

        Raises:
            ValueError: the data has too few images, or the folder holds another run, or a
                checkpoint that this one cannot go on from.
        """
        self.make_sampler("train", 0, 0)
        state = load_checkpoint(self.folder, self.decided_by) if self.folder else None
        if state is not None:
            of_name = {"pretrain": self.pretrain_stage, "train": self.train_stage}
            self.restore(of_name[state["stage"]](), state)

    def run(self) -> Step8:
        """Both stages, from the last checkpoint if there is one; returns the trained model."""
        settings = self.settings
        state = load_checkpoint(self.folder, self.decided_by) if self.folder else None
        set_seed(settings.seed)
        self.model.to(self.accelerator.device, memory_format=torch.channels_last).train()
        if self.accelerator.num_processes > 1 and self.accelerator.device.type == "cuda":
            # each process would normalise by its own share; PyTorch has this for GPUs only
            self.model.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(self.model.backbone)
        if state is None or state["stage"] == "pretrain":
            if settings.warm_decoder and settings.pretrain_steps:  # no part of what is saved there
                self.model.query_pos.data.copy_(spread_positions(self.model))
            self.stage(self.pretrain_stage(), state)
            state = None
        self.stage(self.train_stage(), state)
        return self.model

    def pretrain_stage(self) -> Stage:
        """The dense warm start: of all but the decoder, or of all but the queries."""
        settings = self.settings
        detector = DenseDetector(self.model, settings.warm_decoder)
        optimizer = torch.optim.AdamW(
            detector.parameters(),
            settings.pretrain_lr,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.pretrain_lr, max(settings.pretrain_steps, 1)
        )
        steps = settings.pretrain_steps
        return Stage("pretrain", steps, detector, self.dense_loss, optimizer, scheduler)

    def train_stage(self) -> Stage:
        """The training of the whole model with DETR's set loss."""
        settings = self.settings
        model = self.model
        slow = SLOW_PARTS[sizes_of(model)["kind"]]
        warm = [p for part in slow for p in model.get_submodule(part).parameters()]
        known = {id(p) for p in warm}
        rest = [p for p in model.parameters() if id(p) not in known]
        optimizer = torch.optim.AdamW(
            [{"params": rest}, {"params": warm, "lr": settings.warm_lr}],
            settings.lr,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule(settings))
        return Stage("train", settings.steps, self.model, self.set_loss, optimizer, scheduler)

    def stage(self, stage: Stage, state: dict | None) -> None:
        """One stage: its steps, from the state of its last checkpoint if there is one."""
        start = 0 if state is None else self.restore(stage, state)
        self.model.zero_grad()  # the warm start leaves some on the queries, which it does not train
        wrapped, stage.optimizer = self.accelerator.prepare(stage.module, stage.optimizer)
        sampler = self.make_sampler(stage.name, start, stage.steps)
        items = SeededItems(self.dataset, sampler.seed)
        loader = DataLoader(
            items,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=self.workers,
            worker_init_fn=ignore_signals,
        )
        for step, (images, mask, targets) in enumerate(loader, start):
            torch.manual_seed(mixed_seed(sampler.seed, step, self.accelerator.process_index))
            if mask is None:  # a data set of many sizes mirrors its images itself
                images, targets = flip_some(images, targets, sampler.flips(step))
            loss = self.update(stage, wrapped, images, mask, targets)
            self.finish_step(stage, step + 1, loss)

    def finish_step(self, stage: Stage, done: int, loss: Tensor) -> None:
        """Reports a step and keeps what is due; ends the run if that is asked for, or without hope.

        Raises:
            ValueError: the loss is NaN or infinite.
            Stopped: `stop` was set; the run is saved.
        """
        both = torch.stack((loss, loss.new_tensor(float(self.stop > 0))))
        loss, stop = self.accelerator.reduce(both, "mean").tolist()
        if not math.isfinite(loss):
            raise ValueError(
                f"loss: expected a finite number at step {done} of {stage.name}, found {loss}; "
                "begin again in another folder, with --lr and --warm-lr halved"
            )
        before = stage.steps if stage.name == "pretrain" else 0
        self.losses.append((done - before, loss))
        self.report(stage.name, done, stage.steps, loss)
        self.keep(stage, done)
        if stop:
            self.save(stage, done)
            raise Stopped(
                f"stopped after step {done} of {stage.name}; the same command goes on",
                self.stop or signal.SIGINT,  # where another process of the run was asked
            )

    def restore(self, stage: Stage, state: dict) -> int:
        """Brings a stage to where its checkpoint was; returns the steps that are done.

        Raises:
            ValueError: the checkpoint does not fit the stage; names the file.
        """
        try:
            check_form(stage.module.state_dict(), state["module"], "module")
            stage.module.load_state_dict(state["module"])
            load_steps_of(stage.optimizer, state["optimizer"])
            before = stage.scheduler.state_dict()
            check_form(before, state["scheduler"], "scheduler")
            stage.scheduler.load_state_dict({name: state["scheduler"][name] for name in before})
            if self.accelerator.scaler is not None:
                self.accelerator.scaler.load_state_dict(state["scaler"])
        except Exception as error:  # torch raises many classes on what it did not write
            reason = one_line(f"{type(error).__name__}: {error}")
            file = self.folder / CHECKPOINT
            raise ValueError(f"{file}: expected a checkpoint of this run: {reason}") from error
        self.history, self.losses = list(state["history"]), list(state["losses"])
        return state["step"]

    def make_sampler(self, name: str, start: int, steps: int) -> StepSampler:
        """The batches of a stage that this process sees, from the step `start` on."""
        return StepSampler(
            len(self.dataset),
            self.settings.batch_size,
            start,
            steps,
            self.settings.seed + (name == "pretrain"),
            self.accelerator.process_index,
            self.accelerator.num_processes,
        )

    def update(
        self, stage: Stage, wrapped: nn.Module, images: Tensor, mask: Tensor | None, targets: list
    ) -> Tensor:
        """One step of the optimizer; returns the loss before it."""
        accelerator = self.accelerator
        images = images.to(accelerator.device)
        mask = None if mask is None else mask.to(accelerator.device)
        loss = images.new_zeros(())
        for part in torch.arange(len(images)).chunk(self.settings.accumulate):
            chosen = slice(int(part[0]), int(part[-1]) + 1)
            with accelerator.autocast():
                one = stage.loss_of(
                    wrapped, images[chosen], None if mask is None else mask[chosen], targets[chosen]
                )
            one = one * len(part) / len(images)
            accelerator.backward(one)
            loss += one.detach()
        accelerator.clip_grad_norm_(wrapped.parameters(), self.settings.clip)
        stage.optimizer.step()
        stage.scheduler.step()
        stage.optimizer.zero_grad()
        return loss

    def keep(self, stage: Stage, done: int) -> None:
        """Where they are due after so many steps: evaluation, best weights, checkpoint."""
        last = done == stage.steps
        due = last or done % self.settings.evaluate_every == 0
        if due and stage.name == "train" and self.choose is not None:
            self.evaluate_and_keep(done)
        if last or done % self.settings.save_every == 0:
            self.save(stage, done)

    def save(self, stage: Stage, done: int) -> None:
        """Replaces the last checkpoint."""
        if self.folder and self.accelerator.is_main_process:
            scaler = self.accelerator.scaler  # of the loss, in fp16 alone
            state = {
                "stage": stage.name,
                "step": done,
                "module": stage.module.state_dict(),
                "optimizer": stage.optimizer.state_dict(),
                "scheduler": stage.scheduler.state_dict(),
                "scaler": {} if scaler is None else scaler.state_dict(),
                "history": self.history,
                "losses": self.losses,
                "run": self.decided_by,
            }
            save_checkpoint(self.folder, state)
        self.accelerator.wait_for_everyone()

    def evaluate_and_keep(self, step: int) -> None:
        """Evaluates on the data to choose on, and keeps the weights if they are the best so far."""
        result = {"step": step, **evaluate(self.model, self.choose, self.accelerator)}
        known = {f"choose/{name}": result[k] for k, name in METRICS.items() if result[k] >= 0}
        self.accelerator.log(known, step=step)  # to the trackers, if there are any
        best = max((past["map"] for past in self.history), default=-1.0)
        self.history.append(result)
        if self.folder and result["map"] > best and self.accelerator.is_main_process:
            notes = {
                "settings": str(self.settings),
                "step": str(step),
                "AP": f"{result['map']:.1f}",
            }
            data = self.dataset
            save_detector(self.model, self.folder / BEST, data.classes, data.short_side, notes)

    def dense_loss(self, detector: nn.Module, images: Tensor, mask, targets) -> Tensor:
        """DETR's loss, summed over the layers that answer, where each cell's object is given."""
        outputs = detector(images, mask)
        owners = dense_owners(targets, inside_cells(outputs).cpu())
        loss = self.owned_loss(outputs, owners, targets)
        if "decoded" in outputs:
            owners = owners.take_along_dim(outputs["cells"].cpu(), 1)
            for layer in read_layers(outputs["decoded"], self.model.num_classes):
                loss = loss + self.owned_loss(layer, owners, targets)
        return loss

    def owned_loss(self, layer: Mapping[str, Tensor], owners: Tensor, targets) -> Tensor:
        """DETR's loss of one layer, where `owners` [B, K] says which object each prediction has."""
        model, pairs = self.model, dense_pairs(owners)
        count = layer["bbox_pred"].new_tensor(int((owners >= 0).sum()))
        num_boxes = mean_over_processes(count).clamp(min=1)
        terms = model.layer_terms(layer, pairs, targets, num_boxes)
        boxes = model.w_bbox * terms["bbox"] + model.w_giou * terms["giou"]
        return model.w_class * terms["class"] + boxes

    def set_loss(self, model: nn.Module, images: Tensor, mask, targets) -> Tensor:
        """DETR's loss."""
        outputs = model(images, padding_mask=mask)
        self.last_batch = outputs, targets
        return self.model.compute_loss(outputs, targets)

    @torch.no_grad()
    def watch(self) -> dict[str, float]:
        """What to keep an eye on, of the last batch and decoder layer; nothing before the set loss.

        "class", "bbox" and "giou" are the terms of the loss, "no_object" the share of queries that
        say so, and "empty" the share that should.
        """
        if self.last_batch is None:
            return {}
        outputs, targets = self.last_batch
        terms = self.model.loss_terms(outputs, targets)[-1]
        says = outputs["class_logits"].argmax(-1) == self.model.num_classes
        objects = sum(len(target["labels"]) for target in targets)
        shares = {"no_object": says.float().mean(), "empty": 1 - objects / says.numel()}
        return {name: float(value) for name, value in (terms | shares).items()}
