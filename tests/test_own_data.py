"""Data sets of one's own: what is wrong with them is said, and what is right is learnt from."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from cli import accepted, refused
from photographs import write_photographs
from PIL import Image
from safetensors.torch import load_file, save_file
from test_coco import Perfect, make
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from detr_steps import Step8
from detr_steps.training import evaluation
from detr_steps.training.batches import SeededItems, StepSampler, collate
from detr_steps.training.checkpoints import CHECKPOINT
from detr_steps.training.coco import CocoScenes, compare_classes, detr_transforms
from detr_steps.training.detectors import SHIPPED, first_model, load_detector
from detr_steps.training.evaluation import evaluate
from detr_steps.training.lock import LOCK
from detr_steps.training.pictures import read_picture
from detr_steps.training.run import saved_on_signals
from detr_steps.training.scenes import Scenes
from detr_steps.training.small import small_detr
from detr_steps.training.survey import survey
from detr_steps.training.trainer import Settings, Trainer

TURN_RIGHT = 6  # EXIF: the upright picture is the stored one, turned clockwise
SHORT = ["train", "--cpu", "--steps=2", "--pretrain-steps=1", "--batch-size=2", "--side=64"]


def options(folder, annotations):
    return ["--images", folder, "--annotations", annotations]


def names_of(data, index):
    return [data.classes[label] for label in data[index][1]["labels"]]


def test_classes_are_matched_by_name(tmp_path):
    folder, annotations = make(tmp_path)
    known = ("cup", "dog", "bird")
    data = CocoScenes(folder, annotations, side=64, classes=known)
    assert data.classes == ("cup", "dog", "bird", "cat")
    plain = CocoScenes(folder, annotations, side=64)
    assert [names_of(data, i) for i in range(6)] == [names_of(plain, i) for i in range(6)]
    assert compare_classes(known, list(data.names.values())) == [
        "classes that the model does not know, and so cannot find: cat",
        "classes that the data does not have: dog",
    ]
    with pytest.raises(ValueError, match="known are a, b; the data has bird, cat, cup"):
        compare_classes(("a", "b"), list(data.names.values()))


def test_ids_in_another_order_do_not_change_the_ap(tmp_path):
    scenes = Scenes(12, "test")
    results = []
    for ids in (range(6), range(90, 30, -10)):
        folder = tmp_path / str(ids[0])
        annotations = store(scenes, folder, dict(zip(scenes.classes, ids, strict=True)))
        results.append(
            accepted(
                "evaluate", "--cpu", *options(folder, annotations), "--page", folder / "page.html"
            )
        )
    numbers = [[line for line in result.splitlines() if "│" in line] for result in results]
    assert numbers[0] == numbers[1] and " 0.0 " not in numbers[0][0]


def store(scenes, folder, ids):
    """Scenes as a data set in COCO's format with the given category ids; returns its JSON file."""
    folder.mkdir()
    images, annotations = [], []
    for i in range(len(scenes)):
        picture, labels, boxes = scenes.draw(i)
        Image.fromarray(picture).save(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png"})
        for label, box in zip(labels, boxes, strict=True):
            category = ids[scenes.classes[label]]
            annotations.append({"image_id": i, "category_id": category, "bbox": box.tolist()})
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    file = folder / "scenes.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(content))
    return file


def test_official_classes_are_found_by_their_names_in_coco(tmp_path):
    names = FasterRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"]
    ids = {name: i for i, name in enumerate(names) if i and name != "N/A"}
    assert len(ids) == 80

    def with_all_categories(data):
        data["categories"] = [{"id": i, "name": name} for name, i in ids.items()]
        for one in data["annotations"]:
            one["category_id"] = {3: 16, 7: 17, 90: 47}[one["category_id"]]

    data = CocoScenes(*make(tmp_path, with_all_categories), side=64, classes=tuple(names))
    assert data[0][1]["labels"].tolist() == [47, 17]  # the official model's labels are COCO's ids
    result = evaluate(Perfect(data, 91), data, Accelerator(cpu=True))
    assert result["map"] == pytest.approx(100, abs=0.1)


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    (tmp_path / "photos").mkdir()
    photos = options(*make(tmp_path / "photos"))
    out = ["--out", tmp_path / "run"]
    accepted(*SHORT, *out, *photos)
    assert "found another one: num_queries was 16, is 20. Choose" in refused(
        *SHORT, *out, *photos, "--queries=20"
    )
    printed = refused(*SHORT, *out)
    assert "training data was 6 images" in printed and "scenes, split train" in printed
    before = (tmp_path / "run" / CHECKPOINT).read_bytes()
    make(tmp_path / "photos", lambda data: data["annotations"].pop())
    assert "training data was 6 images" in refused(*SHORT, *out, *photos)
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize("warm_decoder", [False, True])
def test_a_run_on_own_data_reaches_the_same_bits_when_it_is_stopped(warm_decoder, tmp_path):
    data = CocoScenes(*make(tmp_path), side=64, transforms=detr_transforms)
    settings = Settings(
        steps=5, pretrain_steps=3, batch_size=2, warmup=1, warm_decoder=warm_decoder
    )

    def run(folder, stops=()):
        torch.manual_seed(0)
        trainer = Trainer(small_detr(3, dropout=0.1), data, None, settings, folder, ACCELERATOR)

        def stop_where_asked(stage, step, *_):
            trainer.stop = (stage, step) in stops

        trainer.report = stop_where_asked
        return trainer.run().state_dict()

    whole = run(tmp_path / "whole")
    for asked, ended in (
        (("pretrain", 1), ("pretrain", 2)),
        (("pretrain", 3), ("train", 1)),
        (("train", 2), ("train", 3)),
    ):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped", [asked])
        state = torch.load(tmp_path / "stopped" / CHECKPOINT)
        assert (state["stage"], state["step"]) == ended
    stopped = run(tmp_path / "stopped")
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)


ACCELERATOR = Accelerator(cpu=True)


class Noting(Step8):
    """Step8 that notes how many images a loss was of, and what it was."""

    def compute_loss(self, outputs, targets):
        loss = super().compute_loss(outputs, targets)
        self.noted.append((len(targets), loss.item()))
        return loss


def train_two_steps(data, **options):
    """Trains for two steps of four images; the reported losses, and what each part noted."""
    torch.manual_seed(0)
    model, losses = small_detr(3, Noting), []
    model.noted = []
    settings = Settings(steps=2, pretrain_steps=0, batch_size=4, **options.pop("settings", {}))
    trainer = Trainer(model, data, None, settings, None, ACCELERATOR, **options)
    trainer.report = lambda *report: losses.append(report[-1])
    trainer.run()
    return losses, model.noted


def test_workers_change_nothing_and_parts_are_weighted_by_their_images(tmp_path):
    data = CocoScenes(*make(tmp_path), side=64, transforms=detr_transforms)
    losses, noted = train_two_steps(data)
    assert [images for images, _ in noted] == [4, 4]
    assert train_two_steps(data, workers=2)[0] == losses
    losses, noted = train_two_steps(data, settings={"accumulate": 3})
    assert [images for images, _ in noted] == [2, 2, 2, 2]  # as torch cuts four into three
    means = [sum(loss for _, loss in noted[i : i + 2]) / 2 for i in (0, 2)]
    assert losses == pytest.approx(means)


def test_random_changes_of_an_image_are_decided_by_seed_step_and_image(tmp_path):
    data = CocoScenes(*make(tmp_path), side=80, transforms=detr_transforms)
    draws = [SeededItems(data, seed)[key][0] for seed in (0, 1) for key in ((3, 0), (4, 0))]
    torch.rand(3)
    assert torch.equal(SeededItems(data, 0)[3, 0][0], draws[0])
    assert len({tuple(draw.flatten()[:5].tolist()) for draw in draws}) == 4


def test_annotations_that_share_an_id_are_all_kept(tmp_path):
    def with_one_id(data):
        for one in data["annotations"]:
            one["id"] = 1

    data = CocoScenes(*make(tmp_path, with_one_id), side=64)
    assert [len(data[i][1]["all_boxes"]) for i in range(6)] == [3, 1, 1, 1, 0, 1]
    result = evaluate(Perfect(data), data, Accelerator(cpu=True))
    assert result["map"] == pytest.approx(100, abs=0.1)


def test_numbers_may_be_written_as_text(tmp_path):
    def as_text(data):
        for one in data["annotations"]:
            one["image_id"], one["category_id"] = str(one["image_id"]), str(one["category_id"])

    data = CocoScenes(*make(tmp_path, as_text), side=64)
    assert len(data[0][1]["labels"]) == 2


def test_a_picture_is_turned_upright(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = TURN_RIGHT
    path = tmp_path / "turned.png"
    Image.fromarray(np.rot90(pixels)).save(path, exif=exif)
    assert np.array_equal(np.asarray(read_picture(path)), pixels)
    assert np.array_equal(np.asarray(read_picture(path, (30, 20))), pixels)
    stored = read_picture(path, (20, 30))  # what the annotations are about
    assert np.array_equal(np.asarray(stored), np.rot90(pixels))
    accepted("detect", path, "--out", tmp_path / "found")
    assert Image.open(tmp_path / "found" / "turned.found.png").size == (30, 20)


def test_sixteen_bits_and_floating_point(tmp_path):
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    expected = (255 * ramp).round()
    for name, array in {
        "16.png": (65535 * ramp).round().astype(np.uint16),
        "unit.tiff": ramp.astype(np.float32),
        "bytes.tiff": (255 * ramp).astype(np.float32),
    }.items():
        Image.fromarray(array).save(tmp_path / name)
        found = np.asarray(read_picture(tmp_path / name)).astype(float)
        assert np.abs(found - expected[..., None]).max() <= 1, name
    ramp[2, 2] = np.nan
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "nan.tiff")
    with pytest.raises(ValueError, match=r"nan\.tiff: .*expected finite pixels"):
        read_picture(tmp_path / "nan.tiff")
    Image.fromarray(np.float32([[0, 1000]])).save(tmp_path / "far.tiff")
    with pytest.raises(ValueError, match="expected pixels from 0 to 255, found 0 to 1000"):
        read_picture(tmp_path / "far.tiff")


def test_a_batch_of_many_sizes_has_whole_cells_of_padding(tmp_path):
    data = CocoScenes(*make(tmp_path), side=64)
    images, mask, targets = collate([data[i] for i in range(6)])
    assert [side % 32 for side in images.shape[-2:]] == [0, 0]
    features = small_detr(3).eval()(images, padding_mask=mask)
    inside = ~features["padding_mask"]
    for i, target in enumerate(targets):
        height, width = (~mask[i]).any(1).sum(), (~mask[i]).any(0).sum()
        rows, columns = inside[i].any(1).sum(), inside[i].any(0).sum()
        assert abs(rows - height / 8) < 1 and abs(columns - width / 8) < 1, target["size"]


def test_drawn_copies_never_take_the_place_of_pictures(tmp_path):
    pixels = Image.fromarray(np.zeros((64, 64, 3), dtype=np.uint8))
    names = ("a/x.png", "b/X.gif", "photo.png", "photo.found.png")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pixels.save(tmp_path / name)
    before = [(tmp_path / name).read_bytes() for name in names]
    accepted("detect", tmp_path / "a/x.png", tmp_path / "b/X.gif", "--out", tmp_path / "out")
    drawn = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert drawn == ["X.found-2.png", "x.found.png"]
    both = tmp_path / "photo.png", tmp_path / "photo.found.png"
    assert "expected a folder where no picture lies" in refused("detect", *both, "--out", tmp_path)
    assert [(tmp_path / name).read_bytes() for name in names] == before


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = load_file(SHIPPED)
    state["class_head.bias"][0] = float("nan")
    file = tmp_path / "broken.safetensors"
    metadata = {"model": "small", "classes": json.dumps(Scenes.classes), "short_side": "128"}
    save_file(state, file, metadata)
    printed = refused("evaluate", "--cpu", "--weights", file)
    assert "expected finite weights" in printed and "class_head.bias" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotations=a.json"], "images: expected beside annotations"),
        (["--images=."], "annotations: expected beside images"),
        (["--clip=-1"], "clip: expected a finite number above 0"),
        (["--clip=nan"], "clip: expected a finite number above 0"),
        (["--lr=inf"], "lr: expected a finite number from 0 on"),
        (["--batch-size=0"], "batch_size: expected a finite number from 1 on"),
        (["--seed=-1"], "seed: expected a finite number from 0 on"),
        (["--save-every=0"], "save_every: expected"),
    ],
)
def test_impossible_options_are_refused(arguments, message, tmp_path):
    out = tmp_path / "run"
    assert message in refused("train", "--cpu", "--out", out, *arguments)
    assert not out.exists()


@pytest.mark.parametrize("option", ["--steps=0", "--scenes=0", "--side=8"])
def test_impossible_counts_are_refused(option, tmp_path):
    refused("train", "--cpu", "--out", tmp_path / "run", option, code=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_is_saved_before_a_signal_ends_it(number, tmp_path):
    settings = Settings(steps=50, pretrain_steps=2, batch_size=2, save_every=1000)
    trainer = Trainer(small_detr(6), Scenes(8), None, settings, tmp_path, ACCELERATOR)
    trainer.report = lambda stage, step, *_: os.kill(os.getpid(), number) if step == 3 else None
    before = signal.getsignal(number)
    with saved_on_signals(trainer), pytest.raises(KeyboardInterrupt, match="after step"):
        trainer.run()
    state = torch.load(tmp_path / CHECKPOINT)
    assert state["stage"] == "train" and state["step"] in (3, 4)
    assert signal.getsignal(number) == before


def test_class_names_may_hold_brackets(tmp_path):
    def rename(data):
        data["categories"][0]["name"], data["categories"][1]["name"] = "screw [/m8]", "cup [red]"

    folder, annotations = make(tmp_path, rename)
    printed = accepted("data", folder, annotations, "--out", tmp_path / "seen.png")
    assert "screw [/m8]" in printed and "cup [red]" in printed


def test_a_picture_is_judged_at_the_side_that_is_wanted(tmp_path):
    def lengthen(data):
        data["images"][0] |= {"width": 600, "height": 60}

    folder, annotations = make(tmp_path, lengthen)
    name = json.loads(annotations.read_text())["images"][0]["file_name"]
    Image.new("RGB", (600, 60)).save(folder / name)
    out = ["--out", tmp_path / "seen.png"]
    assert "less long and narrow" in refused("data", folder, annotations, "--side=64", *out)
    accepted("data", folder, annotations, "--side=192", *out)
    train = ["train", "--cpu", *options(folder, annotations), "--out", tmp_path / "run"]
    assert "less long and narrow" in refused(*train, "--side=64")
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_refused_leaves_everything_as_it_was(tmp_path):
    def written():
        files = (tmp_path / "run").rglob("*")  # the lock is opened by whoever asks for it
        return {path: path.name == LOCK or path.stat().st_mtime_ns for path in files}

    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    out = ["--out", tmp_path / "run"]
    accepted(*SHORT, *out, *options(*make(tmp_path / "one")))
    files = written()
    other = options(*make(tmp_path / "other", lambda data: data["annotations"].pop()))
    refused(*SHORT, *out, *other)
    assert files and written() == files
    too_large = refused("train", "--cpu", "--batch-size=9", "--out", tmp_path / "new", *other)
    assert "expected at most the 6 images, found 9" in too_large
    assert not (tmp_path / "new").exists()


def test_the_class_head_is_taken_over_by_name():
    start = load_detector("shipped")
    turned, new = first_model(start, Scenes.classes[::-1], 16)
    assert new == []
    state, head = load_file(SHIPPED), turned.class_head.weight
    assert torch.equal(head[:-1], state["class_head.weight"][:-1].flip(0))
    assert torch.equal(head[-1], state["class_head.weight"][-1])
    some, new = first_model(start, ("tree", "star"), 16)
    assert new == ["class_head.weight", "class_head.bias"]
    assert torch.equal(some.class_head.weight[1:], state["class_head.weight"][-2:])


def test_shares_of_processes_come_back_in_order(monkeypatch):
    class Three:
        num_processes = 3

    shares = [0, 3, 6, 1, 4, 7, 2, 5]  # of eight images
    monkeypatch.setattr(evaluation, "gather_object", lambda share: shares)
    assert evaluation.gather_in_order([0, 3, 6], Three()) == list(range(8))


def test_a_batch_must_be_shared_out_evenly():
    with pytest.raises(ValueError, match="a multiple of the 8 processes, found 4"):
        StepSampler(100, 4, 0, 1, 0, 5, 8)


def test_the_stand_in_for_photographs_is_sound_and_always_the_same(tmp_path):
    files = [write_photographs(tmp_path / name, 3) for name in ("a", "b")]
    assert files[0].read_text() == files[1].read_text()
    pictures = [[(file.parent / f"{i:04}.jpg").read_bytes() for i in range(3)] for file in files]
    assert pictures[0] == pictures[1]
    found = survey(CocoScenes(tmp_path / "a", files[0], side=480))
    assert min(found.counts) >= 7 and max(found.counts) <= 30
    names = {found.names[i] for look in found.looks for i in look.objects.category_ids}
    assert names == {"disc", "cell", "dot"}
    sizes = found.sizes()
    assert all(sizes[size] for size in ("small", "medium", "large"))
