"""The colour of what is told as an error."""

from __future__ import annotations

_RED, _LIGHT_RED = "#c0392b", "#ff7b6e"  # to be read on a light and on a dark window
_DARK = 128  # lightness of a window, below which it is one


def style_of(widget, isError: bool) -> str:
    """The style sheet of a label in a widget whose own colours are those of the application."""
    if not isError:
        return ""
    return f"color: {_LIGHT_RED if widget.palette.window().color().lightness() < _DARK else _RED}"
