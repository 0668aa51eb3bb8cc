import torch

from detr_steps import Step5
from detr_steps.step5_decoder import TransformerDecoder


class MyDecoder(TransformerDecoder):
    """Returns the states of all layers, [L, B, N, D], each through the final norm."""

    def collect(self, states):
        return torch.stack([self.norm(state) for state in states])


class MyStep6(Step5):
    """Adds aux_outputs: for each layer but the last a dict of class_logits and bbox_pred."""

    decoder_class = MyDecoder

    def predict(self, hidden):
        per_layer = [super(MyStep6, self).predict(state) for state in hidden]
        result = per_layer.pop()
        result["aux_outputs"] = per_layer
        return result
