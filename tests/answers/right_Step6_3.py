import torch
from detr_steps import Step5
from detr_steps.step5_decoder import TransformerDecoder


class MyDecoder(TransformerDecoder):
    def collect(self, states):
        return self.norm(torch.stack(states))


class MyStep6(Step5):
    decoder_class = MyDecoder

    def predict(self, hidden):
        *early, last = [Step5.predict(self, state) for state in hidden]
        return {**last, "aux_outputs": early}
