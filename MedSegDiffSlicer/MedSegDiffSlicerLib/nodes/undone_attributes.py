"""What a segmentation node tells of its run, in line with its segments: the Segment Editor undoes these alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from weakref import WeakValueDictionary

import slicer
import vtk

from .frame import FRAME
from .segments import APPLIED
from .slicer_result import ATTRIBUTES, CALL, WARNINGS

KEPT = 20  # Applies that are followed; the Segment Editor keeps fewer steps to undo
Attributes = dict[str, "str | None"]
_NAMES = (*ATTRIBUTES, CALL, WARNINGS, FRAME)


@dataclass
class _Written:
    """What one Apply wrote.  there: whether any of its segments has its mark."""

    mark: str
    ids: frozenset[str]
    before: Attributes
    after: Attributes
    there: bool = True


_followed = WeakValueDictionary()  # by address of a segmentation node: its last _Written; its observers keep them


def attributes_of(segmentation_node) -> Attributes:
    """What it tells; None for what it does not."""
    return {name: segmentation_node.GetAttribute(name) for name in _NAMES}


def follow_undo(segmentation_node, mark: str, ids: Sequence[str], before: Attributes) -> None:
    """Gives the node back what it told `before` when what was written is undone, and what it tells now at its redo.

    ids: of the segments that were written; mark: the tag APPLIED that they have by now.  The node's end ends it;
    nothing is to be kept.
    """
    followed = _followed.get(segmentation_node.__this__)
    if followed is None:
        followed = _followed[segmentation_node.__this__] = deque(maxlen=KEPT)
        for name in ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SourceRepresentationModified"):
            segmentation_node.AddObserver(getattr(slicer.vtkSegmentation, name), partial(_look, followed))
    followed.append(_Written(mark, frozenset(ids), before, attributes_of(segmentation_node)))


def forget_undo(segmentation_node) -> None:
    """What another run is about to tell of the node stays, whatever becomes of the segments of Applies before."""
    _followed.get(segmentation_node.__this__, deque()).clear()


def _look(followed: deque, node, _event) -> None:
    marks = _marks(node.GetSegmentation(), frozenset().union(*(written.ids for written in followed)))
    for written in list(followed):
        if (written.mark in marks) != written.there:
            written.there = not written.there
            with slicer.util.NodeModify(node):
                for name, value in (written.after if written.there else written.before).items():
                    node.RemoveAttribute(name) if value is None else node.SetAttribute(name, value)


def _marks(segmentation, ids: frozenset[str]) -> set[str]:
    """The tags APPLIED of those of the segments that are there."""
    value, found = vtk.reference(""), set()
    for segment_id in ids:
        segment = segmentation.GetSegment(segment_id)
        if segment is not None and segment.GetTag(APPLIED, value):
            found.add(str(value))
    return found
