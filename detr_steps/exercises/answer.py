"""What the learner gets back."""

from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Answer:
    """An answer that prints as its message.

    Args:
        passed: whether the attempt is right.
        message: what was tried, what came, what was expected, and a hint.
        mistake: the name of the mistake, where it is a known one.
    """

    passed: bool
    message: str
    mistake: str | None = None

    def __repr__(self) -> str:
        return self.message
