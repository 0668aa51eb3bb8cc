"""How a notebook is stored: without what differs from machine to machine, or is dead in a file."""

from collections.abc import Mapping
from typing import Any

from nbconvert.filters.widgetsdatatypefilter import WIDGET_VIEW_MIMETYPE


def tidy(notebook: dict[str, Any]) -> None:
    """Leaves out times, the kernel's version, and widgets, of which the still picture is kept."""
    for cell in notebook["cells"]:
        cell["metadata"].pop("execution", None)
        if cell["cell_type"] == "code":
            cell["outputs"] = without_widgets(cell["outputs"])
    notebook["metadata"].pop("widgets", None)
    notebook["metadata"]["language_info"] = {"name": "python"}


def without_widgets(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outputs in which each widget, dead without its kernel, gives way to its stand-in, if any."""
    kept = []
    for output in outputs:
        data = output.get("data", {})
        widget = data.pop(WIDGET_VIEW_MIMETYPE, None)
        if widget is None or set(data) != {"text/plain"}:
            kept.append(output)
    return kept


def before_saving(model: Mapping[str, Any], **_: Any) -> None:
    """What `make lab` has Jupyter call before it saves a file, see `ContentsManager.pre_save_hook`.

    Jupyter writes its kernel's version into every notebook that it saves. Without this, a notebook
    that was only opened would differ from the one in git.
    """
    if model["type"] == "notebook" and model["content"]["nbformat"] == 4:
        tidy(model["content"])
