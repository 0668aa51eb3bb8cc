"""The checker that names a mistake, what it knows of each step, and the questions.

The steps are their own solutions: none is written down here a second time. Copies of the notebooks
for students, and their grading, are in `course`.
"""

from .answer import Answer
from .checker import check
from .questions import ask

__all__ = ["Answer", "ask", "check"]
