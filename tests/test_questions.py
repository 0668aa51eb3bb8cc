"""The questions: well formed, asked in the notebooks, right wherever the package computes it."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest
import torch
import torchvision
from conftest import small_step
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detr_steps import (
    FPN,
    PositionEmbedding2D,
    Step0,
    Step1,
    Step2,
    Step4,
    Step5,
    Step6,
    Step7,
    box_cxcywh_to_xyxy,
    generalized_box_iou,
)
from detr_steps.exercises.questions import QUESTIONS, ask
from detr_steps.notebook.attention import recorded_attention, silenced
from detr_steps.notebook.runner import read
from detr_steps.step4_encoder import TransformerEncoderLayer
from detr_steps.step5_decoder import TransformerDecoder
from detr_steps.training.scenes import Scenes

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
LETTERS = [(key, letter) for key, question in QUESTIONS.items() for letter in question.choices]
EXPLANATIONS = {"1.4", "5.4", "5.5"}  # ask for a reason or a meaning, which nothing computes
COMPUTED: dict[str, Callable[[], str]] = {}


def computes(key: str) -> Callable:
    """Marks the function that computes what only the right choice of a question may contain."""

    def register(compute: Callable[[], str]) -> Callable[[], str]:
        COMPUTED[key] = compute
        return compute

    return register


def on_meta(step: type[nn.Module], *size: int, **arguments) -> tuple[nn.Module, torch.Tensor]:
    """A model without numbers, and images of a size for it."""
    with torch.device("meta"):
        return step(**arguments).eval(), torch.rand(size)


@computes("0.1")
def cells_of_p4():
    model, images = on_meta(Step0, 1, 3, 500, 333)
    height, width = model(images)[2].shape[-2:]
    return f"{height} x {width}"


@computes("0.2")
def levels_that_change_with_c3():
    fpn = FPN({2: 4, 3: 4, 4: 4, 5: 4}, emb_dim=8)
    maps = [torch.rand(1, 4, size, size) for size in (16, 8, 4, 2)]
    before = fpn(maps)
    maps[1] = maps[1] + 1
    changed = [not torch.equal(p, q) for p, q in zip(before, fpn(maps), strict=True)]
    return " and ".join(f"P{i}" for i, change in enumerate(changed, 2) if change)


@computes("0.3")
def gradient_through_a_residual_block_of_zeros():
    x, inner = torch.rand(4, 8, requires_grad=True), nn.Sequential(nn.Linear(8, 8), nn.Tanh())
    nn.init.zeros_(inner[0].weight)
    nn.init.zeros_(inner[0].bias)
    arriving = torch.rand(4, 8)
    (x + inner(x)).backward(arriving)
    return "unchanged" if torch.equal(x.grad, arriving) else "not as it came"


@computes("0.4")
def what_nms_leaves_of_two_people():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 9.0], [1.0, 0.0, 5.0, 9.0]])
    assert abs(torchvision.ops.box_iou(boxes, boxes)[0, 1] - 0.6) < 1e-6
    scores = torch.tensor([0.9, 0.8])
    kept = torchvision.ops.nms(boxes, scores, iou_threshold=0.5)
    return f"the box with score {' and '.join(f'{score:.1f}' for score in scores[kept])} alone"


@computes("1.1")
def shape_of_one_map():
    model, images = on_meta(Step1, 4, 3, 800, 1066)
    return str(list(model(images).shape))


@computes("1.2")
def pairs_of_two_levels_over_those_of_one():
    model, images = on_meta(Step0, 1, 3, 640, 640)
    p4, p5 = (level.shape[-2:].numel() for level in model(images)[2:])
    return f"{((p4 + p5) / p5) ** 2:g} times"


@computes("1.3")
def convolutions_that_p3_does_not_need():
    fpn = FPN({2: 4, 3: 4, 4: 4, 5: 4}, emb_dim=8)
    p3 = fpn([torch.rand(1, 4, size, size) for size in (16, 8, 4, 2)])[1]
    p3.sum().backward()
    idle = {
        kind: [level.upper() for level, conv in convs.items() if conv.weight.grad is None]
        for kind, convs in fpn.named_children()
    }
    *first, last = idle["output"]
    return f"lateral of {', '.join(idle['lateral'])}, output of {', '.join(first)} and {last}"


@computes("2.1")
def shape_of_the_class_logits():
    model, images = on_meta(Step2, 8, 3, 480, 640, num_classes=20, num_queries=50)
    return str(list(model(images)["class_logits"].shape))


@computes("2.2")
def corners_in_pixels():
    corners = box_cxcywh_to_xyxy(torch.tensor([0.75, 0.5, 0.5, 0.2]))
    pixels = corners * torch.tensor([640, 480, 640, 480])
    return f"({', '.join(f'{pixel:.0f}' for pixel in pixels)})"


@computes("2.3")
def smallest_winner_among_two_classes():
    logits = torch.cartesian_prod(torch.linspace(-5, 5, 101), torch.linspace(-5, 5, 101))
    return f"{logits.softmax(-1).amax(-1).min():.1f}"


@computes("2.4")
def predictions_for_a_larger_image():
    model = small_step(2, num_queries=100).eval()
    with torch.no_grad():
        small, large = (model(torch.rand(1, 3, side, side))["bbox_pred"] for side in (64, 128))
    same = "the same" if torch.equal(small, large) else "other"
    unit = "as fractions" if large.min() >= 0 and large.max() <= 1 else "in pixels"
    return f"{same} {large.shape[1]} boxes, {unit}"


@computes("2.5")
def centres_after_a_bias():
    model = Step2(backbone="resnet18").eval()
    with torch.no_grad():
        model.bbox_head[-1].bias.copy_(torch.tensor([2.0, 0, 0, 0]))
        centres = model(torch.rand(1, 3, 64, 64))["bbox_pred"][0, :, 0]
    return f"right, to about {centres.mean():.1f}"


@computes("3.1")
def channels_that_change_along_a_row():
    embedding = PositionEmbedding2D(256)(torch.zeros(1, 1, 20, 20, dtype=torch.float64))[0]
    changed = (embedding[:, 7, 4] != embedding[:, 7, 5]).nonzero()
    return f"channels {changed.min()} to {changed.max()}"


@computes("3.2")
def the_same_place_at_two_sizes():
    small, large = (PositionEmbedding2D(256)(torch.zeros(1, 1, n, n))[0] for n in (20, 40))
    same = torch.allclose(small[:, 9, 9], large[:, 19, 19], atol=1e-5)
    return "They are the same" if same else "They differ"


@computes("3.3")
def answers_of_the_tokens_that_stay():
    attention = nn.MultiheadAttention(16, 2, batch_first=True)
    tokens, swapped, others = torch.rand(1, 6, 16), [0, 1, 4, 3, 2, 5], [0, 1, 3, 5]
    moved = tokens[:, swapped]
    before, after = attention(tokens, tokens, tokens)[0], attention(moved, moved, moved)[0]
    same = torch.allclose(before[:, others], after[:, others], atol=1e-6)
    return "They stay as they were" if same else "They change"


@computes("3.4")
def rows_of_a_padded_wave():
    mask = torch.ones(1, 20, 20, dtype=torch.bool)
    mask[:, :12, :16] = False
    wave = PositionEmbedding2D(256)(torch.zeros(1, 1, 20, 20), mask)[0, 0, :, 0]
    moving = (wave.diff().abs() > 1e-3).nonzero()
    return f"the upper {moving.max() + 2} rows"


@computes("4.1")
def shape_of_the_encoders_weights():
    model, images = on_meta(Step4, 2, 3, 800, 1066, enc_layers=1)
    with recorded_attention(model.encoder[0].self_attn) as weights:
        model(images)
    return str(list(weights[0].shape))


@computes("4.2")
def what_a_blind_attention_takes():
    blind, values = torch.zeros(1, 6, 8), torch.rand(1, 6, 8)
    taken = nn.functional.scaled_dot_product_attention(blind, blind, values)
    mean = values.mean(1, keepdim=True).expand_as(values)
    return "the mean of all values" if torch.allclose(taken, mean) else "something else"


@computes("4.3")
def messages_of_two_cells_with_the_same_features():
    layer, values = TransformerEncoderLayer(16, 2, 32), []
    layer.self_attn.register_forward_pre_hook(
        lambda module, args, kwargs: values.append(kwargs["value"][0]), with_kwargs=True
    )
    layer(torch.rand(1, 1, 16).expand(1, 2, 16), torch.rand(1, 2, 16))
    first, second = torch.tensor([[0.9, 0.1], [0.1, 0.9]]) @ values[0]
    same = torch.allclose(first, second, atol=1e-6)
    return "the same: what is handed out is content" if same else "different things"


@computes("4.4")
def attention_of_a_larger_batch():
    costs = []
    for batch in (2, 4):
        tokens = torch.rand(batch, 8, 400, 32, device="meta")
        with FlopCounterMode(display=False) as counter:
            nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        costs.append(counter.get_total_flops())
    return f"{costs[1] / costs[0]:g} times"


@computes("4.5")
def share_of_odd_ones_that_are_always_blue():
    layer, head = TransformerEncoderLayer(16, 2, 32, dropout=0.0), nn.Linear(16, 1)
    red, blue = torch.randn(2, 16)
    optimizer = torch.optim.AdamW([*layer.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(60):
        odd = torch.randint(36, (32,))
        tokens = red + 0.1 * torch.randn(32, 36, 16)
        tokens[torch.arange(32), odd] += blue - red
        with silenced(layer.self_attn):
            scores = head(layer(tokens, torch.zeros(1, 36, 16)))[..., 0]
        optimizer.zero_grad()
        nn.functional.cross_entropy(scores, odd).backward()
        optimizer.step()
    share = (scores.argmax(1) == odd).float().mean()
    return "nearly all" if share > 0.95 else "fewer"


@computes("5.1")
def shape_of_the_cross_attentions_weights():
    model, images = on_meta(Step5, 2, 3, 480, 640, enc_layers=0, dec_layers=1)
    with recorded_attention(model.decoder.layers[0].multihead_attn) as weights:
        model(images)
    return str(list(weights[0].shape))


@computes("5.2")
def predictions_of_a_shuffled_memory():
    decoder = TransformerDecoder(2, 16, nhead=2, dim_feedforward=32).eval()
    content, pos, mem_pos = torch.randn(1, 7, 16), torch.randn(7, 16), torch.randn(1, 10, 16)
    mem, order = torch.randn(1, 10, 16), torch.randperm(10)
    before, after = (decoder(content, pos, memory, mem_pos) for memory in (mem, mem[:, order]))
    if torch.allclose(before, after, atol=1e-5):
        return "Nothing"
    closest = torch.cdist(before[0], after[0]).amin(1)
    return "They are shuffled" if closest.max() < 1e-4 else "They change"


@computes("5.3")
def boxes_of_queries_that_are_all_alike():
    model = small_step(5, num_queries=100).eval()
    with torch.no_grad():
        model.queries.copy_(model.queries[0].expand(100, -1))
        model.query_pos.copy_(model.query_pos[0].expand(100, -1))
        boxes = model(torch.rand(1, 3, 64, 64))["bbox_pred"][0]
    return "one box" if torch.allclose(boxes, boxes[0], atol=1e-5) else "several boxes"


@computes("6.1")
def auxiliary_outputs_of_three_layers():
    model, images = on_meta(Step6, 2, 3, 64, 64, dec_layers=3, enc_layers=0)
    states = []
    model.decoder.register_forward_hook(lambda module, args, output: states.append(output))
    count = len(model(images)["aux_outputs"])
    return f"{count} aux_outputs, states {list(states[0].shape)}"


@computes("6.2")
def way_of_the_early_predictions():
    model = small_step(6)
    early = model(torch.rand(2, 3, 64, 64))["aux_outputs"]
    sum(layer["bbox_pred"].sum() for layer in early).backward()
    reached = any(parameter.grad.any() for parameter in model.decoder.layers[-1].parameters())
    assert all(parameter.grad.any() for parameter in model.decoder.layers[0].parameters())
    return "reach it" if reached else "do not pass through it"


@computes("6.3")
def parameters_of_heads_for_each_layer():
    model, _ = on_meta(Step6, 1, 3, 64, 64)
    pair = [*model.class_head.parameters(), *model.bbox_head.parameters()]
    more = len(model.decoder.layers) - 1
    return f"{more * sum(parameter.numel() for parameter in pair):,}"


@computes("6.4")
def what_the_last_answer_does_not_need():
    full, image = small_step(6).eval(), torch.rand(1, 3, 64, 64)
    nn.init.constant_(full.decoder.norm.weight, 3.0)  # as if it had learned something
    answer = full(image)["bbox_pred"]

    def same(model):
        return torch.allclose(model(image)["bbox_pred"], answer, atol=1e-6)

    only_last = small_step(5).eval()
    only_last.load_state_dict(full.state_dict())
    unneeded = ["the predictions of layers 1 to 5"] if same(only_last) else []
    full.decoder.layers = full.decoder.layers[-1:]
    unneeded += ["the decoder layers"] if same(full) else []
    only_last.decoder.norm = nn.Identity()
    unneeded += ["the final norm"] if same(only_last) else []
    return " and ".join(unneeded)


@computes("7.1")
def giou_of_two_squares():
    squares = torch.tensor([[0.0, 0.0, 1.0, 1.0], [2.0, 0.0, 3.0, 1.0]])
    return f"{generalized_box_iou(squares[:1], squares[1:]).item():.2f}"


@computes("7.2")
def cheapest_pairs_of_the_table():
    rows = re.findall(r"q\d +(\S+) +(\S+)", QUESTIONS["7.2"].text)
    pairs = Step7.assign(torch.tensor([[float(cost) for cost in row] for row in rows]))
    names = [f"q{query} with {'AB'[target]}" for query, target in zip(*pairs, strict=True)]
    return ", ".join(names)


@computes("7.3")
def matched_among_two_equal_queries():
    model, box = small_step(7, num_classes=2, num_queries=2), torch.tensor([0.5, 0.5, 0.2, 0.2])
    outputs = {
        "class_logits": torch.tensor([9.0, 0, 0]).expand(1, 2, 3),
        "bbox_pred": box.expand(1, 2, 4),
    }
    query, _ = model.match(outputs, [{"labels": torch.tensor([0]), "boxes": box[None]}])[0]
    return {0: "neither", 1: "one of them", 2: "both"}[len(query)]


@computes("7.4")
def terms_of_a_large_and_a_small_box():
    l1, giou = [], []
    for width in (0.5, 0.05):
        box = torch.tensor([[0.5, 0.5, width, width]])
        moved = box + torch.tensor([width / 10, 0, 0, 0])
        l1.append((moved - box).abs().sum())
        giou.append(generalized_box_iou(box_cxcywh_to_xyxy(box), box_cxcywh_to_xyxy(moved)))
    assert torch.isclose(l1[0], 10 * l1[1])
    same = torch.allclose(*giou, atol=1e-5)
    return f"L1 is ten times as large for the large box, GIoU {'the same' if same else 'not'}"


@computes("8.1")
def share_of_no_object():
    model = small_step(8, num_queries=10)
    logits = torch.zeros(1, 10, 6, requires_grad=True)
    outputs = {"class_logits": logits, "bbox_pred": torch.rand(1, 10, 4)}
    targets = [{"labels": torch.tensor([0, 3]), "boxes": torch.full((2, 4), 0.5)}]
    model.loss_terms(outputs, targets)[0]["class"].backward()
    push = logits.grad[0].abs().sum(-1)  # as all classes are equally likely, as large as the loss
    matched = model.match(outputs, targets)[0][0]
    return f"{1 - push[matched].sum() / push.sum():.0%}"


@computes("8.2")
def gradient_of_an_unmatched_box():
    model = small_step(8, num_queries=2)
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.6, 0.5, 0.2, 0.2]]], requires_grad=True)
    outputs = {"class_logits": torch.zeros(1, 2, 6), "bbox_pred": boxes}
    target = {"labels": torch.tensor([1]), "boxes": torch.tensor([[0.51, 0.5, 0.2, 0.2]])}
    model.compute_loss(outputs, [target]).backward()
    assert boxes.grad[0, 0].any()
    return "to move" if boxes.grad[0, 1].any() else "nothing at all"


@computes("8.3")
def loss_of_three_layers():
    model, target = small_step(8), {"labels": torch.tensor([1]), "boxes": torch.full((1, 4), 0.5)}
    layer = {"class_logits": torch.zeros(1, 12, 6), "bbox_pred": torch.rand(1, 12, 4)}
    three, six = (
        model.compute_loss({**layer, "aux_outputs": [layer] * (layers - 1)}, [target])
        for layers in (3, 6)
    )
    return f"about {85 * three / six:.1f}"


@computes("8.4")
def pull_on_a_lone_objects_box():
    model = small_step(8)
    boxes = torch.rand(2, 12, 4, requires_grad=True)
    outputs = {"class_logits": torch.zeros(2, 12, 6), "bbox_pred": boxes}
    targets = [
        {"labels": torch.zeros(m, dtype=torch.int64), "boxes": torch.rand(m, 4)} for m in (1, 9)
    ]
    model.loss_terms(outputs, targets)[0]["bbox"].backward()
    lone, one_of_nine = (grad[grad.any(-1)].abs().sum(-1)[0] for grad in boxes.grad)
    return "just as much" if torch.isclose(lone, one_of_nine) else f"{lone / one_of_nine:.1f} times"


@computes("8.5")
def boxes_too_many():
    scenes = Scenes(500, "test")
    objects = sum(len(scenes[i][1]["labels"]) for i in range(4))
    return f"{64 // 2 - objects} boxes or more are found twice or made up"


@pytest.mark.parametrize("key", COMPUTED)
def test_the_right_choice_is_what_the_package_computes(key):
    question, found = QUESTIONS[key], COMPUTED[key]()
    holds = re.compile(rf"(?<![\w.,-]){re.escape(found)}(?!\w)")
    fitting = [letter for letter, choice in question.choices.items() if holds.search(choice)]
    assert fitting == [question.right], found


def test_every_question_is_computed_or_asks_for_an_explanation():
    assert set(COMPUTED) == set(QUESTIONS) - EXPLANATIONS


@pytest.mark.parametrize("key", QUESTIONS)
def test_a_question_is_well_formed(key):
    question = QUESTIONS[key]
    assert list(question.choices) == list(question.why) == ["a", "b", "c", "d"]
    assert question.right in question.choices
    assert len(set(question.choices.values())) == len(set(question.why.values())) == 4
    assert all(question.why.values()) and all(question.choices.values()) and question.text


def test_keys_are_in_order_and_each_step_has_three_to_five():
    for step, (digit, keys) in enumerate(groupby(QUESTIONS, key=lambda key: key[0])):
        numbers = [int(key.removeprefix(f"{step}.")) for key in keys]
        assert int(digit) == step and numbers == list(range(1, len(numbers) + 1))
        assert 3 <= len(numbers) <= 5
    assert step == 8


def test_neither_letter_nor_length_is_a_clue():
    times = Counter(question.right for question in QUESTIONS.values())
    assert max(times.values()) - min(times[letter] for letter in "abcd") <= 2
    longest = [max(q.choices, key=lambda a: len(q.choices[a])) for q in QUESTIONS.values()]
    share = sum(a == q.right for a, q in zip(longest, QUESTIONS.values(), strict=True))
    assert share / len(QUESTIONS) < 0.4


@pytest.mark.parametrize(("key", "letter"), LETTERS)
def test_every_choice_gets_its_own_reason(key, letter):
    question, answer = QUESTIONS[key], ask(key, letter)
    right = letter == question.right
    assert answer.passed == right
    assert answer.mistake == (None if right else f"{key} {letter}")
    assert f"{letter}) is {'right' if right else 'wrong'}.\n{question.why[letter]}" in str(answer)
    if not right:
        reason = f" {question.why[letter]} "
        assert not re.search(rf"[\s(]{re.escape(question.choices[question.right])}[\s.,)]", reason)
    assert all(len(line) <= 100 for line in str(answer).splitlines())


@pytest.mark.parametrize("key", QUESTIONS)
def test_an_open_question_shows_itself_and_is_not_passed(key):
    answer = ask(key)
    shown = repr(answer)
    assert QUESTIONS[key].text in shown
    assert all(f"  {a}) {choice}\n" in shown for a, choice in QUESTIONS[key].choices.items())
    assert shown.endswith('Not answered yet: write answer="a".')
    assert not answer.passed and answer.mistake is None


@pytest.mark.parametrize("answer", ["", "e", "ab", "None", 0, 1.5, True, [], ["a"], {"a"}, ...])
def test_what_is_no_letter_is_named(answer):
    found = ask("4.1", answer)
    assert not found.passed and found.mistake is None
    expected = f'answer: expected one of "a", "b", "c", "d", found {answer!r}.'
    assert found.message.splitlines()[-1] == expected


def test_a_long_answer_is_cut_short():
    assert len(ask("4.1", torch.zeros(100, 100)).message.splitlines()[-1]) < 100


@pytest.mark.parametrize("answer", ["A", " a "])
def test_capitals_and_spaces_do_not_matter(answer):
    assert ask("4.1", answer) == ask("4.1", "a")


@pytest.mark.parametrize("key", ["4.9", "4", 4, 4.1])
def test_an_unknown_key_lists_those_of_its_step(key):
    message = ask(key, "a").message
    assert message == f'key: expected one of "4.1", "4.2", "4.3", "4.4", "4.5", found {key!r}.'


@pytest.mark.parametrize("key", ["9.1", "", None, ["4.1"]])
def test_a_key_of_no_step_lists_all(key):
    answer = ask(key)
    assert not answer.passed and all(f'"{known}"' in answer.message for known in QUESTIONS)


@pytest.mark.parametrize("step", range(9))
def test_a_notebook_asks_all_questions_of_its_step_and_stores_them_open(step):
    cells = [
        cell for cell in read(NOTEBOOKS[step]).cells if "question" in cell.metadata.get("tags", [])
    ]
    keys = [key for key in QUESTIONS if key[0] == str(step)]
    assert [cell.source for cell in cells] == [f'ask("{key}", answer=None)' for key in keys]
    for cell, key in zip(cells, keys, strict=True):
        assert [output.data["text/plain"] for output in cell.outputs] == [ask(key).message]
