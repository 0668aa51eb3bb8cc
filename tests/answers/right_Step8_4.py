import torch

from detr_steps import Step7
from detr_steps.step8_set_loss import mean_over_processes


def giou_of_two(p, q):
    """GIoU of two boxes (cx, cy, w, h), each of shape [4]."""
    sides = []
    for c, s in ((0, 2), (1, 3)):
        p_low, p_high = p[c] - p[s] / 2, p[c] + p[s] / 2
        q_low, q_high = q[c] - q[s] / 2, q[c] + q[s] / 2
        shared = (torch.minimum(p_high, q_high) - torch.maximum(p_low, q_low)).clamp(min=0)
        around = torch.maximum(p_high, q_high) - torch.minimum(p_low, q_low)
        sides.append((shared, around))
    shared = sides[0][0] * sides[1][0]
    hull = sides[0][1] * sides[1][1]
    union = p[2] * p[3] + q[2] * q[3] - shared
    giou = hull * 0
    if union > 0:
        giou = giou + shared / union
    if hull > 0:
        giou = giou - (hull - union) / hull
    return giou


class MyStep8(Step7):
    """compute_loss: a scalar."""

    def __init__(self, w_class=2.0, w_bbox=5.0, w_giou=2.0, no_object_weight=0.1, **kwargs):
        super().__init__(**kwargs)
        self.weight_of_class_term = w_class
        self.weight_of_l1_term = w_bbox
        self.weight_of_giou_term = w_giou
        self.weight_of_no_object = no_object_weight

    def compute_loss(self, outputs, targets):
        layers = []
        if "aux_outputs" in outputs:
            for layer in outputs["aux_outputs"]:
                layers.append(layer)
        layers.append(outputs)
        matching = self.match_layers(layers, targets)

        number_of_objects = 0
        for target in targets:
            number_of_objects += target["labels"].numel()
        k = torch.tensor(float(number_of_objects), device=outputs["bbox_pred"].device)
        k = torch.clamp(mean_over_processes(k), min=1.0)

        total = torch.zeros((), dtype=outputs["bbox_pred"].dtype, device=outputs["bbox_pred"].device)
        for layer_number in range(len(layers)):
            layer = layers[layer_number]
            total = total + self.loss_of_layer(layer, matching[layer_number], targets, k)
        return total

    def loss_of_layer(self, layer, pairs, targets, k):
        logits = layer["class_logits"]
        boxes = layer["bbox_pred"]
        log_p = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
        no_object = self.num_classes

        entropy = 0.0
        weights = 0.0
        l1 = 0.0 * boxes.sum()
        giou = 0.0 * boxes.sum()
        for image in range(len(targets)):
            owner = {}
            for q, o in zip(pairs[image][0].tolist(), pairs[image][1].tolist()):
                owner[q] = o
            for q in range(logits.shape[1]):
                if q in owner:
                    label = int(targets[image]["labels"][owner[q]])
                    true = targets[image]["boxes"][owner[q]]
                    entropy = entropy - log_p[image, q, label]
                    weights = weights + 1.0
                    for number in range(4):
                        l1 = l1 + abs(boxes[image, q, number] - true[number])
                    giou = giou + (1 - giou_of_two(boxes[image, q], true))
                else:
                    entropy = entropy - self.weight_of_no_object * log_p[image, q, no_object]
                    weights = weights + self.weight_of_no_object

        return (
            self.weight_of_class_term * entropy / weights
            + self.weight_of_l1_term * l1 / k
            + self.weight_of_giou_term * giou / k
        )
