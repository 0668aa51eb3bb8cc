"""What the checker tries is what was chosen: the inputs of every probe, and what it shows.

`probes.json` holds them. After a change that is meant, `python -m tests.test_probes` writes it.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from detr_steps.exercises.catalogue import TASKS
from detr_steps.exercises.checker import fixed_conditions
from detr_steps.exercises.observing import About, Probe, Raised, TypeName, flatten
from detr_steps.inputs import kind

FILE = Path(__file__).with_name("probes.json")


def told(leaf: Any) -> Any:
    """A leaf in a few numbers that JSON can hold; of a tensor its kind, mean and spread."""
    if isinstance(leaf, Tensor):
        numbers = leaf.detach().double().flatten()
        finite = numbers[numbers.isfinite()]
        parts = [finite.mean(), finite.std(unbiased=False)] if len(finite) else []
        return [kind(leaf), len(numbers) - len(finite), *(round(float(x), 5) for x in parts)]
    if isinstance(leaf, TypeName):
        return leaf.name
    if isinstance(leaf, Raised):
        return leaf.error
    if isinstance(leaf, About):
        return [round(leaf.value, 5), leaf.tolerance]
    return leaf


def leaves(value: Any) -> dict[str, Any]:
    """All that is in nested values, by path."""
    return {path: told(leaf) for path, leaf in flatten(value)}


def shown(name: str) -> dict[str, Any]:
    """What a task's probes are given, and what they show of the package's solution."""
    task = TASKS[name]
    flags = ("gradients", "of_class", "border", "remark")
    probes = {}
    with fixed_conditions():
        for number, probe in enumerate(task.probes):
            found = {path: told(leaf) for (i, path), leaf in task.expected.items() if i == number}
            gradients = [path for path in found if path.startswith("gradient")]
            probes[f"{number}: {probe.tried}"] = {
                "is": [flag for flag in flags if getattr(probe, flag)],
                "inputs": leaves(probe.inputs()),
                "results": {path: one for path, one in found.items() if path not in gradients},
                "gradients": len(gradients),
            }
    return probes


def close(found: Any, stored: Any) -> bool:
    """Whether two values are the same, numbers but for their last digits."""
    if isinstance(stored, dict) and isinstance(found, dict):
        same = found.keys() == stored.keys()
        return same and all(close(found[key], one) for key, one in stored.items())
    if isinstance(stored, list) and isinstance(found, list):
        same = len(found) == len(stored)
        return same and all(close(*pair) for pair in zip(found, stored, strict=True))
    if isinstance(stored, float) and isinstance(found, float):
        return found == pytest.approx(stored, rel=2e-3, abs=2e-4, nan_ok=True)
    return type(found) is type(stored) and found == stored


@pytest.mark.parametrize("name", TASKS)
def test_the_probes_of_a_task_are_those_that_were_chosen(name):
    stored = json.loads(FILE.read_text(encoding="utf-8"))[name]
    found = json.loads(json.dumps(shown(name)))
    for probe in stored.keys() | found.keys():
        for part in ("is", "inputs", "results", "gradients"):
            one, other = (probes.get(probe, {}).get(part) for probes in (found, stored))
            assert close(one, other), (probe, part, one, other)


def test_another_number_or_kind_is_another_probe():
    base = {"a": [1, 2.0, "float32 [3]"], "b": True}
    assert close(base, json.loads(json.dumps(base)))
    for other in (
        *({"a": [1, 2.1, "float32 [3]"], "b": True}, {"a": [1, 2.0], "b": True}, {"a": base["a"]}),
        *(base | {"b": False}, base | {"b": 1}),
    ):
        assert not close(other, base)
    assert close([2.0001], [2.0]) and not close([1], [1.0])
    assert told(torch.tensor([1.0, torch.inf, 3.0])) == ["float32 [3]", 1, 2.0, 1.0]
    assert told(About(0.5, 0.1)) == [0.5, 0.1] and told(Raised("E")) == "E"
    assert leaves({"x": [1, Probe]}) == {"": "dict", "['x']": "list of 2", "['x'][0]": 1} | {
        "['x'][1]": "type"
    }


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(shown(name))}" for name in TASKS]
    FILE.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")
