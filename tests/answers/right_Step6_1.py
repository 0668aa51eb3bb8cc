import torch

from detr_steps import Step5
from detr_steps.step5_decoder import TransformerDecoder


class MyDecoder(TransformerDecoder):
    def collect(self, states):
        return self.norm(torch.stack(list(states), dim=0))


class MyStep6(Step5):
    decoder_class = MyDecoder

    def predict(self, hidden):
        everything = []
        for layer in range(hidden.shape[0]):
            everything.append(Step5.predict(self, hidden[layer]))
        final = dict(everything.pop())
        final["aux_outputs"] = everything
        return final
