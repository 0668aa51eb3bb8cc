"""Batches for detection: images of any size in one tensor, and batches that a step decides."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

Target = dict[str, Tensor]
STRIDE = 32  # of the coarsest map of any model


def collate(items: Sequence[tuple[Tensor, Target]]) -> tuple[Tensor, Tensor | None, list[Target]]:
    """Images [3, H_i, W_i] of any size and targets -> images [B, 3, H, W], mask [B, H, W], targets.

    Smaller images are filled up with zeros at the right and below; the mask is True there, and None
    where all images have one size. The sides of a batch that has a mask are multiples of `STRIDE`:
    each cell of the map then stands for whole cells of the mask. Boxes stay fractions of their own
    image, as DETR has them.
    """
    images, targets = zip(*items, strict=True)
    longest = (max(image.shape[i] for image in images) for i in (-2, -1))
    height, width = (STRIDE * math.ceil(side / STRIDE) for side in longest)
    if all(image.shape == images[0].shape for image in images):
        return torch.stack(images), None, list(targets)
    batch = images[0].new_zeros(len(images), 3, height, width)
    mask = torch.ones(len(images), height, width, dtype=torch.bool)
    for i, image in enumerate(images):
        h, w = image.shape[-2:]
        batch[i, :, :h, :w] = image
        mask[i, :h, :w] = False
    return batch, mask, list(targets)


class SeededItems(Dataset):
    """Items whose random changes are decided by a seed, the step and the item alone.

    Args:
        dataset: its items may draw from torch's random numbers.
        seed: of the run.

    Item (step, i) is item i as that step sees it. A run that goes on at a step sees what an
    undisturbed one sees there.
    """

    def __init__(self, dataset: Dataset, seed: int):
        self.dataset, self.seed = dataset, seed

    def __getitem__(self, key: tuple[int, int]):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mixed_seed(self.seed, *key))
            return self.dataset[key[1]]


def mixed_seed(*parts: int) -> int:
    """A seed that whole numbers from 0 on decide together, for `torch.manual_seed`."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


class StepSampler(Sampler[list[tuple[int, int]]]):
    """The batch of every training step, decided by the seed and the step alone.

    A run that is stopped and goes on at step s sees what an undisturbed one sees, and P processes
    with a share each see together what one process sees.

    Args:
        count: items of the data set, at least `batch_size`.
        batch_size: items of a step, over all processes.
        start, steps: the first step, and the number of all steps.
        seed: of the order.
        process, processes: which share is taken: item i goes to process i modulo `processes`.

    A batch is a list of keys (step, item), for `SeededItems`.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        start: int,
        steps: int,
        seed: int = 0,
        process: int = 0,
        processes: int = 1,
    ):
        if count < batch_size:
            raise ValueError(f"batch_size: expected at most the {count} images, found {batch_size}")
        if batch_size % processes:
            expected = f"a multiple of the {processes} processes"
            raise ValueError(f"batch_size: expected {expected}, found {batch_size}")
        self.count, self.batch_size, self.start, self.steps = count, batch_size, start, steps
        self.seed, self.process, self.processes = seed, process, processes

    def __len__(self) -> int:
        return self.steps - self.start

    def flips(self, step: int) -> list[bool]:
        """Which items of this process's share of a step are to be mirrored: about half of them."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + 500_009 + step)
        coins = torch.rand(self.batch_size, generator=generator) < 0.5
        return coins[self.process :: self.processes].tolist()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        per_epoch = self.count // self.batch_size
        epoch, order = -1, torch.empty(0)
        for step in range(self.start, self.steps):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                order = torch.randperm(self.count, generator=generator)
            first = step % per_epoch * self.batch_size
            batch = order[first : first + self.batch_size]
            yield [(step, i) for i in batch[self.process :: self.processes].tolist()]


def flip_some(
    images: Tensor, targets: list[Target], flips: Sequence[bool]
) -> tuple[Tensor, list[Target]]:
    """Mirrors the images [B, 3, H, W] and boxes for which `flips` [B] is true, left to right."""
    chosen = torch.tensor(flips)[:, None, None, None]
    images = torch.where(chosen, images.flip(-1), images)
    mirrored = []
    for target, flip in zip(targets, flips, strict=True):
        cx, cy, w, h = target["boxes"].unbind(-1)
        boxes = torch.stack((1 - cx if flip else cx, cy, w, h), -1)
        mirrored.append({**target, "boxes": boxes})
    return images, mirrored
