"""What a model finds in unseen scenes: `python -m detr_steps gallery FILE.png` draws it."""

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from ..inference import detections
from ..training.batches import collate
from ..training.detectors import Detector
from ..training.scenes import Scenes
from .drawing import draw_detections


@torch.no_grad()
def gallery(
    detector: Detector, scenes: Scenes, first: int = 0, rows: int = 2, columns: int = 6
) -> Figure:
    """Draws scenes with the detections of a trained model."""
    images, _, targets = collate([scenes[first + i] for i in range(rows * columns)])
    sizes = [tuple(target["size"].tolist()) for target in targets]
    found = detections(detector.model(images), sizes)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2 * columns, 2.2 * rows), layout="constrained"
    )
    for axis, image, one in zip(axes.flat, images, found, strict=True):
        draw_detections(axis, image, one, detector.classes)
    return figure
