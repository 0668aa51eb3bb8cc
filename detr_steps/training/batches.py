"""Batches for detection: images of any size in one tensor, and batches that a step decides."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Sampler

Target = dict[str, Tensor]


def collate(items: Sequence[tuple[Tensor, Target]]) -> tuple[Tensor, Tensor | None, list[Target]]:
    """Images [3, H_i, W_i] of any size and targets -> images [B, 3, H, W], mask [B, H, W], targets.

    Smaller images are filled up with zeros at the right and below; the mask is True there, and None
    where all images have one size. Boxes stay fractions of their own image, as DETR has them.
    """
    images, targets = zip(*items, strict=True)
    height, width = (max(image.shape[i] for image in images) for i in (-2, -1))
    if all(image.shape == images[0].shape for image in images):
        return torch.stack(images), None, list(targets)
    batch = images[0].new_zeros(len(images), 3, height, width)
    mask = torch.ones(len(images), height, width, dtype=torch.bool)
    for i, image in enumerate(images):
        h, w = image.shape[-2:]
        batch[i, :, :h, :w] = image
        mask[i, :h, :w] = False
    return batch, mask, list(targets)


class StepSampler(Sampler[list[int]]):
    """The batch of every training step, decided by the seed and the step alone.

    A run that is stopped and goes on at step s sees what an undisturbed one sees, and P processes
    with a share each see together what one process sees.

    Args:
        count: items of the data set, at least `batch_size`.
        batch_size: items of a step, over all processes.
        start, steps: the first step, and the number of all steps.
        seed: of the order.
        process, processes: which share is taken: item i goes to process i modulo `processes`.
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
        self.count, self.batch_size, self.start, self.steps = count, batch_size, start, steps
        self.seed, self.process, self.processes = seed, process, processes

    def __len__(self) -> int:
        return self.steps - self.start

    def flips(self, step: int) -> list[bool]:
        """Which items of this process's share of a step are to be mirrored: about half of them."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + 500_009 + step)
        coins = torch.rand(self.batch_size, generator=generator) < 0.5
        return coins[self.process :: self.processes].tolist()

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = self.count // self.batch_size
        epoch, order = -1, torch.empty(0)
        for step in range(self.start, self.steps):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
                order = torch.randperm(self.count, generator=generator)
            first = step % per_epoch * self.batch_size
            batch = order[first : first + self.batch_size]
            yield batch[self.process :: self.processes].tolist()


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
