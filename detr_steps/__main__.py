"""`python -m detr_steps`: the command line."""

from .commands import app

app(prog_name="python -m detr_steps")
