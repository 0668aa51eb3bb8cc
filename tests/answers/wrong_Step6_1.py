# slip: aux_outputs hold the last layer, too
import torch

from detr_steps import Step5
from detr_steps.step5_decoder import TransformerDecoder


class MyDecoder(TransformerDecoder):
    def collect(self, states):
        return torch.stack([self.norm(state) for state in states])


class MyStep6(Step5):
    decoder_class = MyDecoder

    def predict(self, hidden):
        outputs = [Step5.predict(self, state) for state in hidden]
        return {**outputs[-1], "aux_outputs": outputs}
