"""Step 4: the encoder."""

from ...step4_encoder import Step4
from ..tasks import Mistake, Task
from .common import DROPOUT, FORWARD, PADDED, TWICE, make_arguments

ATTEND = "self.self_attn(where, where, mem, key_padding_mask=padding, need_weights=False)"
WHERE = "where = mem + mem_pos"
NORM1 = "mem = self.norm1(mem + self.dropout1(seen))"
THOUGHT = "thought = self.linear2(self.dropout(self.activation(self.linear1(mem))))"
NORM2 = "return self.norm2(mem + self.dropout2(thought))"
TOKENS = 'mem = context["features"].flatten(2).transpose(1, 2)'
PLACES = 'mem_pos = context["pos_emb"].flatten(2).transpose(1, 2)'
LAYER = "mem = layer(mem, mem_pos, padding)"
LAYERS = "TransformerEncoderLayer(**self.layer_args) for _ in range(enc_layers)"
PADDING = "padding = token_padding(context)"
RESULT = '"mem": mem, "mem_pos": mem_pos}'


def swapped(line: str) -> str:
    """Tokens column by column."""
    return line.replace(".flatten(2)", ".mT.flatten(2)")


def reshaped(line: str) -> str:
    """The numbers of the map cut into tokens as they lie in memory."""
    return line.replace(".flatten(2).transpose(1, 2)", ".reshape(len(images), -1, self.emb_dim)")


MISTAKES = (
    Mistake(
        "positions on values",
        "What should a token hand on to the others: what it is, or also where it is?",
        "Attention takes queries, keys and values. Two of the three get positions.",
        ((ATTEND, ATTEND.replace("where, where, mem", "where, where, where")),),
    ),
    Mistake(
        "positions left out",
        "Shuffle the cells of the map: does the encoder notice?",
        "Queries and keys should know where they are.",
        ((WHERE, "where = mem"),),
    ),
    Mistake(
        "positions added once",
        "How often do the tokens hear where they are?",
        "Every layer adds the positions anew, to queries and keys; the tokens stay without.",
        (
            (
                TOKENS,
                TOKENS.replace('context["features"]', '(context["features"] + context["pos_emb"])'),
            ),
            (WHERE, "where = mem"),
        ),
    ),
    Mistake(
        "positions on queries alone",
        "A query asks from somewhere. Does a key answer from somewhere?",
        "Queries and keys both get positions.",
        ((ATTEND, ATTEND.replace("where, where, mem", "where, mem, mem")),),
    ),
    Mistake(
        "positions on keys alone",
        "A key answers from somewhere. Does a query ask from somewhere?",
        "Queries and keys both get positions.",
        ((ATTEND, ATTEND.replace("where, where, mem", "mem, where, mem")),),
    ),
    Mistake(
        "positions left in the memory",
        "Is `mem` still free of positions?",
        "The decoder adds mem_pos where it needs it.",
        ((RESULT, RESULT.replace('"mem": mem,', '"mem": mem + mem_pos,')),),
    ),
    Mistake(
        "tokens column by column",
        "Which cell is token number 1?",
        "Row by row: the cell to the right of the first one comes next.",
        ((TOKENS, swapped(TOKENS)), (PLACES, swapped(PLACES))),
    ),
    Mistake(
        "tokens and positions in different order",
        "Does each token get the position of its own cell?",
        "Map and positions must be unrolled the same way.",
        ((TOKENS, swapped(TOKENS)),),
    ),
    Mistake(
        "reshaped in place of transposed",
        "Take one token: are its D numbers from one cell?",
        "From [B, D, H', W'] to [B, H'W', D] numbers must change places; `view` and `reshape` "
        "leave them where they are.",
        ((TOKENS, reshaped(TOKENS)), (PLACES, reshaped(PLACES))),
    ),
    Mistake(
        "mask inverted",
        "Which tokens are not listened to?",
        "For `key_padding_mask`, too, True means padding.",
        ((PADDING, f"{PADDING}\n        padding = None if padding is None else ~padding"),),
    ),
    Mistake(
        "mask ignored",
        "Are padded cells listened to?",
        "The context holds the mask of the map, where there is one.",
        ((PADDING, "padding = None"),),
    ),
    Mistake(
        "batch and tokens swapped",
        "Who attends to whom: the cells of an image, or the images of a batch?",
        "PyTorch's attention expects the batch second, unless it is told.",
        (('"batch_first": True', '"batch_first": False'), (PADDING, "padding = None")),
    ),
    Mistake(
        "one layer, used again",
        "How many encoder layers have parameters of their own?",
        "A list that holds the same module several times holds one module.",
        ((LAYERS, "[TransformerEncoderLayer(**self.layer_args)] * enc_layers"),),
    ),
    Mistake(
        "norm before in place of after",
        "Where does DETR normalise: before attention, or after the sum?",
        "Post-norm, as in the first transformer: norm(x + f(x)).",
        (
            (WHERE, "normed = self.norm1(mem)\n        where = normed + mem_pos"),
            (ATTEND, ATTEND.replace("where, where, mem", "where, where, normed")),
            (NORM1, "mem = mem + self.dropout1(seen)"),
            (THOUGHT, THOUGHT.replace("self.linear1(mem)", "self.linear1(self.norm2(mem))")),
            (NORM2, "return mem + self.dropout2(thought)"),
        ),
    ),
    Mistake(
        "residual left out",
        "What is left of a token after attention?",
        "Each part of a layer adds to what was there.",
        ((NORM1, "mem = self.norm1(self.dropout1(seen))"),),
    ),
    Mistake(
        "residual left out",
        "What is left of a token after the feed-forward network?",
        "Each part of a layer adds to what was there.",
        ((NORM2, "return self.norm2(self.dropout2(thought))"),),
    ),
    Mistake(
        "feed-forward without ReLU",
        "What are two linear layers in a row, with nothing between them?",
        "They are one linear layer.",
        ((THOUGHT, THOUGHT.replace("self.activation(self.linear1(mem))", "self.linear1(mem)")),),
    ),
    *DROPOUT,
)

TASKS = (Task(Step4, (FORWARD, PADDED, TWICE), MISTAKES, make_arguments(4)),)
