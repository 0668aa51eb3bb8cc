"""`python -m detr_steps`: train, evaluate, detect."""

from .commands import app

app(prog_name="python -m detr_steps")
