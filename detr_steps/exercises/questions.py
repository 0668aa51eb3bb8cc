"""Questions: a few choices each, and for every choice the reason why it is right or wrong."""

import reprlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from .answer import Answer


@dataclass(frozen=True)
class Question:
    """A question; it prints as its text with the choices below.

    Args:
        text: what is asked.
        right: the letter of the right choice.
        choices: letter -> what can be chosen.
        why: letter -> why that choice is right, or wrong; a wrong one's does not give away the
            right one.
    """

    text: str
    right: str
    choices: dict[str, str]
    why: dict[str, str]

    def __str__(self) -> str:
        return "\n".join([self.text, *(f"  {a}) {choice}" for a, choice in self.choices.items())])


def load_questions() -> dict[str, Question]:
    """The questions in `questions.toml`: key, as "4.1" for the first one of Step 4 -> question."""
    content = files(__package__).joinpath("questions.toml").read_text(encoding="utf-8")
    return {key: Question(**parts) for key, parts in tomllib.loads(content).items()}


QUESTIONS = load_questions()


def ask(key: str, answer: str | None = None) -> Answer:
    """Asks a question, and says why an answer to it is right or wrong.

    Args:
        key: which question, as "4.1" for the first one of Step 4.
        answer: the letter of a choice, as "a"; None to be asked.

    Returns:
        An answer that prints; a wrong choice's `.mistake` is the question with the letter, "4.1 b".
    """
    if not isinstance(key, str) or key not in QUESTIONS:
        of_the_step = [known for known in QUESTIONS if known[0] == str(key)[:1]]
        return Answer(False, refusal("key", of_the_step or list(QUESTIONS), key))
    question = QUESTIONS[key]
    letter = answer.strip().lower() if isinstance(answer, str) else answer
    passed, mistake = False, None
    if answer is None:
        verdict = 'Not answered yet: write answer="a".'
    elif not isinstance(letter, str) or letter not in question.choices:
        verdict = refusal("answer", list(question.choices), answer)
    elif letter == question.right:
        passed, verdict = True, f"{letter}) is right.\n{question.why[letter]}"
    else:
        mistake, verdict = f"{key} {letter}", f"{letter}) is wrong.\n{question.why[letter]}"
    return Answer(passed, f"Question {key}\n{question}\n{verdict}", mistake)


def refusal(name: str, known: Sequence[str], found: Any) -> str:
    """What to say of an argument that is none of the known ones."""
    names = ", ".join(f'"{one}"' for one in known)
    return f"{name}: expected one of {names}, found {reprlib.repr(found)}."
