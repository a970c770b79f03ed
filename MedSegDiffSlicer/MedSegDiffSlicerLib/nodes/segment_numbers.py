"""What a run measured of a segment, kept as tags of the segment itself: they are saved, copied and moved with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from medsegdiff.errors import RequestError
from medsegdiff.inference.result import SegmentResult

from .placed_result import PlacedResult
from .segments import binary_labelmap, tags_at_once
from .volume_to_image import to_world

SAME_VOLUME = 1e-7  # relative; a segment whose volume differs by more was edited since
SIX_DIGITS = 1e-5  # relative
_PREFIX = "MedSegDiff."
_VOLUME = _PREFIX + "VolumeMm3"
_WITHHELD = _PREFIX + "Withheld"  # why there is no expected Dice, and the interval was not calibrated for the scan
_COUNT, _SPREAD = _PREFIX + "Voxels", _PREFIX + "VoxelsSpread"
# Tag and key of the statistics (an index: of the volume's interval).
_TAGS = {
    "VolumeLowMm3": 0, "VolumeHighMm3": 1, "SurfaceAreaMm2": "surface_area_mm2", "ExpectedDice": "expected_dice",
    "SampleAgreement": "sample_agreement", "MeanUncertainty": "mean_uncertainty",
    "WorstUncertainty": "worst_uncertainty",
}  # fmt: skip
NUMBERS = tuple(_TAGS)
REMEMBERED = 100  # images whose voxels were counted
_counted: dict[int, dict[int, Voxels]] = {}


class Voxels(NamedTuple):
    """What tells a segment's voxels from others.  spread: their number squared times the variance of a position in
    which each axis counts otherwise; the same wherever the image's own voxels begin."""

    count: int = 0
    spread: float = 0.0


def keep_numbers(segmentation_node, result: SegmentResult | PlacedResult, ids: Mapping[int, str]) -> None:
    """Tags the segments that the result's statistics are about.  ids: of segments, by label value."""
    statistics = result.statistics
    for row in (row for row in statistics if row["label"] in ids):
        segment = segmentation_node.GetSegmentation().GetSegment(ids[row["label"]])
        with tags_at_once(segment) as tags:
            tags.SetTag(_VOLUME, f"{row['volume_mm3']:.9g}")
            tags.SetTag(_WITHHELD, row.get("expected_dice_withheld") or "")
            for tag, value in zip((_COUNT, _SPREAD), voxels_in(segment)):
                tags.SetTag(tag, str(value))
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
    if not segment.HasTag(_VOLUME) or was_edited(segment, volume):
        return {}
    found = {tag: _tag(segment, _PREFIX + tag) for tag in NUMBERS}
    return {tag: value for tag, value in found.items() if value is not None}


def is_reliable(segment) -> bool:
    """Whether the model was calibrated for scans and results like that of the segment, as far as a run told."""
    why = vtk.reference("")
    return not (segment.GetTag(_WITHHELD, why) and str(why))


def was_edited(segment, volume: float) -> bool:
    """Whether the segment is not what the run left.  volume: its present one, mm^3."""
    kept = _tag(segment, _VOLUME)
    return kept is not None and (not is_same_volume(volume, kept) or _was_rearranged(segment))


def was_painted(segmentation_node, segment_id: str) -> bool:
    """Whether other voxels are in the segment than the run left, wherever a transform puts them, and however large."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    if not was_edited(segment, volume_of(segmentation_node, segment_id)):
        return False
    return _was_rearranged(segment) or voxels_in(segment).count != _tag(segment, _COUNT)


def is_as_left(segment, volume: float, left: float) -> bool:
    """Whether a run left the segment as it is, and left it this large.  volume: its present one; mm^3.  left: of a
    table, of whose numbers Slicer saves six digits."""
    return bool(numbers_of(segment, volume)) and abs(volume - left) <= SIX_DIGITS * left


def is_same_volume(volume: float, kept: float) -> bool:
    """Whether two volumes are the same but for rounding."""
    return abs(volume - kept) <= SAME_VOLUME * kept


def volume_of(segmentation_node, segment_id: str, placed=None) -> float:
    """mm^3 of the segment's voxels in the world, as a run measures them; on their own grid under a transform that is
    not linear.  placed: the node whose transform moves it, where it is in no scene itself: a frame of a sequence."""
    segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
    count = voxels_in(segment).count
    if not count:
        return 0.0
    to_node = vtk.vtkMatrix4x4()
    segment.GetRepresentation(binary_labelmap()).GetImageToWorldMatrix(to_node)
    return count * abs(to_node.Determinant()) * _scale(placed or segmentation_node)  # axes need not be at right angles


def has_voxels(segment) -> bool:
    """Whether the segment is kept as voxels, be they none, and not as a surface alone."""
    return segment.GetRepresentation(binary_labelmap()) is not None


def voxels_in(segment) -> Voxels:
    """What is in a segment now."""
    image = segment.GetRepresentation(binary_labelmap())  # which it may share with others; a copy would take its time
    if image is None or image.IsEmpty():
        return Voxels()
    return _all_voxels(image).get(int(segment.GetLabelValue()), Voxels())


def _was_rearranged(segment) -> bool:
    """Whether as many voxels as the run left are elsewhere; there may be more or fewer on another grid. Scenes of
    earlier versions do not tell."""
    now = voxels_in(segment)
    return now.count == _tag(segment, _COUNT) and _tag(segment, _SPREAD) not in (None, now.spread)


def _all_voxels(image) -> dict[int, Voxels]:
    """By label; looked at once for each change of the image, as the panel asks again and again."""
    time = image.GetMTime()  # no two changes of anything have the same one in VTK
    if time not in _counted:
        if len(_counted) >= REMEMBERED:
            _counted.clear()
        _counted[time] = _count(vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1]))
    return _counted[time]


def _count(labels: np.ndarray) -> dict[int, Voxels]:
    """labels: integers (K, J, I); those above 0 are counted, which may be as large as they like."""
    plane = np.add.outer(31.0 * np.arange(labels.shape[1]), np.arange(labels.shape[2]))
    sums: dict[int, np.ndarray] = {}
    for k, of_slice in enumerate(labels):
        inside = of_slice > 0
        values, found = of_slice[inside], np.unique(of_slice[inside])
        which, position = np.searchsorted(found, values), plane[inside] + 97.0 * k
        parts = [np.bincount(which, weights) for weights in (None, position, position**2)]  # whole numbers, all exact
        for label, *of_label in zip(found.tolist(), *parts):
            sums[label] = sums.get(label, 0) + np.array([int(number) for number in of_label], object)
    return {label: Voxels(count, float(count * squares - first**2)) for label, (count, first, squares) in sums.items()}


def _scale(node) -> float:
    """What its parent transform makes of a mm^3."""
    try:
        return float(abs(np.linalg.det(to_world(node)[:3, :3])))
    except RequestError:
        return 1.0


def _tag(segment, name: str) -> float | None:
    value = vtk.reference("")
    return float(str(value)) if segment.GetTag(name, value) else None
