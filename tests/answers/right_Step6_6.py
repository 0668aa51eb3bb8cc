from typing import Dict, List

import torch
from torch import Tensor

from detr_steps import Step5
from detr_steps.step5_decoder import TransformerDecoder


class MyDecoder(TransformerDecoder):
    def collect(self, states: List[Tensor]) -> Tensor:
        assert len(states) == len(self.layers), "one state for each layer"
        normed = map(self.norm, states)
        return torch.cat([state.unsqueeze(0) for state in normed], dim=0)


class MyStep6(Step5):
    decoder_class = MyDecoder
    IN_ALL = ("class_logits", "bbox_pred")

    @torch.jit.unused
    def split_layers(self, stacked: Dict[str, Tensor]) -> List[Dict[str, Tensor]]:
        # a workaround: dict of [L, ...] -> list of dicts
        number = stacked[self.IN_ALL[0]].shape[0]
        return [{name: stacked[name][i] for name in self.IN_ALL} for i in range(number)]

    def predict(self, hidden: Tensor) -> Dict[str, object]:
        stacked = Step5.predict(self, hidden)  # the heads do not mind one more leading axis
        layers = self.split_layers(stacked)
        results: Dict[str, object] = dict(layers[-1])
        results["aux_outputs"] = layers[:-1]
        return results
