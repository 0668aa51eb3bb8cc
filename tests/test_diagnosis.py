"""Several mistakes at once, mistakes without a name, and the edits that make known ones."""

import pytest
import torch
import torch.nn.functional as F
from attempts import ATTEMPTS
from learner import write
from torch import nn

from detr_steps import Step3, Step4, box_iou
from detr_steps.exercises import check
from detr_steps.exercises.attention import attend
from detr_steps.exercises.catalogue import TASKS
from detr_steps.exercises.editing import edited, replaced
from detr_steps.exercises.mistakes import MISTAKES, Edit, named
from detr_steps.step4_encoder import TransformerEncoderLayer

MORE = "Something else may differ as well"


def test_of_two_known_mistakes_one_is_named():
    source, _ = ATTEMPTS["FPN"]
    changes = ("here = side(c)", "here = side(c).relu()"), ("smooth(here))", "smooth(here).relu())")
    answer = check(write(source, *changes), "FPN")
    assert answer.mistake == "a ReLU in the pyramid"
    changes = ("here = side(c)", "here = side(c).relu()"), ("here + F", "here / 2 + 0.5 * F")
    answer = check(write(source, *changes), "FPN")
    assert answer.mistake in ("a ReLU in the pyramid", "mean in place of the sum"), answer
    assert MORE in answer.message


class Layer(TransformerEncoderLayer):
    """An attention with a mistake that no one has thought of."""

    def forward(self, tokens, positions, padding=None):
        query = tokens + positions
        attended, _ = self.self_attn(query.flip(-1), query, tokens, key_padding_mask=padding)
        tokens = self.norm1(tokens + self.dropout(attended))
        return self.norm2(tokens + self.dropout(self.feed(tokens)))

    def feed(self, tokens):
        return self.linear2(self.dropout(F.relu(self.linear1(tokens))))


class LinearLayer(Layer):
    """The same, and no ReLU."""

    def feed(self, tokens):
        return self.linear2(self.dropout(self.linear1(tokens)))


def encoder_of(layer):
    class MyStep4(Step3):
        def __init__(self, nhead=8, enc_layers=6, dim_feedforward=2048, dropout=0.1, **kwargs):
            super().__init__(**kwargs)
            sizes = self.emb_dim, nhead, dim_feedforward, dropout
            self.encoder = nn.ModuleList(layer(*sizes) for _ in range(enc_layers))

        encode = Step4.encode

    MyStep4.encode = lambda self, images, mask=None: encode(self, images, mask)
    return MyStep4


def encode(self, images, padding_mask):
    context = Step3.encode(self, images, padding_mask)
    tokens, positions = (context[k].flatten(2).mT for k in ("features", "pos_emb"))
    padding = context["padding_mask"].flatten(1) if "padding_mask" in context else None
    for layer in self.encoder:
        tokens = layer(tokens, positions, padding)
    return {**context, "mem": tokens, "mem_pos": positions}


def test_where_a_mistake_has_no_name_it_is_said_where_it_lies():
    answer = check(encoder_of(Layer))
    assert answer.mistake is None
    assert "Yours is right where the self-attention adds nothing." in answer.message, answer
    assert "the result['mem']" in answer.message


def test_a_known_mistake_is_named_beside_one_without_a_name():
    answer = check(encoder_of(LinearLayer))
    assert answer.mistake == "feed-forward without ReLU", answer
    assert MORE in answer.message


def test_a_stronger_hint_says_something_new_without_a_name():
    first, second = (check(encoder_of(Layer), hint=hint).message for hint in (1, 2))
    assert "yours:" in second and "expected:" in second and "yours:" not in first
    assert "Right: ['class_logits'], ['bbox_pred'], ['features']" in second


def test_the_strongest_hint_shows_all_definitions():
    message = check(encoder_of(Layer), hint=3).message
    for line in ("class TransformerEncoderLayer", "def init_transformer", "def token_padding"):
        assert line in message


def test_the_packages_own_is_told_from_ones_own():
    class MyStep4(Step4):
        size = 0

    def my_iou(a, b):
        return box_iou(a, b)

    for answer in (check(Step4), check(MyStep4), check(my_iou, "box_iou")):
        assert answer.passed and "Remark (the package's own): " in answer.message, answer
    assert "Remark" not in check(write(ATTEMPTS["Step4"][0])).message


@pytest.mark.parametrize("padded", [False, True])
def test_attention_by_hand_is_pytorchs_where_no_mistake_is_made(padded):
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(12, 3, batch_first=True)
    nn.init.normal_(attention.in_proj_bias)  # zero at the start
    query, key, value = torch.randn(2, 7, 12), torch.randn(2, 5, 12), torch.randn(2, 5, 12)
    padding = torch.arange(5).expand(2, 5) > 3 if padded else None
    expected, _ = attention(query, key, value, key_padding_mask=padding)
    torch.testing.assert_close(attend(attention, query, key, value, padding), expected)


def test_numbers_of_another_type_are_named():
    attempt = write("def my_corners(b):\n    return box_cxcywh_to_xyxy(b).double()")
    answer = check(attempt, "box_cxcywh_to_xyxy")
    assert answer.mistake == "numbers of another type", answer


def test_an_edit_is_of_one_definition():
    source = "def a():\n    return 1\n\n\ndef b():\n    return 1\n"
    assert replaced(source, "b", "1", "2").endswith("def b():\n    return 2\n")
    with pytest.raises(ValueError, match="no definition c"):
        replaced(source, "c", "1", "2")
    with pytest.raises(ValueError, match="no definition Step9"):
        edited(Step4, [Edit("Step9.encode", "1", "2")])


def test_a_step_can_be_edited_by_way_of_an_earlier_one():
    edit = Edit("PositionEmbedding2D.forward", "(angles.sin(), angles.cos())", "(angles, angles)")
    answer = check(edited(Step4, [edit]), "Step4")
    assert "the result['pos_emb']" in answer.message, answer


def test_every_mistake_belongs_to_an_exercise_and_says_where_to_look():
    assert set(MISTAKES) == {*TASKS, "any"}
    for mistakes in MISTAKES.values():
        for one in mistakes:
            assert one.name and one.hint.endswith((".", "?", "!")), one.name
            assert one.stronger.endswith((".", "?")) and one.stronger != one.hint, one.name
    assert named("nothing returned").stronger.startswith("A function without")
