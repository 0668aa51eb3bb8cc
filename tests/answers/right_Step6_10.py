import torch

from detr_steps import Step5
from detr_steps.step5_decoder import TransformerDecoder


class MyDecoder(TransformerDecoder):
    """With return_intermediate, as in the official transformer.py."""

    return_intermediate = True

    def forward(self, tgt, query_pos, memory, pos, memory_key_padding_mask=None):
        output = tgt
        intermediate = []
        for layer in self.layers:
            output = layer(output, query_pos, memory, pos, memory_key_padding_mask)
            if self.return_intermediate:
                intermediate.append(output)
        return self.collect(intermediate)

    def collect(self, states):
        normed = []
        while states:
            normed.insert(0, self.norm(states[-1]))
            states = states[:-1]
        return torch.stack(normed)


class MyStep6(Step5):
    decoder_class = MyDecoder

    def predict(self, hidden):
        out = Step5.predict(self, hidden[-1])
        out.setdefault("aux_outputs", [])
        for hs in hidden[:-1]:
            out["aux_outputs"] += [Step5.predict(self, hs)]
        return out
