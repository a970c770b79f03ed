"""Verdicts on places, and what they make of a segment's status."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import slicer

from ..nodes.segments import segment_ids
from .table import Place

ACCEPTED, ALTERNATIVE, REPAINT = "accept", "alternative", "repaint"


def update_status(segmentation_node, places: Sequence[Place], judged: Collection[int] = ()) -> None:
    """Sets the status of each segment that has places: not started, in progress, completed once all are judged, or
    flagged where one of them is still to be repainted.

    judged: the values of the structures of which a verdict was just given or taken back. What the user set for another
    one stays: completed, flagged, or anything where it has no verdict.
    """
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    for value, segment_id in segment_ids(segmentation_node).items():
        verdicts = [place.verdict for place in places if place.label == value]
        if not any(verdicts):
            status = logic.NotStarted
        elif not all(verdicts):
            status = logic.InProgress
        else:
            status = logic.Flagged if REPAINT in verdicts else logic.Completed
        segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
        now = logic.GetSegmentStatus(segment)
        users = not any(verdicts) or now in (logic.Completed, logic.Flagged)
        if verdicts and now != status and (value in judged or not users):
            logic.SetSegmentStatus(segment, status)
