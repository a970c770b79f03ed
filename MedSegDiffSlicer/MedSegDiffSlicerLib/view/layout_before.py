"""The way back from a layout that was chosen to show a chart or a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer

_before: dict[str, int] = {}  # by ID of a node that is shown: the layout before


@contextmanager
def shown_in_layout(node) -> Iterator[None]:
    """Remembers the layout before the block, if the block shows the node in another one."""
    layouts = slicer.app.layoutManager()
    before = layouts.layout
    yield
    if layouts.layout != before:
        _before[node.GetID()] = before


def go_back(node, is_shown: bool) -> None:
    """Goes back to the layout before the node, if it is shown still and changed it."""
    before = _before.pop(node.GetID(), None)
    if before is not None and is_shown:
        slicer.app.layoutManager().setLayout(before)
