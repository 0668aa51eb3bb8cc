"""What the checker tries is what was chosen: the inputs of every probe, and what it shows.

`probes.json` holds them. After a change that is meant, `python -m tests.test_probes` writes it.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detr_steps.exercises.catalogue import TASKS, common
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


def test_what_goes_through_dropout_is_counted():
    """An attention of two heads, four queries and five keys; nothing is dropped in evaluation."""
    query, key = torch.rand(3, 2, 4, 8), torch.rand(3, 2, 5, 8)
    with common.CountedDropout() as dropout:
        F.dropout(torch.rand(7), 0.25)
        F.dropout(torch.rand(2, 3), 0.25)
        F.dropout(torch.rand(7), 0.5, training=False)
        F.dropout(torch.rand(7), 0.0)
        F.dropout(torch.rand(11))
        F.scaled_dot_product_attention(query, key, key, dropout_p=0.125)
        F.scaled_dot_product_attention(query, key, key)
    assert dropout.counts == {0.25: 13, 0.5: 11, 0.125: 3 * 2 * 4 * 5}
    attention = torch.nn.MultiheadAttention(8, 2, dropout=0.125, batch_first=True)
    tokens, memory = torch.rand(3, 4, 8), torch.rand(3, 5, 8)
    for training, counts in ((True, {0.125: 3 * 2 * 4 * 5}), (False, {})):
        with common.CountedDropout() as dropout:
            attention.train(training)(tokens, memory, memory)
        assert dropout.counts == counts


def test_what_is_refused_ends_in_an_error_that_is_meant():
    def work(error):
        if error:
            raise error

    assert common.is_refused(work, ValueError("a")) and common.is_refused(work, TypeError("a"))
    assert not common.is_refused(work, RuntimeError("a")) and not common.is_refused(work, None)
    assert common.is_refused(work, KeyError("a"), kinds=(KeyError,))


def test_inputs_are_the_same_at_every_call_and_padded_as_told():
    assert torch.equal(common.images()[0], common.images()[0])
    assert not torch.equal(common.random(3), common.random(3, seed=1))
    images, mask = common.padded_images()
    assert images.shape == (2, 3, 96, 160) and mask.shape == (2, 96, 160)
    assert mask[0].any(1).tolist() == [y >= 66 for y in range(96)] and mask[0, 66:].all()
    assert mask[1, :50].any(0).tolist() == [x >= 98 for x in range(160)] and mask[1, 50:].all()
    copies = common.many_copies()[0]
    assert copies.shape == (512, 3, 48, 48) and torch.equal(copies[0], copies[511])


def test_the_probes_network_is_the_same_whoever_asks_first():
    weights = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        weights.append(common.backbone.__wrapped__().state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, weights[1][name]) for name, one in weights[0].items())
    assert torch.equal(weights[0]["conv1.weight"], common.backbone().conv1.weight)


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {json.dumps(shown(name))}" for name in TASKS]
    FILE.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")
