import numpy as np
import torch

from detr_steps import Step7, box_cxcywh_to_xyxy, giou_loss
from detr_steps.step8_set_loss import mean_over_processes


class MyStep8(Step7):
    """compute_loss: a scalar. All layers at once, with flat indices made by numpy."""

    def __init__(self, w_class=2.0, w_bbox=5.0, w_giou=2.0, no_object_weight=0.1, **kwargs):
        super().__init__(**kwargs)
        self.w = np.array([w_class, w_bbox, w_giou], dtype=np.float64)
        self.empty = float(no_object_weight)

    def compute_loss(self, outputs, targets):
        layers = list(outputs.get("aux_outputs", ())) + [outputs]
        found = self.match_layers(layers, targets)
        logits = torch.stack([x["class_logits"] for x in layers])  # [L, B, N, C+1]
        boxes = torch.stack([x["bbox_pred"] for x in layers])  # [L, B, N, 4]
        L, B, N, _ = logits.shape

        offset = np.concatenate([[0], np.cumsum([len(t["labels"]) for t in targets])])
        rows, cols = [], []
        for layer in range(L):
            for b in range(B):
                q, o = (np.asarray(x) for x in found[layer][b])
                rows.append(np.ravel_multi_index((np.full_like(q, layer), np.full_like(q, b), q), (L, B, N)))
                cols.append(o + offset[b])
        rows = torch.from_numpy(np.concatenate(rows)).to(logits.device)
        cols = torch.from_numpy(np.concatenate(cols)).to(logits.device)

        labels = torch.concatenate([t["labels"] for t in targets])[cols]
        truth = torch.concatenate([t["boxes"] for t in targets])[cols]
        guess = boxes.reshape(-1, 4)[rows]

        wanted = torch.full((L * B * N,), self.num_classes, device=logits.device)
        wanted[rows] = labels
        weight = torch.where(wanted == self.num_classes, self.empty, 1.0).to(logits.dtype)
        nll = -torch.log_softmax(logits.reshape(L * B * N, -1), axis=-1)
        nll = nll[torch.arange(L * B * N, device=logits.device), wanted]
        per_layer = (weight * nll).reshape(L, -1).sum(axis=1) / weight.reshape(L, -1).sum(axis=1)

        k = mean_over_processes(boxes.new_tensor(int(offset[-1]))).clamp(min=1)
        l1 = torch.abs(guess - truth).sum() / k
        giou = giou_loss(box_cxcywh_to_xyxy(guess), box_cxcywh_to_xyxy(truth)).sum() / k
        a, b, c = self.w.tolist()
        return a * per_layer.sum() + b * l1 + c * giou
