"""Steps 5 and 6: the decoder, and the predictions of all its layers."""

from dataclasses import replace
from functools import partial

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from ...step5_decoder import Step5
from ...step6_auxiliary_outputs import Step6, TransformerDecoderWithIntermediates
from ..observing import Probe
from ..tasks import Mistake, Task
from .common import (
    DROPOUT_MISTAKES,
    FORWARD,
    PADDED,
    SHAPES,
    TWICE,
    VARY,
    make_arguments,
    probe_defaults,
    random,
    run_twice,
    vary,
)

SELF_QUERY_KEY = "query = key = hidden + query_pos"
SELF_VALUE = "value=hidden"
CROSS_QUERY_KEY = "query, key = hidden + query_pos, mem + mem_pos"
CROSS_VALUE = "value=mem"
SELF_SUM = "hidden = self.norm1(hidden + self.dropout(attended))"
SELF_ATTENTION = f"""\
        {SELF_QUERY_KEY}
        attended, _ = self.self_attn(query, key, {SELF_VALUE}, need_weights=False)
        {SELF_SUM}
"""
CROSS_ATTENTION = f"""\
        {CROSS_QUERY_KEY}
        attended, _ = self.multihead_attn(
            query, key, {CROSS_VALUE}, key_padding_mask=padding, need_weights=False
        )
        hidden = self.norm2(hidden + self.dropout(attended))
"""
READ = 'mem, mem_pos, query_pos = context["mem"], context["mem_pos"], context["query_pos"]'
DECODED = "return self.decoder(queries, query_pos, mem, mem_pos, token_padding(context))"
NEXT_LAYER = "hidden = layer(hidden, query_pos, mem, mem_pos, padding)"
DECODER_LAYERS = (
    "TransformerDecoderLayer(d_model, *layer_args, **layer_kwargs) for _ in range(num_layers)"
)
LAST_STATE = "return self.norm(states[-1])"
BUILT_ONCE = "the decoder is built once"

EARLIER = ("backbone", "encoder")
DECODER_TWICE = replace(TWICE, run=partial(run_twice, frozen=EARLIER))
DECODER_VARY = replace(VARY, run=partial(vary, frozen=EARLIER, key="class_logits"))

STEP5_MISTAKES = (
    Mistake(
        "positions on values",
        "What should a value carry: what something is, or also where it is?",
        "In both attentions positions go to queries and keys; look at the cross-attention.",
        ((CROSS_VALUE, "value=key"),),
    ),
    Mistake(
        "positions on values",
        "What should a value carry: what something is, or also where it is?",
        "In both attentions positions go to queries and keys; look at the self-attention.",
        ((SELF_VALUE, "value=query"),),
    ),
    Mistake(
        "positions on values",
        "What should a value carry: what something is, or also where it is?",
        "In both attentions positions go to queries and keys, and to nothing else.",
        ((CROSS_VALUE, "value=key"), (SELF_VALUE, "value=query")),
    ),
    Mistake(
        "positions added to the memory again",
        "What does the memory hold when it reaches the decoder?",
        "mem comes as the encoder left it; only the keys of the cross-attention get mem_pos.",
        ((READ, READ.replace('context["mem"],', 'context["mem"] + context["mem_pos"],')),),
    ),
    Mistake(
        "query positions left out",
        "What makes two queries look at different places?",
        "query_pos goes to the queries and keys of the self-attention, and to the queries of the "
        "cross-attention.",
        (
            (SELF_QUERY_KEY, "query = key = hidden"),
            (CROSS_QUERY_KEY, "query, key = hidden, mem + mem_pos"),
        ),
    ),
    Mistake(
        "query positions added once",
        "How often are the query positions added, and to what?",
        "Every layer adds query_pos anew; the states themselves stay without.",
        (
            (DECODED, DECODED.replace("(queries,", "(queries + query_pos,")),
            (SELF_QUERY_KEY, "query = key = hidden"),
            (CROSS_QUERY_KEY, "query, key = hidden, mem + mem_pos"),
        ),
    ),
    Mistake(
        "all positions added at the input",
        "How often are positions added, and do the values carry them?",
        "Every layer adds positions to queries and keys anew, and the values stay without. "
        "PyTorch's own decoder does neither.",
        (
            (DECODED, DECODED.replace("(queries,", "(queries + query_pos,")),
            (SELF_QUERY_KEY, "query = key = hidden"),
            (CROSS_QUERY_KEY, "query, key = hidden, mem + mem_pos"),
            (CROSS_VALUE, "value=key"),
        ),
    ),
    Mistake(
        "memory positions left out",
        "How does a query find a place in the image?",
        "The keys of the cross-attention get the positions of the memory.",
        ((CROSS_QUERY_KEY, "query, key = hidden + query_pos, mem"),),
    ),
    Mistake(
        "map in place of the memory",
        "What did the encoder work for?",
        "The decoder reads what the encoder has made of the map.",
        ((READ, f'{READ}\n        mem = context["features"].flatten(2).mT'),),
    ),
    Mistake(
        "final norm left out",
        "Through what does the last state go before the heads read it?",
        "The decoder ends with a norm of its own.",
        ((LAST_STATE, "return states[-1]"),),
    ),
    Mistake(
        "final norm left out",
        "Which parameters are missing?",
        "The decoder ends with a norm of its own.",
        ((LAST_STATE, "return states[-1]"), ("self.norm = nn.LayerNorm(d_model)", "pass")),
    ),
    Mistake(
        "self-attention left out",
        "How do two queries agree on who takes an object?",
        "Before they look at the image, the queries talk to one another.",
        ((SELF_SUM, "hidden = self.norm1(hidden)"),),
    ),
    Mistake(
        "cross-attention before self-attention",
        "What comes first in a layer?",
        "First the queries talk to one another, then they look at the image.",
        ((f"{SELF_ATTENTION}\n{CROSS_ATTENTION}", f"{CROSS_ATTENTION}\n{SELF_ATTENTION}"),),
    ),
    Mistake(
        "mask inverted",
        "Which tokens should get no attention?",
        "For `key_padding_mask`, too, True means padding.",
        (
            (
                "queries = super().decode(context)",
                "queries = super().decode(context)\n        if 'padding_mask' in context:\n"
                "            context = {**context, 'padding_mask': ~context['padding_mask']}",
            ),
        ),
    ),
    Mistake(
        "mask ignored",
        "How much attention should padded cells get?",
        "The context holds the mask of the map, where there is one.",
        ((DECODED, DECODED.replace("token_padding(context)", "None")),),
    ),
    Mistake(
        "one layer, used again",
        "How many decoder layers have parameters of their own?",
        "A list that holds the same module several times holds one module.",
        (
            (
                DECODER_LAYERS,
                "[TransformerDecoderLayer(d_model, *layer_args, **layer_kwargs)] * num_layers",
            ),
        ),
    ),
    Mistake(
        "every layer starts anew",
        "What does a layer get from the one before?",
        "The state goes through all layers, one after the other.",
        (
            (NEXT_LAYER, "state = layer(hidden, query_pos, mem, mem_pos, padding)"),
            ("states.append(hidden)", "states.append(state)"),
        ),
    ),
    *DROPOUT_MISTAKES,
)

COLLECT = "return self.norm(torch.stack(states))"
AUX = '"aux_outputs": aux_outputs}'
LAST_OF_ALL = "*aux_outputs, last = ["

INTERMEDIATE_MISTAKES = (
    Mistake(
        "no final norm for the intermediate layers",
        "What did the heads learn to read?",
        "Every state goes through the decoder's final norm, not the last one alone.",
        ((COLLECT, "return torch.stack([*states[:-1], self.norm(states[-1])])"),),
    ),
    Mistake(
        "final norm left out",
        "What did the heads learn to read?",
        "Every state goes through the decoder's final norm.",
        ((COLLECT, "return torch.stack(states)"),),
    ),
    Mistake(
        "last layer alone",
        "How many states should come out?",
        "One for every layer.",
        ((COLLECT, "return self.norm(states[-1])"),),
    ),
    Mistake(
        "layers in reverse order",
        "Which layer comes last?",
        "First layer first.",
        ((COLLECT, "return self.norm(torch.stack(states[::-1]))"),),
    ),
    Mistake(
        "layers along the wrong axis",
        "Which axis counts the layers?",
        "[L, B, N, D].",
        ((COLLECT, "return self.norm(torch.stack(states, 1))"),),
    ),
)


def own_heads(count: str) -> tuple[tuple[str, str], ...]:
    """Edits that give `count` layers heads of their own."""
    return (
        (
            "    decoder_class = TransformerDecoderWithIntermediates\n",
            "    decoder_class = TransformerDecoderWithIntermediates\n\n"
            "    def __init__(self, **kwargs):\n"
            "        super().__init__(**kwargs)\n"
            f"        count = {count}\n"
            "        from copy import deepcopy\n"
            "        for name in ('class_head', 'bbox_head'):\n"
            "            copies = [deepcopy(getattr(self, name)) for _ in range(count)]\n"
            "            setattr(self, name + 's', torch.nn.ModuleList(copies))\n",
        ),
    )


STEP6_MISTAKES = (
    INTERMEDIATE_MISTAKES[0],
    INTERMEDIATE_MISTAKES[1],
    Mistake(
        "decoder built twice",
        "How many decoder layers are built, and how many are kept?",
        "The step before already builds a decoder. It has a hook for the class.",
        sign=BUILT_ONCE,
    ),
    Mistake(
        "auxiliary outputs detached",
        "What are the auxiliary outputs for?",
        "They are there to carry a gradient into the early layers.",
        (
            (
                AUX,
                '"aux_outputs": [{k: v.detach() for k, v in aux.items()} for aux in aux_outputs]}',
            ),
        ),
    ),
    Mistake(
        "no auxiliary outputs",
        "How many predictions does the loss of Step 8 get to see?",
        "Every decoder layer but the last has a prediction of its own to hand over.",
        ((AUX, '"aux_outputs": []}'),),
    ),
    Mistake(
        "last layer among the auxiliary outputs",
        "How long is the list?",
        "The last layer is the prediction itself: L - 1 are left.",
        ((AUX, '"aux_outputs": [*aux_outputs, last]}'),),
    ),
    Mistake(
        "layers in reverse order",
        "Which layer comes first in the list?",
        "First layer first.",
        ((AUX, '"aux_outputs": aux_outputs[::-1]}'),),
    ),
    Mistake(
        "last layer repeated",
        "Does every entry come from its own layer?",
        "Look at which state the heads read for each entry.",
        ((AUX, '"aux_outputs": [last for _ in aux_outputs]}'),),
    ),
    Mistake(
        "prediction of the first layer",
        "Which layer's predictions are the model's own?",
        "The last one has seen the most.",
        ((LAST_OF_ALL, "last, *aux_outputs = ["),),
    ),
    Mistake(
        "heads of its own for each layer",
        "Which parameters were added?",
        "The heads are shared: the same two read every layer.",
        own_heads("len(self.decoder.layers)"),
    ),
    Mistake(
        "heads of its own for each layer",
        "Which parameters were added?",
        "The heads are shared: the same two read every layer.",
        own_heads("len(self.decoder.layers) - 1"),
    ),
    Mistake(
        "states in place of predictions",
        "What should an entry of the list hold?",
        "A dict with class_logits and bbox_pred, as the model's own result.",
        ((AUX, '"aux_outputs": list(hidden[:-1])}'),),
    ),
    Mistake(
        "auxiliary outputs without boxes",
        "What should an entry of the list hold?",
        "Both keys: class_logits and bbox_pred.",
        ((AUX, '"aux_outputs": [{"class_logits": a["class_logits"]} for a in aux_outputs]}'),),
    ),
)


def built_once(build) -> dict[str, bool]:
    """Whether no more attention layers are built than the model keeps."""
    built = set()

    def note(parent, name, module):
        if isinstance(module, nn.MultiheadAttention):
            built.add(module)

    with register_module_module_registration_hook(note):
        model = build()
    kept = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    return {BUILT_ONCE: len(built) <= len(kept)}


def states():
    """Queries, their positions, memory, its positions."""
    return random(2, 7, 24), random(7, 24), random(2, 12, 24), random(2, 12, 24, seed=1)


TASKS = (
    Task(
        Step5,
        (FORWARD, PADDED, DECODER_TWICE, DECODER_VARY, probe_defaults(dec_layers=6)),
        STEP5_MISTAKES,
        make_arguments(5),
    ),
    Task(
        TransformerDecoderWithIntermediates,
        (Probe("7 queries that read 12 tokens", inputs=states, gradients=True),),
        INTERMEDIATE_MISTAKES,
        lambda: {"num_layers": 3, "d_model": 24, "nhead": 2, "dim_feedforward": 20},
    ),
    Task(
        Step6,
        (FORWARD, PADDED, Probe("building it", built_once, of_class=True), SHAPES),
        STEP6_MISTAKES,
        make_arguments(5),
    ),
)
