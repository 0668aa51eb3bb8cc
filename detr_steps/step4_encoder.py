"""Step 4: a transformer encoder, in which every cell of the map looks at the whole image.

Sources: Carion et al. 2020, section 3.2 ("Transformer encoder") and appendix A.3; Vaswani et al.
2017, section 3.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from .inputs import check_heads, check_positive
from .step3_positional_encoding import Step3


def init_transformer(module: nn.Module) -> None:
    """Xavier-uniform for every weight matrix of a transformer (DETR, section 4)."""
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


def token_padding(context: Mapping[str, Tensor]) -> Tensor | None:
    """Which tokens of a context are padding [B, H'W'], or None where no mask was given."""
    return context["padding_mask"].flatten(1) if "padding_mask" in context else None


class TransformerEncoderLayer(nn.TransformerEncoderLayer):
    """PyTorch's layer with DETR's rule: positions go to queries and keys, never to values."""

    def forward(self, mem: Tensor, mem_pos: Tensor, padding: Tensor | None = None) -> Tensor:
        """Tokens and positions [B, H'W', D], padding [B, H'W'] -> tokens [B, H'W', D]."""
        where = mem + mem_pos
        seen, _ = self.self_attn(where, where, mem, key_padding_mask=padding, need_weights=False)
        mem = self.norm1(mem + self.dropout1(seen))
        thought = self.linear2(self.dropout(self.activation(self.linear1(mem))))
        return self.norm2(mem + self.dropout2(thought))


class Step4(Step3):
    """The tokens of the map attend to one another.

    Args:
        nhead: heads of every attention; divides D.
        enc_layers: encoder layers; 0 leaves the tokens as they are.
        dim_feedforward: hidden width of every layer's feed-forward network.
        dropout: probability, in every transformer layer.
        **kwargs: arguments of the steps before.

    Raises:
        ValueError: `nhead` does not divide `emb_dim`.
    """

    def __init__(
        self,
        nhead: int = 8,
        enc_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_heads(nhead, self.emb_dim)
        check_positive(dim_feedforward=dim_feedforward)
        self.layer_args = {
            "d_model": self.emb_dim,
            "nhead": nhead,
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "batch_first": True,
        }
        self.encoder = nn.ModuleList(
            TransformerEncoderLayer(**self.layer_args) for _ in range(enc_layers)
        )
        init_transformer(self.encoder)

    def encode(self, images: Tensor, padding_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Adds `mem` and `mem_pos` [B, H'W', D]: the encoded tokens and their positions."""
        context = super().encode(images, padding_mask)
        mem = context["features"].flatten(2).transpose(1, 2)  # [B, H'W', D]
        mem_pos = context["pos_emb"].flatten(2).transpose(1, 2)  # [B, H'W', D]
        padding = token_padding(context)
        for layer in self.encoder:
            mem = layer(mem, mem_pos, padding)
        return {**context, "mem": mem, "mem_pos": mem_pos}
