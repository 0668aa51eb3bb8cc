"""`python -m detr_steps`: the command line."""

import sys

from .extras import advice

try:
    from .commands import app

    app(prog_name="python -m detr_steps")
except ModuleNotFoundError as error:
    sys.exit(advice(error, sys.argv[1:]))
