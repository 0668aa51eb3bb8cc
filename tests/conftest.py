"""What the tests share: a small model, a small batch, and targets that are valid."""

import pytest
import torch

import detr_steps

SMALL = {
    1: {"backbone": "resnet18", "emb_dim": 32},
    2: {"num_classes": 5, "num_queries": 12},
    4: {"nhead": 4, "enc_layers": 1, "dim_feedforward": 48, "dropout": 0.0},
    5: {"dec_layers": 3},
}


def small_step(number: int, **changes) -> torch.nn.Module:
    """Step `number` in a size that a test can afford, seeded."""
    arguments = {}
    for step, added in SMALL.items():
        if step <= number:
            arguments |= added
    torch.manual_seed(0)
    return getattr(detr_steps, f"Step{number}")(**arguments | changes)


def make_targets(*sizes: int, num_classes: int = 5) -> list[dict[str, torch.Tensor]]:
    """Random valid targets with so many objects an image."""
    return [
        {"labels": torch.randint(num_classes, (m,)), "boxes": 0.2 + 0.6 * torch.rand(m, 4)}
        for m in sizes
    ]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 97, 130, generator=torch.Generator().manual_seed(1))
