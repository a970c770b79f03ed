"""What a segmentation node tells of its run, in line with its segments: the Segment Editor undoes these alone."""

from __future__ import annotations

from functools import partial

import slicer
import vtk

from .segments import APPLIED
from .slicer_result import ATTRIBUTES, CALL, WARNINGS

Attributes = dict[str, "str | None"]
_NAMES = (*ATTRIBUTES, CALL, WARNINGS)


def attributes_of(segmentation_node) -> Attributes:
    """What it tells; None for what it does not."""
    return {name: segmentation_node.GetAttribute(name) for name in _NAMES}


def follow_undo(segmentation_node, mark: str, before: Attributes) -> None:
    """Gives the node back what it told `before` when what was written is undone, and what it tells now when it is redone.

    mark: tag APPLIED that the segments written have by now.  The scene's end ends it; nothing is to be kept.
    """
    state = {"there": True, "before": before, "after": attributes_of(segmentation_node)}
    kinds = slicer.vtkSegmentation
    for event in (kinds.SegmentAdded, kinds.SegmentRemoved, kinds.SegmentModified, kinds.SourceRepresentationModified):
        segmentation_node.AddObserver(event, partial(_look, mark, state))


def _look(mark: str, state: dict, node, _event) -> None:
    there = _has(node.GetSegmentation(), mark)
    if there != state["there"]:
        state["there"] = there
        with slicer.util.NodeModify(node):
            for name, value in state["after" if there else "before"].items():
                node.RemoveAttribute(name) if value is None else node.SetAttribute(name, value)


def _has(segmentation, mark: str) -> bool:
    value = vtk.reference("")
    return any(
        segmentation.GetNthSegment(n).GetTag(APPLIED, value) and str(value) == mark
        for n in range(segmentation.GetNumberOfSegments())
    )
