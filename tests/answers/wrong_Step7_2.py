# slip: greedy, the cheapest pair first, not the cheapest assignment
import torch

from detr_steps import Step6, box_cxcywh_to_xyxy, generalized_box_iou
from detr_steps.inputs import check_targets


class MyStep7(Step6):
    def __init__(self, cost_class=2.0, cost_bbox=5.0, cost_giou=2.0, **kwargs):
        super().__init__(**kwargs)
        self.a = cost_class
        self.b = cost_bbox
        self.c = cost_giou

    def costs_of_image(self, probability, guessed, target):
        labels = target["labels"].to(guessed.device)
        wanted = target["boxes"].to(guessed)
        distance = (guessed[:, None, :] - wanted[None, :, :]).abs().sum(dim=2)
        giou = generalized_box_iou(box_cxcywh_to_xyxy(guessed), box_cxcywh_to_xyxy(wanted))
        return self.b * distance - self.a * probability[:, labels] - self.c * giou  # [N, M]

    def match(self, outputs, targets):
        n_images, n_queries, _ = outputs["bbox_pred"].shape
        check_targets(targets, n_images, n_queries, self.num_classes)
        with torch.no_grad():
            probability = torch.softmax(outputs["class_logits"].detach(), dim=-1)
            guessed = outputs["bbox_pred"].detach()
            tables = [
                self.costs_of_image(probability[i], guessed[i], targets[i])
                for i in range(n_images)
            ]
            wide = torch.cat(tables, dim=1).cpu()  # side by side: only one copy
        result = []
        for table in wide.split([t.shape[1] for t in tables], dim=1):
            table = table.clone()
            queries, objects = [], []
            for _ in range(table.shape[1]):
                best = int(table.argmin())
                q, o = divmod(best, table.shape[1])
                queries.append(q)
                objects.append(o)
                table[q, :] = float("inf")
                table[:, o] = float("inf")
            queries, objects = torch.tensor(queries).long(), torch.tensor(objects).long()
            order = queries.argsort()
            result.append((queries[order], objects[order]))
        return result
