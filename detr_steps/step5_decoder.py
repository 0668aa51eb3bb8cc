"""Step 5: a transformer decoder, in which queries attend to each other and to the image.

Source: Carion et al. 2020, section 3.2 ("Transformer decoder") and appendix A.3.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from .arguments import check_arguments
from .step4_encoder import Step4, init_transformer, token_padding


class TransformerDecoderLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the memory, a feed-forward network.

    Each adds to the queries' hidden states, and a norm follows. DETR's rule holds for both
    attentions: positions are added to the queries and keys, never to the values.

    Args:
        d_model, nhead, dim_feedforward, dropout: as for the encoder's layer, for both attentions.
    """

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(d_model, nhead, dropout, batch_first=True)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(d_model) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        hidden: Tensor,
        query_pos: Tensor,
        mem: Tensor,
        mem_pos: Tensor,
        padding: Tensor | None = None,
    ) -> Tensor:
        """Queries' hidden states and positions, memory, its positions and padding -> hidden states.

        Shapes: [B, N, D], [N, D], [B, H'W', D], [B, H'W', D], [B, H'W'] -> [B, N, D].
        """
        query = key = hidden + query_pos
        attended, _ = self.self_attn(query, key, value=hidden, need_weights=False)
        hidden = self.norm1(hidden + self.dropout(attended))

        query, key = hidden + query_pos, mem + mem_pos
        attended, _ = self.multihead_attn(
            query, key, value=mem, key_padding_mask=padding, need_weights=False
        )
        hidden = self.norm2(hidden + self.dropout(attended))

        inner = self.dropout(F.relu(self.linear1(hidden)))  # [B, N, dim_feedforward]
        return self.norm3(hidden + self.dropout(self.linear2(inner)))


class TransformerDecoder(nn.Module):
    """A stack of decoder layers and one final norm.

    Args:
        num_layers: L, at least 1.
        d_model: D.
        *layer_args, **layer_kwargs: further arguments of `TransformerDecoderLayer`.
    """

    def __init__(self, num_layers: int, d_model: int, *layer_args, **layer_kwargs):
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerDecoderLayer(d_model, *layer_args, **layer_kwargs) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model)
        init_transformer(self)

    def forward(
        self, hidden: Tensor, query_pos: Tensor, mem: Tensor, mem_pos: Tensor, padding=None
    ) -> Tensor:
        """Runs all layers; `collect` turns their L hidden states [B, N, D] into the result."""
        states = []
        for layer in self.layers:
            hidden = layer(hidden, query_pos, mem, mem_pos, padding)
            states.append(hidden)
        return self.collect(states)

    def collect(self, states: list[Tensor]) -> Tensor:
        """Hook: what turns the layers' states into the result; here the last, normed [B, N, D]."""
        return self.norm(states[-1])


class Step5(Step4):
    """The queries go through the decoder: now the predictions depend on the image.

    Args:
        dec_layers: L, the decoder layers: a whole number, at least 1.
        **kwargs: arguments of the steps before.
    """

    decoder_class = TransformerDecoder  # hook: so that a later step need not build a second one

    def __init__(self, *, dec_layers: int = 6, **kwargs):
        check_arguments(dec_layers=dec_layers)
        super().__init__(**kwargs)
        self.decoder = self.decoder_class(dec_layers, *self.layer_args)

    def decode(self, context: dict[str, Tensor]) -> Tensor:
        """Queries that have read the memory [B, N, D]."""
        queries = super().decode(context)  # [B, N, D]
        mem, mem_pos, query_pos = context["mem"], context["mem_pos"], context["query_pos"]
        return self.decoder(queries, query_pos, mem, mem_pos, token_padding(context))
