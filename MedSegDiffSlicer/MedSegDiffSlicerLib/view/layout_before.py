"""The way back from a layout that was chosen to show a chart or a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer

_before: dict[int, int] = {}  # by a layout that was chosen so: the one before it


@contextmanager
def shown_in_layout() -> Iterator[None]:
    """Remembers the layout before the block, if the block changes it."""
    layouts = slicer.app.layoutManager()
    before = layouts.layout
    yield
    if layouts.layout != before:
        _before[layouts.layout] = before


def go_back(is_shown: bool, otherwise: int | None = None) -> None:
    """Goes back to the layout before, if what was asked for is shown still and the layout was changed for it, or else
    to another one, if that is given; nothing where the application has no window."""
    layouts = slicer.app.layoutManager()
    before = _before.pop(layouts.layout, otherwise) if is_shown and layouts is not None else None
    if before is not None:
        layouts.setLayout(before)
