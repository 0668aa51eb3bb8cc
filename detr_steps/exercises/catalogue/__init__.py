"""What can be checked, step by step; see `tasks` for what a task and a mistake are."""

from . import boxes, decoder, encoder, loss, matching, positions, pyramid, queries, small

TASKS = {
    task.name: task
    for module in (pyramid, queries, positions, encoder, decoder, boxes, matching, loss, small)
    for task in module.TASKS
}

__all__ = ["TASKS"]
