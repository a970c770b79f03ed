"""Labels of several lines inside foldable sections, which do not ask how high a text becomes."""

from __future__ import annotations

import qt


def fit_height(label) -> None:
    """Makes room for the whole text, as soon as the label has its width."""
    qt.QTimer.singleShot(0, lambda: _fit(label))


def _fit(label) -> None:
    try:
        label.minimumHeight = label.heightForWidth(label.width) if label.visible else 0
    except ValueError:  # PythonQt's, of what Qt has destroyed: Slicer ended in between
        pass
