"""A model as a graph of operations, and other libraries that run it in this process."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..extras import needed
from ..inputs import check_images, check_padding_mask
from ..step8_set_loss import Step8

INPUTS, OUTPUTS = ("images", "padding_mask"), ("class_logits", "bbox_pred")
Run = Callable[[dict[str, np.ndarray]], Sequence[np.ndarray]]


class Predictions(nn.Module):
    """A Step8 that returns the predictions of its last layer alone, in order."""

    def __init__(self, model: Step8):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, padding_mask: Tensor) -> tuple[Tensor, ...]:
        """Images [B, 3, H, W], mask [B, H, W] -> class_logits [B, N, C+1], bbox_pred [B, N, 4]."""
        outputs = self.model(images, padding_mask)
        return tuple(outputs[name] for name in OUTPUTS)


def as_graph(model: Step8) -> ExportedProgram:
    """A model's operations, for any number of images of any size."""
    examples = torch.rand(2, 3, 96, 160), torch.zeros(2, 96, 160, dtype=torch.bool)
    free = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}, dict.fromkeys(range(3), Dim.DYNAMIC)
    program = torch.export.export(
        Predictions(model).eval(),
        examples,
        dynamic_shapes=dict(zip(INPUTS, free, strict=True)),
        strict=True,  # without it `len(images)` is a number, and the batch is not free
    )
    return program.run_decompositions({torch.ops.aten.upsample_nearest2d.vec: resize_to_nearest})


def resize_to_nearest(maps: Tensor, size: Sequence[int], factors: None) -> Tensor:
    """The rule by which PyTorch resizes maps [B, C, H, W] to the nearest cells, spelled out.

    ONNX and OpenVINO round otherwise, and the edge of a padding mask is a cell off.
    """
    for axis, count in zip((2, 3), size, strict=True):
        both = (torch.scalar_tensor(n, dtype=torch.float32) for n in (maps.shape[axis], count))
        step = torch.div(*both)
        maps = maps.index_select(axis, (torch.arange(count) * step).long())
    return maps


class OtherRuntime(nn.Module):
    """A model that another library runs on the CPU. It is called as a Step8.

    Args:
        run: arrays images and padding_mask, by name -> arrays class_logits and bbox_pred.
    """

    def __init__(self, run: Run):
        super().__init__()
        self.run = run

    def forward(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Images [B, 3, H, W], mask [B, H, W] -> class_logits [B, N, C+1], bbox_pred [B, N, 4]."""
        check_images(images)
        if padding_mask is None:
            padding_mask = images.new_zeros(len(images), *images.shape[-2:], dtype=torch.bool)
        check_padding_mask(padding_mask, images)
        given = images.detach().float(), padding_mask
        found = self.run({k: v.cpu().numpy() for k, v in zip(INPUTS, given, strict=True)})
        tensors = (torch.from_numpy(array).to(images.device) for array in found)
        return dict(zip(OUTPUTS, tensors, strict=True))


def in_openvino(model: Step8, dtype: torch.dtype = torch.float32) -> OtherRuntime:
    """A model made ready by `for_inference`, run by OpenVINO in float32 or bfloat16."""
    openvino = needed("openvino", "openvino")
    graph = openvino.convert_model(as_graph(model.cpu()))
    precision = {torch.float32: "f32", torch.bfloat16: "bf16"}[dtype]
    # without a hint OpenVINO takes bfloat16 wherever the processor has it
    hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.compile_model(graph, "CPU", hints)
    return OtherRuntime(lambda arrays: list(compiled(list(arrays.values())).values()))
