"""What the tests share: a small model, a small batch, valid targets, a budget of examples."""

import os
import shutil

import pytest
import torch
from hypothesis import HealthCheck, settings
from playwright.sync_api import sync_playwright
from torch.overrides import TorchFunctionMode

import detr_steps
from detr_steps.training.small import SmallResNet

SMALL = {
    1: {"emb_dim": 32},
    2: {"num_classes": 5, "num_queries": 12},
    4: {"nhead": 4, "enc_layers": 1, "dim_feedforward": 48, "dropout": 0.0},
    5: {"dec_layers": 3},
}

# DETR_STEPS_EXAMPLES=1000 looks longer; the same tests draw the same examples again
EVERYWHERE = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow],  # a busy machine is no fault of the code
}
settings.register_profile("short", max_examples=20, **EVERYWHERE)
settings.register_profile(
    "long", max_examples=int(os.environ.get("DETR_STEPS_EXAMPLES", "1000")), **EVERYWHERE
)
settings.load_profile("long" if "DETR_STEPS_EXAMPLES" in os.environ else "short")


def times(factor: float) -> settings:
    """A budget of so many times the profile's examples, for what is quick or slow to try."""
    return settings(max_examples=max(1, round(factor * settings.default.max_examples)))


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="module")
def browser():
    """A browser without a window, while the tests of one file run."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no Chromium found: none of {', '.join(BROWSERS)} is on the path")
    with sync_playwright() as playwright:  # its default is --no-sandbox, as containers need it
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def no_figure_stays_open():
    """Closes what a test has drawn."""
    import matplotlib.pyplot as plt  # takes long: only where it is used

    yield
    plt.close("all")


def small_resnet() -> SmallResNet:
    """A narrow ResNet with the strides of the large ones: its last map has stride 32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SmallResNet((8, 16, 16, 32), strides=(1, 2, 2, 2))


def small_step(number: int, **changes) -> torch.nn.Module:
    """Step `number` in a size that a test can afford, seeded."""
    arguments = {} if "backbone" in changes else {"backbone": small_resnet()}
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


READS = {"cpu", "item", "tolist", "numpy", "nonzero", "masked_select", "unique", "equal"}
READS |= {"__bool__", "__int__", "__float__", "__index__", "__array__", "__contains__"}


class OnHost(torch.Tensor):
    """A tensor that lies on the host, and everything that is computed from it there."""


def on_host(targets: list[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
    """Targets as the data loader makes them, while the model is on a GPU."""
    return [{k: value.as_subclass(OnHost) for k, value in target.items()} for target in targets]


class DeviceReads(TorchFunctionMode):
    """Records every call that would make a CPU wait for a GPU's numbers.

    Tensors count as the GPU's, but for those of `on_host` and what was copied by `cpu`. `to` brings
    a tensor to the GPU.
    """

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        read = name in READS and not isinstance(args[0], OnHost)
        result = func(*args, **(kwargs or {}))
        if read:
            self.calls.append(name)
        if read and name == "cpu":
            return result.as_subclass(OnHost)
        if name == "to" and isinstance(result, OnHost):
            return result.as_subclass(torch.Tensor)
        return result


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 97, 130, generator=torch.Generator().manual_seed(1))
