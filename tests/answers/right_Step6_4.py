import torch
from detr_steps import Step5
from detr_steps.step5_decoder import TransformerDecoder


class MyDecoder(TransformerDecoder):
    """Returns the states of all layers, [L, B, N, D], each through the final norm."""

    def collect(self, states):
        intermediate = []
        for output in states:
            intermediate.append(self.norm(output))
        return torch.stack(intermediate)


class MyStep6(Step5):
    """Adds aux_outputs: for each layer but the last a dict of class_logits and bbox_pred."""

    decoder_class = MyDecoder

    def predict(self, hidden):
        # as in the official DETR: both heads read all layers at once
        outputs_class = self.class_head(hidden)
        outputs_coord = self.bbox_head(hidden).sigmoid()
        out = {"class_logits": outputs_class[-1], "bbox_pred": outputs_coord[-1]}
        out["aux_outputs"] = self._set_aux_loss(outputs_class, outputs_coord)
        return out

    def _set_aux_loss(self, outputs_class, outputs_coord):
        return [
            {"class_logits": a, "bbox_pred": b}
            for a, b in zip(outputs_class[:-1], outputs_coord[:-1])
        ]
