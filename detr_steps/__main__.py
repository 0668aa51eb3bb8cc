"""`python -m detr_steps`: the command line."""

import os
import sys
import tempfile
from pathlib import Path

from .extras import advice

try:
    Path.home()
except RuntimeError:  # a user without name and home, as in some containers: Jupyter stops at that
    home = tempfile.TemporaryDirectory()
    os.environ["HOME"] = home.name

try:
    from .commands import app

    app(prog_name="python -m detr_steps")
except ModuleNotFoundError as error:
    sys.exit(advice(error, sys.argv[1:]))
