"""Step 5: a transformer decoder, in which queries talk to each other and read the image.

Source: Carion et al. 2020, section 3.2 ("Transformer decoder") and appendix A.3.
"""

from torch import Tensor, nn

from .inputs import check_positive
from .step4_encoder import Step4, init_transformer


class TransformerDecoderLayer(nn.TransformerDecoderLayer):
    """PyTorch's layer with DETR's rule: positions go to queries and keys, never to values."""

    def forward(
        self,
        hidden: Tensor,
        query_pos: Tensor,
        mem: Tensor,
        mem_pos: Tensor,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Queries [B, N, D] at [N, D], memory [B, H'W', D] at [B, H'W', D] -> queries [B, N, D]."""
        who = hidden + query_pos
        told, _ = self.self_attn(who, who, hidden, need_weights=False)
        hidden = self.norm1(hidden + self.dropout1(told))
        seen, _ = self.multihead_attn(
            hidden + query_pos,
            mem + mem_pos,
            mem,
            key_padding_mask=padding_mask,
            need_weights=False,
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
        self, hidden: Tensor, query_pos: Tensor, mem: Tensor, mem_pos: Tensor, padding_mask=None
    ) -> Tensor:
        """Arguments of the layers -> what `collect` makes of the L states [B, N, D]."""
        states = []
        for layer in self.layers:
            hidden = layer(hidden, query_pos, mem, mem_pos, padding_mask)
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

    decoder_class = (
        TransformerDecoder  # hook: a later step names another one, so that one decoder is built
    )

    def __init__(self, dec_layers: int = 6, **kwargs):
        super().__init__(**kwargs)
        check_positive(dec_layers=dec_layers)
        self.decoder = self.decoder_class(dec_layers, **self.layer_args)

    def decode(self, context: dict[str, Tensor]) -> Tensor:
        """Queries that have read the memory [B, N, D]."""
        padding = (
            context["padding_mask"].flatten(1) if "padding_mask" in context else None
        )  # [B, H'W']
        return self.decoder(
            super().decode(context),
            context["query_pos"],
            context["mem"],
            context["mem_pos"],
            padding,
        )
