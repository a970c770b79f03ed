"""What Apply wrote: the Segment Editor's undo takes it back, redo brings it again. No Qt."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import vtk

from ..jobs.opinions_session import OpinionsSession
from ..nodes.frame import frame_of
from ..nodes.placed_result import PlacedResult
from ..nodes.scene_change import is_in_scene
from ..nodes.segment_numbers import Voxels, voxels_in
from ..nodes.segments import APPLIED, LABEL_TAG
from ..nodes.target_segments import Target


class Applied:
    """Made right after the writing.  ids: of the segments that were written.

    mark: tag APPLIED of these segments.  labelmap: (I, J, K), what was written.  volume, frame: what it is of.
    verdicts: of its review, a place each, when the writing was taken back; the next review of it begins with them.
    """

    def __init__(self, session: OpinionsSession, segmentation_node, targets: Sequence[Target], ids: Sequence[str]):
        self.labelmap, self.volume, self.segmentation = session.labelmap, session.volume, segmentation_node
        self.frame = frame_of(session.volume)
        self._result, self._rule, self._box = session.result, (session.fusion, session.threshold), session.box
        self._shape = tuple(session.volume.GetImageData().GetDimensions())
        self.verdicts: list[str] = []
        self.mark, self._ids = uuid.uuid4().hex, tuple(ids)
        for segment_id in ids:
            self._segment(segment_id).SetTag(APPLIED, self.mark)
        self._voxels = {segment_id: voxels_in(self._segment(segment_id)) for segment_id in ids}
        self._told = True, self.count
        own = [target for target in targets if len(target.values) == 1]
        found = {target.values[0]: target.segment_id or self._new(target.values[0]) for target in own}
        self._labels = {value: segment_id for value, segment_id in found.items() if segment_id in ids}

    @property
    def labels(self) -> dict[int, str]:
        """Value to segment ID, of the labels that have a segment of their own which is still there."""
        return {value: segment_id for value, segment_id in self._labels.items() if self._segment(segment_id)}

    @property
    def count(self) -> int:
        """How many of the segments that were written are there, and not empty."""
        now = self._voxels_now()
        return sum(bool(before.count and id in now and now[id].count) for id, before in self._voxels.items())

    @property
    def is_untouched(self) -> bool:
        """Whether nothing but what was written is in the segments, as far as the arrangement of their voxels tells."""
        return self._voxels_now() == self._voxels

    @property
    def holds(self) -> bool:
        """Whether the segmentation holds what was written, or what was made of it since: False once it was undone."""
        return is_in_scene(self.segmentation) and (
            not self._ids or any(_tag(self._segment(id), APPLIED) == self.mark for id in self._ids)
        )

    def turned(self) -> bool:
        """Whether it was undone or redone, or segments of it removed, since the last call."""
        before, self._told = self._told, (self.holds, self.count)
        return self._told != before

    def result(self, labels: frozenset[int]) -> PlacedResult:
        """What was written, on the whole volume; takes a while, and may be called in a thread.  labels: values."""
        result = self._result
        if self._rule != (result.report.get("fusion", "mean"), result.report.get("threshold")):
            result = result.refuse(*self._rule)
        return PlacedResult(result, self._box, self._shape, labels)

    def stand_for_labels(self) -> None:
        """Makes the segments, and no others, those of the labels."""
        labels = self.labels
        for segment_id in self.segmentation.GetSegmentation().GetSegmentIDs():
            segment = self._segment(segment_id)
            if (_tag(segment, LABEL_TAG) or "") in map(str, labels):
                segment.RemoveTag(LABEL_TAG)
        for value, segment_id in labels.items():
            self._segment(segment_id).SetTag(LABEL_TAG, str(value))

    def _new(self, value: int) -> str | None:
        """The segment that was made for a label."""
        return next((id for id in self._ids if _tag(self._segment(id), LABEL_TAG) == str(value)), None)

    def _voxels_now(self) -> dict[str, Voxels]:
        segments = {segment_id: self._segment(segment_id) for segment_id in self._ids}
        return {segment_id: voxels_in(segment) for segment_id, segment in segments.items() if segment is not None}

    def _segment(self, segment_id: str):
        return self.segmentation.GetSegmentation().GetSegment(segment_id)


def _tag(segment, name: str) -> str | None:
    value = vtk.reference("")
    return str(value) if segment is not None and segment.GetTag(name, value) else None
