"""The matching, filmed: `python -m detr_steps film`.

Trains the small model, once on a single scene and once on the stream of all scenes, and writes down
which query the matching gives to which object, from step to step.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from detr_steps import Step8
from detr_steps.notebook.scene import INDEX, load_scene
from detr_steps.step7_hungarian_matching import Pairs
from detr_steps.training.batches import collate
from detr_steps.training.checkpoints import write_tensors
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import Settings, Trainer
from detr_steps.writing import check_file

SCENE_STEPS = 200
WATCHED = 100  # scenes of the split "choose", after the scene of the series
EVERY = 25  # steps between two evaluations of those


def matched_queries(pairs: Sequence[Pairs]) -> Tensor:
    """The query of each object, of all images in a row: [objects]."""
    return torch.cat([query[target.argsort()] for query, target in pairs])


class Recorder:
    """Evaluates the matching on some scenes while a model is trained on others.

    Args:
        model: the model.
        scenes: items as of `Scenes`.
        every: steps between two evaluations; the first is after the warm start.
    """

    def __init__(self, model: Step8, scenes: Sequence, every: int):
        self.model, self.every = model, every
        self.images, _, self.targets = collate([scenes[i] for i in range(len(scenes))])
        self.steps: list[int] = []
        self.queries: list[Tensor] = []

    def __call__(self, stage: str, step: int, steps: int, loss: float) -> None:
        """The trainer's `report`."""
        if (stage, step) == ("pretrain", steps):
            self.evaluate(0)
        elif stage == "train" and step % self.every == 0:
            self.evaluate(step)

    @torch.no_grad()
    def evaluate(self, step: int) -> None:
        """Adds the matched query of each object."""
        self.model.eval()
        pairs = self.model.match(self.model(self.images), self.targets)
        self.model.train()
        self.steps.append(step)
        self.queries.append(matched_queries(pairs))


def record_scene(seed: int) -> tuple[list[int], list[Tensor]]:
    """Trains on the scene of the series alone; the matched queries of the loss of each step."""
    torch.manual_seed(seed)
    model = small_detr(len(Scenes.classes)).train()
    images, target = load_scene()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    queries = []
    for _ in range(SCENE_STEPS):
        outputs = model(images)
        queries.append(matched_queries(model.match(outputs, [target])))
        optimizer.zero_grad()
        model.compute_loss(outputs, [target]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    return list(range(1, SCENE_STEPS + 1)), queries


def record_stream(settings: Settings, scenes: int) -> tuple[list[int], list[Tensor]]:
    """Trains on many scenes; the matched queries of other ones, see `Recorder`.

    The first of those is the scene of the series.
    """
    torch.manual_seed(settings.seed)
    model = small_detr(len(Scenes.classes))
    others, (images, target) = Scenes(WATCHED, "choose", seed=settings.seed), load_scene()
    watched = [(images[0], target), *(others[i] for i in range(WATCHED))]
    recorder = Recorder(model, watched, EVERY)
    data, accelerator = Scenes(scenes, seed=settings.seed), Accelerator(cpu=True)
    Trainer(model, data, None, settings, accelerator=accelerator, report=recorder).run()
    return recorder.steps, recorder.queries


def record_film(out: Path, steps: int, pretrain_steps: int, scenes: int, seed: int = 0) -> None:
    """Makes both films and writes them into one file.

    Args:
        out: safetensors file.
        steps, pretrain_steps, scenes, seed: of the training on the stream.
    """
    check_file(out)
    settings = Settings(steps=steps, pretrain_steps=pretrain_steps, seed=seed)
    films = {"scene": record_scene(seed), "stream": record_stream(settings, scenes)}
    tensors = {}
    for name, (at, queries) in films.items():
        tensors[f"{name}/steps"] = torch.tensor(at, dtype=torch.int32)
        tensors[f"{name}/queries"] = torch.stack(queries).to(torch.int16)
    metadata = {"scene": str(INDEX), "settings": str(settings), "scenes": str(scenes)}
    write_tensors(tensors, out, metadata)
