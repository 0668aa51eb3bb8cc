"""The small model: the receptive field of its tokens, and what the dense warm start trains."""

import torch
from accelerate import Accelerator

from detr_steps.training.batches import collate
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.trainer import Settings, Trainer


def test_the_receptive_field_of_a_token_is_what_the_scenes_call_large():
    torch.manual_seed(0)
    model = small_detr(6).eval()
    seen = torch.zeros(128, 128)
    for _ in range(20):
        image = torch.rand(1, 3, 128, 128, requires_grad=True)
        features = model.encode(image)["features"]
        assert list(features.shape[-2:]) == [16, 16]
        features[0, :, 8, 8].sum().backward()
        seen += image.grad[0].abs().sum(0)
    rows, columns = seen.nonzero().T
    for places in (rows, columns):
        assert places.max() - places.min() + 1 == Scenes.large == 67


def test_the_warm_start_trains_everything_but_decoder_and_queries():
    torch.manual_seed(0)
    model, scenes = small_detr(6), Scenes(8)
    before = {name: value.clone() for name, value in model.named_parameters()}
    settings = Settings(steps=0, pretrain_steps=2, batch_size=8)
    Trainer(model, scenes, None, settings, accelerator=Accelerator(cpu=True)).run()
    same = {name for name, value in model.named_parameters() if torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in same} == {"decoder", "queries", "query_pos"}
    rest = set(before) - same
    assert not any(name.startswith(("decoder", "quer")) for name in rest)


def test_the_dense_loss_is_zero_where_every_cell_is_right():
    model, scenes = small_detr(6), Scenes(2)
    images, _, targets = collate([scenes[i] for i in range(2)])
    trainer = Trainer(model, scenes, None, Settings(), accelerator=Accelerator(cpu=True))

    def oracle(images, mask):
        """Every cell answers with the object of the smallest box over its centre."""
        logits, boxes = torch.zeros(2, 256, 7), torch.full((2, 256, 4), 0.5)
        logits[..., 6] = 50.0
        centre = (torch.arange(16) + 0.5) / 16
        for i, target in enumerate(targets):
            for row in range(16):
                for column in range(16):
                    place = torch.stack((centre[column], centre[row]))
                    inside = (target["boxes"][:, :2] - place).abs() <= target["boxes"][:, 2:] / 2
                    over = inside.all(1).nonzero().flatten()
                    if len(over):
                        j = over[target["boxes"][over, 2:].prod(1).argmin()]
                        cell = row * 16 + column
                        logits[i, cell] = 50.0 * torch.eye(7)[target["labels"][j]]
                        boxes[i, cell] = target["boxes"][j]
        features = torch.zeros(2, 64, 16, 16)
        return {"class_logits": logits, "bbox_pred": boxes, "features": features}

    assert trainer.dense_loss(oracle, images, None, targets) < 1e-5
    wrong = [{**target, "labels": (target["labels"] + 1) % 6} for target in targets]
    assert trainer.dense_loss(oracle, images, None, wrong) > 10
