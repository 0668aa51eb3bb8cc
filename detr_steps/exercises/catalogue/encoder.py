"""Step 4: the encoder."""

from ...step4_encoder import Step4
from ..tasks import Mistake, Task
from .common import (
    DROPOUT_MISTAKES,
    FORWARD,
    PADDED,
    TWICE,
    VARY,
    make_arguments,
    probe_defaults,
)

QUERY_KEY = "query = key = tokens + positions"
VALUE = "value=tokens"
ATTENTION_SUM = "tokens = self.norm1(tokens + self.dropout(attended))"
FEEDFORWARD = "hidden = self.dropout(F.relu(self.linear1(tokens)))"
FEEDFORWARD_SUM = "return self.norm2(tokens + self.dropout(self.linear2(hidden)))"
TOKENS = 'tokens = context["features"].flatten(2).transpose(1, 2)'
POSITIONS = 'positions = context["pos_emb"].flatten(2).transpose(1, 2)'
ENCODER_LAYERS = "TransformerEncoderLayer(*self.layer_args) for _ in range(enc_layers)"
PADDING = "padding = token_padding(context)"
MEMORY = '"mem": tokens, "mem_pos": positions}'


def swapped(line: str) -> str:
    """Tokens column by column."""
    return line.replace(".flatten(2)", ".mT.flatten(2)")


def reshaped(line: str) -> str:
    """The numbers of the map cut into tokens as they lie in memory."""
    return line.replace(".flatten(2).transpose(1, 2)", ".reshape(len(images), -1, self.emb_dim)")


STEP4_MISTAKES = (
    Mistake(
        "positions on values",
        "What should a value carry: what a token is, or also where it is?",
        "Attention takes queries, keys and values. Two of the three get positions.",
        ((VALUE, "value=query"),),
    ),
    Mistake(
        "positions left out",
        "Shuffle the cells of the map: does the encoder notice?",
        "Queries and keys should know where they are.",
        ((QUERY_KEY, "query = key = tokens"),),
    ),
    Mistake(
        "positions added once",
        "How often are positions added, and to what?",
        "Every layer adds the positions anew, to queries and keys; the tokens stay without.",
        (
            (
                TOKENS,
                TOKENS.replace('context["features"]', '(context["features"] + context["pos_emb"])'),
            ),
            (QUERY_KEY, "query = key = tokens"),
        ),
    ),
    Mistake(
        "positions on queries alone",
        "A similarity compares a query with a key. Do both know where they are?",
        "Queries and keys both get positions.",
        ((QUERY_KEY, "query, key = tokens + positions, tokens"),),
    ),
    Mistake(
        "positions on keys alone",
        "A similarity compares a query with a key. Do both know where they are?",
        "Queries and keys both get positions.",
        ((QUERY_KEY, "query, key = tokens, tokens + positions"),),
    ),
    Mistake(
        "positions left in the memory",
        "Is `mem` still free of positions?",
        "The decoder adds mem_pos where it needs it.",
        ((MEMORY, '"mem": tokens + positions, "mem_pos": positions}'),),
    ),
    Mistake(
        "tokens column by column",
        "Which cell is token number 1?",
        "Row by row: the cell to the right of the first one comes next.",
        ((TOKENS, swapped(TOKENS)), (POSITIONS, swapped(POSITIONS))),
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
        ((TOKENS, reshaped(TOKENS)), (POSITIONS, reshaped(POSITIONS))),
    ),
    Mistake(
        "mask inverted",
        "Which tokens should get no attention?",
        "For `key_padding_mask`, too, True means padding.",
        ((PADDING, f"{PADDING}\n        padding = None if padding is None else ~padding"),),
    ),
    Mistake(
        "mask ignored",
        "How much attention should padded cells get?",
        "The context holds the mask of the map, where there is one.",
        ((PADDING, "padding = None"),),
    ),
    Mistake(
        "batch and tokens swapped",
        "What attends to what: the cells of an image, or the images of a batch?",
        "PyTorch's attention expects the tokens first and the batch second, by default.",
        (("batch_first=True", "batch_first=False"), (PADDING, "padding = None")),
    ),
    Mistake(
        "one layer, used again",
        "How many encoder layers have parameters of their own?",
        "A list that holds the same module several times holds one module.",
        ((ENCODER_LAYERS, "[TransformerEncoderLayer(*self.layer_args)] * enc_layers"),),
    ),
    Mistake(
        "norm before in place of after",
        "Where does DETR normalise: before attention, or after the sum?",
        "Post-norm, as in the first transformer: norm(x + f(x)).",
        (
            (QUERY_KEY, "normed = self.norm1(tokens)\n        query = key = normed + positions"),
            (VALUE, "value=normed"),
            (ATTENTION_SUM, "tokens = tokens + self.dropout(attended)"),
            (FEEDFORWARD, FEEDFORWARD.replace("(tokens)", "(self.norm2(tokens))")),
            (FEEDFORWARD_SUM, "return tokens + self.dropout(self.linear2(hidden))"),
        ),
    ),
    Mistake(
        "residual left out",
        "What is left of a token after attention?",
        "Each part of a layer adds to what was there.",
        ((ATTENTION_SUM, "tokens = self.norm1(self.dropout(attended))"),),
    ),
    Mistake(
        "residual left out",
        "What is left of a token after the feed-forward network?",
        "Each part of a layer adds to what was there.",
        ((FEEDFORWARD_SUM, "return self.norm2(self.dropout(self.linear2(hidden)))"),),
    ),
    Mistake(
        "feed-forward without ReLU",
        "What are two linear layers in a row, with nothing between them?",
        "They are one linear layer.",
        ((FEEDFORWARD, "hidden = self.dropout(self.linear1(tokens))"),),
    ),
    *DROPOUT_MISTAKES,
)

TASKS = (
    Task(
        Step4,
        (
            FORWARD,
            PADDED,
            TWICE,
            VARY,
            probe_defaults(nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1),
        ),
        STEP4_MISTAKES,
        make_arguments(4),
    ),
)
