"""Which segments take which labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import vtk

from medsegdiff.models.package import Label


class Target(NamedTuple):
    """A segment and what goes into it.

    values: labels, all of which become this segment.  segment_id: None for a new segment, described by `label`.
    """

    values: tuple[int, ...]
    segment_id: str | None
    label: Label | None = None


def one_each(segmentation_node, labels: Sequence[Label]) -> list[Target]:
    """A segment for each label: that of its name (or else of its terminology) if it is there already, or a new one."""
    free = {id: segmentation_node.GetSegmentation().GetSegment(id) for id in _ids(segmentation_node)}
    found: dict[int, str] = {}
    for fits in (_same_name, _same_terminology):
        for label in labels:
            if label.value not in found:
                match = next((id for id, segment in free.items() if fits(segment, label)), None)
                if match is not None:
                    found[label.value] = match
                    del free[match]
    return [Target((label.value,), found.get(label.value), label) for label in labels]


def label_of(segmentation_node, segment_id: str | None, labels: Sequence[Label]) -> Label | None:
    """The label that a segment stands for, by its name or else its terminology; None where it is none of them."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id) if segment_id else None
    if segment is None:
        return None
    for fits in (_same_name, _same_terminology):
        for label in labels:
            if fits(segment, label):
                return label
    return None


def _ids(segmentation_node) -> list[str]:
    return list(segmentation_node.GetSegmentation().GetSegmentIDs())


def _same_name(segment, label: Label) -> bool:
    return segment.GetName().strip().casefold() == label.name.strip().casefold()


def _same_terminology(segment, label: Label) -> bool:
    entry = vtk.reference("")
    return bool(
        label.terminology
        and segment.GetTag(segment.GetTerminologyEntryTagName(), entry)
        and str(entry) == label.terminology
    )
