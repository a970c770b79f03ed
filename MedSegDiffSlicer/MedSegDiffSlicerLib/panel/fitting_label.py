"""Labels of several lines: neither foldable sections nor the module's scroll area ask how high a text becomes."""

from __future__ import annotations

import qt


AGAIN = 100  # ms; a scroll bar that the text made needful took some of its width


def fit_height(label) -> None:
    """Makes room for the whole text, as soon as the label has its width."""
    for wait in (0, AGAIN):
        qt.QTimer.singleShot(wait, lambda: _fit(label))


def _fit(label) -> None:
    try:
        width = label.width
    except ValueError:  # PythonQt's, of what Qt has destroyed: Slicer ended in between
        return
    label.minimumHeight = 0  # else it is never less than for the text before
    label.minimumHeight = max(0, label.heightForWidth(width)) if label.visible else 0
