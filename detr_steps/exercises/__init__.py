"""Exercises: a checker that names the mistake, and questions. The steps are their own solutions."""

from .answer import Answer
from .checker import check
from .questions import ask

__all__ = ["Answer", "ask", "check"]
