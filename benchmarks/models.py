"""The two contestants: Step8 and `transformers`' DETR, with the same weights and inputs."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.models.resnet import Bottleneck, ResNet
from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

from detr_steps import Step8, load_official
from detr_steps.official import freeze_batch_norm
from detr_steps.training.huggingface import official_names

from .reference import layer_predictions, official_loss

NUM_CLASSES = 91
R50 = (3, 4, 6, 3)
DROPOUT = {"dropout": 0.1, "attention_dropout": 0.1, "activation_dropout": 0.1}  # as DETR has it


@dataclass(frozen=True)
class Batch:
    """Images [B, 3, H, W], mask [B, H, W] (True on padding) or None, and targets."""

    images: Tensor
    mask: Tensor | None
    targets: list[dict[str, Tensor]]


def make_ours(
    depths: tuple[int, ...] = R50, num_queries: int = 100, step: type[Step8] = Step8
) -> Step8:
    """Step8 of the official sizes with random weights, its batch norm frozen as DETR has it."""
    model = step(
        backbone=ResNet(Bottleneck, list(depths)),
        num_classes=NUM_CLASSES,
        num_queries=num_queries,
        cost_class=1.0,
        w_class=1.0,
    )
    freeze_batch_norm(model.backbone)
    return model.eval()


def make_theirs(depths: tuple[int, ...] = R50, num_queries: int = 100) -> DetrForObjectDetection:
    """Hugging Face's DETR of the official sizes with random weights."""
    config = DetrConfig(
        use_timm_backbone=False,
        backbone_config=ResNetConfig(depths=list(depths), out_features=["stage4"]),
        num_queries=num_queries,
        num_labels=NUM_CLASSES,
        **DROPOUT,
    )
    model = DetrForObjectDetection(config).requires_grad_(True)  # it freezes its backbone
    with torch.no_grad():
        model.model.query_position_embeddings.weight.normal_()
        for name, buffer in model.named_buffers():
            if name.endswith("layer.2.normalization.weight"):
                buffer.fill_(0.2)  # sixteen residual blocks of random weights would overflow
    return model.eval()


def make_pair(**sizes) -> tuple[Step8, DetrForObjectDetection]:
    """Both with the same random weights; the arguments are those of `make_ours`."""
    torch.manual_seed(0)
    ours, theirs = make_ours(**sizes), make_theirs(**sizes)
    load_official(ours, official_names(theirs.state_dict()))
    return ours, theirs


def make_batch(batch: int, height: int, width: int, objects: int = 7, padded=False) -> Batch:
    """Random images and targets; with `padded` each image but the first ends a fifth earlier."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, height, width, generator=generator)
    mask = None
    if padded:
        mask = torch.zeros(batch, height, width, dtype=torch.bool)
        mask[-1, :, width * 4 // 5 :] = True
        images = images.masked_fill(mask[:, None], 0)
    return Batch(images, mask, make_targets(batch, objects, generator))


def make_targets(batch: int, objects: int, generator: torch.Generator) -> list[dict[str, Tensor]]:
    """`objects` random boxes of random classes for each image."""
    return [
        {
            "labels": torch.randint(NUM_CLASSES, (objects,), generator=generator),
            "boxes": 0.1 + 0.3 * torch.rand(objects, 4, generator=generator),
        }
        for _ in range(batch)
    ]


def our_predictions(ours: Step8, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits [B, N, C+1] and boxes [B, N, 4]."""
    outputs = ours(batch.images, padding_mask=batch.mask)
    return outputs["class_logits"], outputs["bbox_pred"]


def their_predictions(theirs: DetrForObjectDetection, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits [B, N, C+1] and boxes [B, N, 4]."""
    pixel_mask = None if batch.mask is None else (~batch.mask).long()
    outputs = theirs(batch.images, pixel_mask=pixel_mask)
    return outputs.logits, outputs.pred_boxes


def our_loss(ours: Step8, batch: Batch) -> Tensor:
    """The loss of all decoder layers."""
    return ours.compute_loss(ours(batch.images, padding_mask=batch.mask), batch.targets)


def their_loss(theirs: DetrForObjectDetection, batch: Batch) -> Tensor:
    """The loss of all decoder layers."""
    pixel_mask = None if batch.mask is None else (~batch.mask).long()
    predictions = layer_predictions(theirs, batch.images, pixel_mask)
    return official_loss(*predictions, batch.targets, NUM_CLASSES)
