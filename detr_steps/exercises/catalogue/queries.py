"""Step 2: queries and heads."""

from ...step2_queries_and_heads import Step2
from ..observing import Probe
from ..tasks import Mistake, Task
from .common import FORWARD, NO_DROPOUT, START, make_arguments, probe_defaults

CONTENT_QUERIES = "self.queries = nn.Parameter(torch.randn(num_queries, self.emb_dim))"
BBOX_PRED = "self.bbox_head(hidden).sigmoid()"
LOGITS = "self.class_head(hidden)"
DECODE = 'return self.queries.expand(len(context["features"]), -1, -1)'
HIDDEN_LAYERS = """            nn.Linear(self.emb_dim, self.emb_dim),
            nn.ReLU(),
            nn.Linear(self.emb_dim, self.emb_dim),
            nn.ReLU(),
"""
PREDICTED_CORNERS = (
    "(lambda b: torch.cat((b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2), -1))"
    f"({BBOX_PRED})"
)

STEP2_MISTAKES = (
    Mistake(
        "sigmoid forgotten",
        "In which range should the boxes lie?",
        "Boxes are fractions of the image, in 0..1. A linear layer knows nothing of that.",
        ((BBOX_PRED, "self.bbox_head(hidden)"),),
    ),
    Mistake(
        "class head without no object",
        "What can a query say that finds nothing?",
        "There is one answer more than there are classes.",
        (("nn.Linear(self.emb_dim, num_classes + 1)", "nn.Linear(self.emb_dim, num_classes)"),),
    ),
    Mistake(
        "softmax on the logits",
        "The class head's result goes into a cross-entropy.",
        "PyTorch's cross-entropy takes logits and does the softmax itself.",
        ((LOGITS, f"{LOGITS}.softmax(-1)"),),
    ),
    Mistake(
        "sigmoid on the logits",
        "Logits may be any number.",
        "The sigmoid belongs to the boxes alone.",
        ((LOGITS, f"{LOGITS}.sigmoid()"),),
    ),
    Mistake(
        "corners in place of centre and size",
        "What do the four numbers of a box mean here?",
        "DETR predicts (cx, cy, w, h); corners are made when GIoU needs them.",
        ((BBOX_PRED, PREDICTED_CORNERS),),
    ),
    Mistake(
        "width and height before the centre",
        "In which order do the four numbers of a box come?",
        "The centre comes first.",
        ((BBOX_PRED, f"{BBOX_PRED}.roll(2, -1)"),),
    ),
    Mistake(
        "queries that do not learn",
        "Which parameters does the model have?",
        "A tensor is a parameter of a module only inside of nn.Parameter.",
        ((CONTENT_QUERIES, CONTENT_QUERIES.replace("nn.Parameter(", "(")),),
    ),
    Mistake(
        "one query for all",
        "How many queries are there?",
        "Queries that are all the same find the same object.",
        ((CONTENT_QUERIES, CONTENT_QUERIES.replace("num_queries,", "1,")),),
    ),
    Mistake(
        "batch axis left out",
        "What is the first axis of the result, with two images?",
        "The queries are the same for every image, but every image needs its own predictions.",
        ((DECODE, "return self.queries"),),
    ),
    Mistake(
        "batch axis left out",
        "How long is the first axis of the result, with two images?",
        "The queries are the same for every image, but every image needs its own predictions.",
        ((DECODE, "return self.queries[None]"),),
    ),
    Mistake(
        "batch and queries swapped",
        "Which axis comes first?",
        "[B, N, ...], as everywhere in this series.",
        ((DECODE, f"{DECODE}.transpose(0, 1)"),),
    ),
    Mistake(
        "box head of one layer",
        "How deep is the box head?",
        "Section 3.2 of the paper: a network of three layers.",
        ((HIDDEN_LAYERS, ""),),
    ),
    Mistake(
        "no ReLU in the box head",
        "What are three linear layers in a row, with nothing between them?",
        "They are one linear layer.",
        ((HIDDEN_LAYERS, HIDDEN_LAYERS.replace("            nn.ReLU(),\n", "")),),
    ),
    Mistake(
        "cells in place of queries",
        "How many predictions are there for an image?",
        "There are N predictions, one for each query, however large the map is.",
        ((DECODE, 'return context["features"].flatten(2).mT'),),
    ),
    Mistake(
        "map left out",
        "What does a later step need besides the predictions?",
        "The result also holds `features`.",
        (("return {**self.predict(hidden), **context}", "return self.predict(hidden)"),),
    ),
)


def attributes(model) -> dict[str, int]:
    """What later steps read."""
    return {"num_classes": model.num_classes}


TASKS = (
    Task(
        Step2,
        (
            FORWARD,
            Probe("its number of classes", attributes),
            NO_DROPOUT,
            START,
            probe_defaults(num_classes=80, num_queries=100),
        ),
        STEP2_MISTAKES,
        make_arguments(2),
    ),
)
