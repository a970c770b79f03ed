"""Labels of several lines: neither foldable sections nor the module's scroll area ask how high a text becomes."""

from __future__ import annotations

from functools import partial

import qt

from ..view.timers import once

_NAME = "fitting"  # of a label's timers
AGAIN = 100  # ms; a scroll bar that the text made needful took some of its width


def fit_height(label) -> None:
    """Makes room for the whole text, as soon as the label has its width."""
    for timer in label.findChildren(qt.QTimer, _NAME) or [_timer(label, wait) for wait in (0, AGAIN)]:
        timer.start()


def set_text(label, text: str) -> None:
    """Gives it another text and room for all of it; nothing is laid out anew where one line follows another."""
    was_line = _is_line(label)
    label.text = text
    if not (was_line and _is_line(label)):
        fit_height(label)


def _timer(label, wait: int) -> qt.QTimer:
    timer = once(label, wait, partial(_fit, label))
    timer.objectName = _NAME
    return timer


def _is_line(label) -> bool:
    """Whether the text fills one line, as it is broken now."""
    width = qt.QFontMetrics(label.font).horizontalAdvance(label.text)
    return "\n" not in label.text and 0 < width <= label.contentsRect().width()


def _fit(label) -> None:
    label.minimumHeight = 0  # else it is never less than for the text before
    label.minimumHeight = max(0, label.heightForWidth(label.width)) if label.visible else 0
