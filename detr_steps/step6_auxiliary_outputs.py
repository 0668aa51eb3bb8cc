"""Step 6: predictions of every decoder layer, so that each layer gets a loss of its own.

Source: Carion et al. 2020, section 3.2 ("Auxiliary decoding losses").
"""

import torch
from torch import Tensor

from .step5_decoder import Step5, TransformerDecoder


class TransformerDecoderWithIntermediates(TransformerDecoder):
    """The same decoder, which returns the state of every layer, each through the final norm."""

    def collect(self, states: list[Tensor]) -> Tensor:
        """L states [B, N, D] -> [L, B, N, D]."""
        return self.norm(torch.stack(states))


class Step6(Step5):
    """The shared heads read every layer; all but the last become `aux_outputs`."""

    decoder_class = TransformerDecoderWithIntermediates

    def predict(self, hidden: Tensor) -> dict[str, Tensor | list[dict[str, Tensor]]]:
        """Hidden states [L, B, N, D] -> the last layer's predictions, and L-1 `aux_outputs`."""
        predict = super().predict  # before Python 3.12 a comprehension has no super() of its own
        *aux_outputs, last = [predict(state) for state in hidden]  # each state is [B, N, D]
        return {**last, "aux_outputs": aux_outputs}
