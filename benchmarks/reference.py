"""The official DETR as `transformers` holds it, under the official names, for the parity tests."""

import torch
from transformers import DetrConfig, DetrForObjectDetection
from transformers.loss.loss_for_object_detection import HungarianMatcher, ImageLoss

from detr_steps.training.huggingface import backbone_config

SMALL = {
    "num_queries": 12,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "num_labels": 7,
}


def random_detr(layer_type: str, **changes) -> DetrForObjectDetection:
    """A small random DETR in float64, batch-norm statistics included, in evaluation mode.

    Args:
        layer_type: of its backbone, "bottleneck" or "basic".
        **changes: arguments of `DetrConfig`, in place of `SMALL`.
    """
    backbone = backbone_config([1, 1, 1, 1], layer_type)
    config = DetrConfig(use_timm_backbone=False, backbone_config=backbone, **SMALL | changes)
    config._attn_implementation = "eager"
    detr = DetrForObjectDetection(config).double().eval().requires_grad_(True)
    with torch.no_grad():
        for tensor in [*detr.parameters(), *detr.buffers()]:
            if tensor.dim() == 1:
                tensor += 0.5 * torch.rand_like(tensor) - 0.25
        detr.model.query_position_embeddings.weight.normal_()
    return detr


def layer_predictions(detr: DetrForObjectDetection, pixel_values, pixel_mask=None):
    """Logits [L, B, N, C+1] and boxes [L, B, N, 4] of every layer, as the official DETR makes them.

    `auxiliary_loss=True` of transformers hands each normed state on to the next layer, which the
    official decoder does not do; so the states are read off the layers, and each is normed here.
    """
    states = []
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output: states.append(output))
        for layer in detr.model.decoder.layers
    ]
    detr.model(pixel_values, pixel_mask=pixel_mask)
    for hook in hooks:
        hook.remove()
    hidden = detr.model.decoder.layernorm(torch.stack(states))
    return detr.class_labels_classifier(hidden), detr.bbox_predictor(hidden).sigmoid()


def all_layers(detr: DetrForObjectDetection, pixel_values, pixel_mask=None):
    """`layer_predictions`, whose last layer is held against what the model itself predicts."""
    logits, boxes = layer_predictions(detr, pixel_values, pixel_mask)
    output = detr(pixel_values, pixel_mask=pixel_mask)
    torch.testing.assert_close(logits[-1], output.logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(boxes[-1], output.pred_boxes, rtol=0, atol=1e-12)
    return logits, boxes


def official_loss(logits, boxes, targets, num_classes: int) -> torch.Tensor:
    """DETR's loss of all layers [L, B, N, C+1] and [L, B, N, 4], by transformers' criterion."""
    layers = [{"logits": a, "pred_boxes": b} for a, b in zip(logits, boxes, strict=True)]
    matcher = HungarianMatcher(class_cost=1, bbox_cost=5, giou_cost=2)
    criterion = ImageLoss(matcher, num_classes, eos_coef=0.1, losses=["labels", "boxes"])
    labels = [{"class_labels": t["labels"], "boxes": t["boxes"]} for t in targets]
    terms = criterion.to(logits)({**layers[-1], "auxiliary_outputs": layers[:-1]}, labels)
    weights = {"ce": 1, "bbox": 5, "giou": 2}
    return sum(weights[name.split("_")[1]] * term for name, term in terms.items() if "loss" in name)
