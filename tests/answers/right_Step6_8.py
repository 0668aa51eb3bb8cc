import numpy as np
import torch

from detr_steps import Step5
from detr_steps.step5_decoder import TransformerDecoder


class MyDecoder(TransformerDecoder):
    def normalise(self, x):
        """The layer norm of self.norm, written out as in numpy."""
        mean = x.mean(axis=-1, keepdims=True)
        variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
        return (x - mean) / torch.sqrt(variance + self.norm.eps) * self.norm.weight + self.norm.bias

    def collect(self, states):
        shape = (len(states), *states[0].shape)
        out = states[0].new_zeros(shape)
        for l, state in enumerate(states):
            out[l] = self.normalise(state)
        return out


class MyStep6(Step5):
    decoder_class = MyDecoder

    def predict(self, hidden):
        answers = []
        for l in np.arange(len(hidden)):
            logits = self.class_head(hidden[l])
            boxes = torch.sigmoid(self.bbox_head(hidden[l]))
            answers.append({"class_logits": logits, "bbox_pred": boxes})
        final = answers.pop()
        final["aux_outputs"] = answers
        return final
