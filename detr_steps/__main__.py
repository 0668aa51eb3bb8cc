"""`python -m detr_steps`: train, evaluate, detect."""

from .tools.commands import app

app(prog_name="python -m detr_steps")
