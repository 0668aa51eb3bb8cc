"""What each command needs beside the bare package, and how it is installed."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

EXTRAS = {  # of each command; without a command, those of `train`
    "train": "train",
    "data": "train",
    "evaluate": "train",
    "detect": "train",
    "export": "onnx,train",
    "run": "notebooks",
    "site": "notebooks",
    "slides": "notebooks",
    "overview": "notebooks",
    "gallery": "notebooks",
    "course": "notebooks",
    "grade": "notebooks",
    "ablations": "notebooks",
    "film": "notebooks",
    "mutants": "notebooks",
    "benchmarks": "huggingface,notebooks,onnx,openvino",
}
OWN = ("detr_steps", "benchmarks", "experiments")


def how_to_install(extra: str) -> str:
    """What to type for an extra, in the shells of all systems."""
    return f'pip install "detr_steps[{extra}]"'


def needed(package: str, extra: str) -> ModuleType:
    """A package that only some of the work needs.

    Raises:
        ValueError: it is not installed; says how it is.
    """
    try:
        return import_module(package)
    except ImportError as error:
        wanted = how_to_install(extra)
        raise ValueError(f"{package}: expected the package, found none: {wanted}") from error


def advice(error: ModuleNotFoundError, arguments: Sequence[str]) -> str:
    """What to install for a command line that a package is missing for.

    Raises:
        ModuleNotFoundError: the error itself, if no extra brings what is missing.
    """
    package = (error.name or "").partition(".")[0]
    if not package or package in OWN:
        raise error
    command = next((word for word in arguments if word in EXTRAS), "train")
    wanted = how_to_install(EXTRAS[command])
    return f"error: {package}: expected the package, found none: {wanted}"
