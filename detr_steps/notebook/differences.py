"""Differences of source code in colour: JupyterLab has none of its own for them."""

import html
from collections.abc import Iterable

# shades over the background, so that they suit light pages and dark ones
SHADES = {"+": ("ins", "rgba(46, 160, 67, 0.2)"), "-": ("del", "rgba(248, 81, 73, 0.2)")}


def to_html(lines: Iterable[str]) -> str:
    """The lines of a unified diff as HTML: added ones are green, removed ones red.

    The styles stand in the lines, since no frontend takes a style sheet from an output.
    """
    return "<pre>" + "\n".join(map(coloured, lines)) + "</pre>"


def coloured(line: str) -> str:
    """One line, which may be indented, as HTML."""
    text, sign = html.escape(line, quote=False), line.lstrip()[:1]
    if line.lstrip().startswith(("+++", "---")):
        return f"<b>{text}</b>"
    if sign not in SHADES:
        return text
    tag, shade = SHADES[sign]
    style = f"text-decoration: none; color: inherit; background: {shade}"
    return f'<{tag} style="{style}">{text}</{tag}>'
