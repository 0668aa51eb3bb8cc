"""What the learner gets back."""

from dataclasses import dataclass
from html import escape

from ..notebook.differences import to_html

DIFFERENCE = "The package's source beside yours:"  # the rest of a message is one


@dataclass(frozen=True, repr=False)
class Answer:
    """An answer that prints as its message.

    Args:
        passed: whether the attempt is right.
        message: what was tried, what came, what was expected, and a hint.
        mistake: the name of the mistake, where it is a known one.
        remarks: names of what is remarkable about an attempt that is right.
    """

    passed: bool
    message: str
    mistake: str | None = None
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return self.message

    def _repr_html_(self) -> str | None:
        """The message in colour, where it ends with a difference of source."""
        words, found, lines = self.message.partition(DIFFERENCE)
        if not found:
            return None
        return f"<pre>{escape(words + found)}</pre>" + to_html(lines.splitlines())
