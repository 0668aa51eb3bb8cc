"""Exercises: a checker that names the mistake, and questions. The steps are their own solutions."""

from .answer import Answer
from .checker import check

__all__ = ["Answer", "check"]
