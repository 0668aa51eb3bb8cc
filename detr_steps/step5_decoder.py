"""Step 5: a transformer decoder, in which queries talk to each other and read the image.

Source: Carion et al. 2020, section 3.2 ("Transformer decoder") and appendix A.3.
"""

from torch import Tensor, nn

from .inputs import check_positive
from .step4_encoder import Step4, init_transformer, token_padding


class TransformerDecoderLayer(nn.TransformerDecoderLayer):
    """PyTorch's layer with DETR's rule: positions go to queries and keys, never to values."""

    def forward(
        self,
        hidden: Tensor,
        query_pos: Tensor,
        mem: Tensor,
        mem_pos: Tensor,
        padding: Tensor | None = None,
    ) -> Tensor:
        """Queries and their positions, memory and its positions and padding -> queries.

        Shapes: [B, N, D], [N, D], [B, H'W', D], [B, H'W', D], [B, H'W'] -> [B, N, D].
        """
        who = hidden + query_pos
        told, _ = self.self_attn(who, who, hidden, need_weights=False)
        hidden = self.norm1(hidden + self.dropout1(told))
        asks, where = hidden + query_pos, mem + mem_pos
        seen, _ = self.multihead_attn(
            asks, where, mem, key_padding_mask=padding, need_weights=False
        )
        hidden = self.norm2(hidden + self.dropout2(seen))
        thought = self.linear2(self.dropout(self.activation(self.linear1(hidden))))
        return self.norm3(hidden + self.dropout3(thought))


class TransformerDecoder(nn.Module):
    """A stack of decoder layers and one final norm.

    Args:
        num_layers: L, at least 1.
        d_model: D.
        **layer_args: further arguments of `torch.nn.TransformerDecoderLayer`.
    """

    def __init__(self, num_layers: int, d_model: int, **layer_args):
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerDecoderLayer(d_model, **layer_args) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model)
        init_transformer(self)

    def forward(
        self, hidden: Tensor, query_pos: Tensor, mem: Tensor, mem_pos: Tensor, padding=None
    ) -> Tensor:
        """Arguments of the layers -> what `collect` makes of the L states [B, N, D]."""
        states = []
        for layer in self.layers:
            hidden = layer(hidden, query_pos, mem, mem_pos, padding)
            states.append(hidden)
        return self.collect(states)

    def collect(self, states: list[Tensor]) -> Tensor:
        """Hook: what turns the layers' states into the result; here the last, normed [B, N, D]."""
        return self.norm(states[-1])


class Step5(Step4):
    """The queries go through the decoder before the heads read them: now the image counts.

    Args:
        dec_layers: L, the decoder layers, at least 1.
        **kwargs: arguments of the steps before.
    """

    decoder_class = TransformerDecoder  # hook: so that a later step need not build a second one

    def __init__(self, dec_layers: int = 6, **kwargs):
        super().__init__(**kwargs)
        check_positive(dec_layers=dec_layers)
        self.decoder = self.decoder_class(dec_layers, **self.layer_args)

    def decode(self, context: dict[str, Tensor]) -> Tensor:
        """Queries that have read the memory [B, N, D]."""
        queries = super().decode(context)  # [B, N, D]
        mem, mem_pos, query_pos = context["mem"], context["mem_pos"], context["query_pos"]
        return self.decoder(queries, query_pos, mem, mem_pos, token_padding(context))
