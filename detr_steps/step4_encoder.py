"""Step 4: a transformer encoder, in which every cell of the map looks at the whole image.

Sources: Carion et al. 2020, section 3.2 ("Transformer encoder") and appendix A.3; Vaswani et al.
2017, section 3.
"""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from .arguments import check_arguments, check_heads
from .step3_positional_encoding import Step3


class TransformerEncoderLayer(nn.Module):
    """Self-attention, then a feed-forward network; each adds to the tokens, and a norm follows.

    DETR's rule: positions are added to the queries and keys, never to the values.

    Args:
        d_model: D.
        nhead: heads of the attention.
        dim_feedforward: hidden width of the feed-forward network.
        dropout: probability, on attention weights, inside the feed-forward network, and on what
            each part adds.
    """

    def __init__(self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(d_model, nhead, dropout, batch_first=True)
        self.linear1 = nn.Linear(d_model, dim_feedforward)
        self.linear2 = nn.Linear(dim_feedforward, d_model)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, positions: Tensor, padding: Tensor | None = None) -> Tensor:
        """Tokens and positions [B, H'W', D], padding [B, H'W'] -> tokens [B, H'W', D]."""
        query = key = tokens + positions
        attended, _ = self.self_attn(
            query, key, value=tokens, key_padding_mask=padding, need_weights=False
        )
        tokens = self.norm1(tokens + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(tokens)))  # [B, H'W', dim_feedforward]
        return self.norm2(tokens + self.dropout(self.linear2(hidden)))


def init_transformer(module: nn.Module) -> None:
    """Xavier-uniform for every weight matrix of a transformer (DETR, section 4)."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


def token_padding(context: Mapping[str, Tensor]) -> Tensor | None:
    """Which tokens of a context are padding [B, H'W'], or None where no mask was given."""
    return context["padding_mask"].flatten(1) if "padding_mask" in context else None


class Step4(Step3):
    """The tokens of the map attend to one another.

    Args:
        nhead: heads of every attention: a whole number, at least 1, that divides D.
        enc_layers: encoder layers: a whole number, at least 0; 0 leaves the tokens as they are.
        dim_feedforward: hidden width of every layer's feed-forward network: a whole number, at
            least 1.
        dropout: probability, in every transformer layer: a number from 0 to below 1.
        **kwargs: arguments of the steps before.

    Raises:
        ValueError: an argument is not as above.
    """

    def __init__(
        self,
        *,
        nhead: int = 8,
        enc_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        **kwargs,
    ):
        check_arguments(nhead=nhead, enc_layers=enc_layers)
        check_arguments(dim_feedforward=dim_feedforward, dropout=dropout)
        super().__init__(**kwargs)
        check_heads(nhead, self.emb_dim)
        self.layer_args = (self.emb_dim, nhead, dim_feedforward, dropout)  # Step 5 needs them again
        self.encoder = nn.ModuleList(
            TransformerEncoderLayer(*self.layer_args) for _ in range(enc_layers)
        )
        init_transformer(self.encoder)

    def encode(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Adds `mem` and `mem_pos` [B, H'W', D]: the encoded tokens and their positions."""
        context = super().encode(images, padding_mask)
        tokens = context["features"].flatten(2).transpose(1, 2)  # [B, H'W', D]
        positions = context["pos_emb"].flatten(2).transpose(1, 2)  # [B, H'W', D]
        padding = token_padding(context)
        for layer in self.encoder:
            tokens = layer(tokens, positions, padding)
        return {**context, "mem": tokens, "mem_pos": positions}
