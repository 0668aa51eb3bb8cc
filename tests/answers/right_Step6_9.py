import torch

from detr_steps import Step5
from detr_steps.step5_decoder import TransformerDecoder

# names as in Keras, where I come from


class StackedDecoder(TransformerDecoder):
    def collect(self, states):
        outputs = torch.stack(states, axis=0)
        outputs = self.norm(outputs)
        return outputs


class MyStep6(Step5):
    def __init__(self, dec_layers=6, **kwargs):
        super().__init__(dec_layers=dec_layers, **kwargs)
        self.num_aux = dec_layers - 1

    @property
    def decoder_class(self):
        return StackedDecoder

    def predict(self, hidden):
        per_layer = torch.split(hidden, 1, dim=0)
        per_layer = [torch.squeeze(state, axis=0) for state in per_layer]
        y_pred = super().predict(per_layer[-1])
        aux = []
        for state in per_layer[: len(per_layer) - 1]:
            y_aux = super().predict(state)
            aux.append({"class_logits": y_aux["class_logits"], "bbox_pred": y_aux["bbox_pred"]})
        y_pred.update({"aux_outputs": aux})
        return y_pred
