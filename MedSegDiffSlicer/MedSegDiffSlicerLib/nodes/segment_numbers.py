"""What a run measured of a segment, kept as tags of the segment itself: they are saved, copied and moved with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from medsegdiff.errors import RequestError
from medsegdiff.inference.result import SegmentResult

from .placed_result import PlacedResult
from .segments import binary_labelmap, tags_at_once
from .volume_to_image import to_world

SAME_VOLUME = 1e-7  # relative; a segment whose volume differs by more was edited since
_PREFIX = "MedSegDiff."
_VOLUME = _PREFIX + "VolumeMm3"
_VOXELS = _PREFIX + "Voxels"
# Tag and key of the statistics (an index: of the volume's interval).
_TAGS = {
    "VolumeLowMm3": 0, "VolumeHighMm3": 1, "SurfaceAreaMm2": "surface_area_mm2", "ExpectedDice": "expected_dice",
    "SampleAgreement": "sample_agreement", "MeanUncertainty": "mean_uncertainty",
    "WorstUncertainty": "worst_uncertainty",
}  # fmt: skip
NUMBERS = tuple(_TAGS)
REMEMBERED = 100  # images whose voxels were counted
AT_ONCE = 2**18  # voxels
_counted: dict[int, Counter[int]] = {}


def keep_numbers(segmentation_node, result: SegmentResult | PlacedResult, ids: Mapping[int, str]) -> None:
    """Tags the segments that the result's statistics are about.  ids: of segments, by label value."""
    statistics = result.statistics
    for row in (row for row in statistics if row["label"] in ids):
        segment = segmentation_node.GetSegmentation().GetSegment(ids[row["label"]])
        with tags_at_once(segment) as tags:
            tags.SetTag(_VOLUME, f"{row['volume_mm3']:.9g}")
            tags.SetTag(_VOXELS, f"{row['volume_mm3'] / result.voxel_volume:.0f}")
            for tag, key in _TAGS.items():
                value = row["volume_interval_mm3"][key] if isinstance(key, int) else row[key]
                if value is not None:
                    tags.SetTag(_PREFIX + tag, f"{value:.9g}")
                else:
                    tags.RemoveTag(_PREFIX + tag)  # of an earlier run


def numbers_of(segment, volume: float) -> dict[str, float]:
    """What is known of the segment, by NUMBERS: volumes in mm^3, the surface in mm^2, uncertainties in nats, the
    others in [0, 1].

    volume: the segment's present one, mm^3.  Empty where no run made the segment, or where it was edited since: the
    numbers are of what the run left.
    """
    if _tag(segment, _VOLUME) is None or was_edited(segment, volume):
        return {}
    found = {tag: _tag(segment, _PREFIX + tag) for tag in NUMBERS}
    return {tag: value for tag, value in found.items() if value is not None}


def was_edited(segment, volume: float) -> bool:
    """Whether the segment is not what the run left.  volume: its present one, mm^3."""
    kept = _tag(segment, _VOLUME)
    return kept is not None and not is_same_volume(volume, kept)


def was_painted(segmentation_node, segment_id: str) -> bool:
    """Whether other voxels are in the segment than the run left, wherever a transform puts them, and however large."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    volume = volume_of(segmentation_node, segment_id)
    return was_edited(segment, volume) and _voxels(segment) != _tag(segment, _VOXELS)


def is_same_volume(volume: float, kept: float) -> bool:
    """Whether two volumes are the same but for rounding."""
    return abs(volume - kept) <= SAME_VOLUME * kept


def volume_of(segmentation_node, segment_id: str, placed=None) -> float:
    """mm^3 of the segment's voxels in the world, as a run measures them; on their own grid under a transform that is
    not linear.  placed: the node whose transform moves it, where it is in no scene itself: a frame of a sequence."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    count = _voxels(segment)
    if not count:
        return 0.0
    x, y, z = segment.GetRepresentation(binary_labelmap()).GetSpacing()
    return count * x * y * z * _scale(placed or segmentation_node)


def _voxels(segment) -> float:
    """How many there are in it."""
    image = segment.GetRepresentation(binary_labelmap())  # which it may share with others; a copy would take its time
    return 0.0 if image is None or image.IsEmpty() else float(_counts(image)[segment.GetLabelValue()])


def _counts(image) -> Counter[int]:
    """Voxels by label; counted once for each change of the image, as the panel asks again and again."""
    time = image.GetMTime()  # no two changes of anything have the same one in VTK
    if time not in _counted:
        if len(_counted) >= REMEMBERED:
            _counted.clear()
        voxels, counts = vtk_to_numpy(image.GetPointData().GetScalars()), Counter()
        for at in range(0, len(voxels), AT_ONCE):
            part = voxels[at : at + AT_ONCE]
            values, numbers = np.unique(part[part > 0], return_counts=True)  # labels may be as large as they like
            counts.update(dict(zip(values.tolist(), numbers.tolist())))
        _counted[time] = counts
    return _counted[time]


def _scale(node) -> float:
    """What its parent transform makes of a mm^3."""
    try:
        return float(abs(np.linalg.det(to_world(node)[:3, :3])))
    except RequestError:
        return 1.0


def _tag(segment, name: str) -> float | None:
    value = vtk.reference("")
    return float(str(value)) if segment.GetTag(name, value) else None
