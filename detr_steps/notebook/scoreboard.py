"""The scoreboard of the series: what the model can do after each step, from measurements.

All of them are made on the scene of the series, with the weights that the package ships, in a model
that is cut off after the step.
"""

from functools import cache

import torch
from IPython.display import Markdown, display
from torch import Tensor

from ..inference import detections
from ..step2_queries_and_heads import Step2
from ..step8_set_loss import Step8
from ..training.detectors import load_detector
from .attention import cells_of, own_shares, owners_of, recorded_attention
from .lesson import NAMES, STEPS
from .results import difference, read_ablations
from .scene import load_scene, scene_outlines

QUESTIONS = ("sees the image?", "tells positions?", "tells objects apart?", "one box an object?")
WITHOUT = {  # what DETR loses in AP without the step's part: the paper's number, and our variant
    3: ("-7.8", "without positions"),
    4: ("-3.9", "without encoder"),
    5: ("-8.2", "one decoder layer"),
    6: ("not given", "without deep supervision"),
    8: ("-0.7", "without L1"),
}
NOTES = {  # below a filled table, from the step on to which they belong
    2: "The numbers are measured with the trained weights of this package, on the scene of the "
    "series, in a model that ends after the step.",
    3: "Last column: the change in AP, of 100 points, without the part: in the paper (section 4.2) "
    "/ in our own short runs ([What each part is worth](beyond/What_Each_Part_Is_Worth.ipynb)).",
    5: "Step 5: the paper compares the first of six decoder layers with the last, we compare a "
    "model of one layer with one of three.",
    8: "Step 8: without L1.",
}


@cache
def trained() -> Step8:
    """The shipped model."""
    return load_detector("shipped").model


@torch.no_grad()
def boxes_after(step: type, images: Tensor) -> Tensor:
    """The boxes [..., N, 4] of the trained model, cut off after a step."""
    model = trained()
    return Step2.predict(model, step.decode(model, step.encode(model, images)))["bbox_pred"]


def image_moves_boxes(step: type) -> float:
    """How far a coordinate of a predicted box moves, at most, if the scene is mirrored."""
    image, _ = load_scene()
    return float((boxes_after(step, image) - boxes_after(step, image.flip(-1))).abs().max())


@torch.no_grad()
def positions_change_memory() -> float:
    """By which part the memory changes if the cells' positions are shuffled."""
    model, (image, _) = trained(), load_scene()
    plain = model.encode(image)["mem"]
    order = torch.randperm(plain.shape[1], generator=torch.Generator().manual_seed(0))

    def shuffle(module: torch.nn.Module, args: tuple, positions: Tensor) -> Tensor:
        return positions.flatten(2)[..., order].view_as(positions)

    with model.position_embedding.register_forward_hook(shuffle):
        return float((model.encode(image)["mem"] - plain).norm() / plain.norm())


@torch.no_grad()
def attention_to_own_object() -> tuple[float, float]:
    """Of the attention that a triangle's cells give to objects, the share of their own triangle.

    In the encoder's last layer, averaged over heads and cells; and that of equal weights.
    """
    model, (image, _) = trained(), load_scene()
    owners = owners_of(cells_of(scene_outlines(), 8))
    with recorded_attention(model.encoder[-1].self_attn, average=False) as weights:
        model.encode(image)
    everywhere = torch.ones(len(owners), len(owners), dtype=torch.bool)
    mine = torch.where(owners > 0, owners, -1)  # the two triangles
    measured, uniform = own_shares(weights[0][0], mine, everywhere)
    return float(measured.mean()), float(uniform.mean())


@torch.no_grad()
def boxes_found() -> int:
    """How many boxes the trained model finds in the scene, with a score above 0.7."""
    image, _ = load_scene()
    return len(detections(trained()(image), [(1, 1)], threshold=0.7)[0]["scores"])


def answers(step: int) -> tuple[str, str, str, str]:
    """What the model can do after a step, for each of `QUESTIONS`; in full where it is new."""
    image, positions, apart, one_box = "no predictions yet", "no", "no", "not demanded yet"
    if step >= 2:
        image = "yes" if step >= 5 else "no"
    if step in (2, 5):
        moved = image_moves_boxes(STEPS[step])
        image = f"**{image}**: if the scene is mirrored, the boxes move by {moved:.2f} at most"
    if step >= 4:
        positions = apart = "yes"
    if step == 3:
        positions = "**stored**, but not used yet"
    if step == 4:
        change = positions_change_memory()
        positions = f"**yes**: shuffled positions change the encoded tokens by {change:.0%}"
        own, equal = attention_to_own_object()
        apart = (
            f"**yes**: of the last layer's attention to the triangles, {own:.0%} goes to a cell's "
            f"own, where equal weights give {equal:.0%}"
        )
    if step == 7:
        one_box = "**demanded**: each object is given to one query"
    if step == 8:
        one_box = f"**yes**: {boxes_found()} boxes for 3 objects"
    return image, positions, apart, one_box


@cache
def ablations() -> list[dict[str, str]]:
    """Our own runs, read once."""
    return read_ablations()


def lost_without(step: int) -> str:
    """The AP that is lost without a step's part: the paper's, and ours."""
    if step not in WITHOUT:
        return ""
    paper, variant = WITHOUT[step]
    return f"{paper} / {difference(ablations(), variant):.1f}"


def show_scoreboard(step: int, filled: bool = False) -> None:
    """A table of what the model can do after each step, up to this one.

    Args:
        step: the step of the notebook.
        filled: whether its own row is filled in; a notebook opens with "?" and closes with answers.
    """
    columns = ("after step", *QUESTIONS, "change in AP without it: paper / here")
    rows = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for i in range(step + 1):
        name = f"{i} {NAMES[i]}"
        known = i < step or filled
        cells = (*answers(i), lost_without(i)) if known else ("?",) * (len(columns) - 1)
        rows.append("| " + " | ".join((f"**{name}**" if i == step else name, *cells)) + " |")
    notes = " ".join(note for since, note in NOTES.items() if filled and since <= step)
    display(Markdown("\n".join(rows) + f"\n\n{notes}".rstrip()))
