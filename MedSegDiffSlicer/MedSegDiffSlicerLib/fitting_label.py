"""Labels of several lines inside foldable sections, which do not ask how high a text becomes."""

from __future__ import annotations


def fit_height(label) -> None:
    """Makes room for the whole text at the label's present width."""
    label.minimumHeight = label.heightForWidth(max(label.width, 1))
