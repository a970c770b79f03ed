"""How a volume lay to the segments that were written from it: later it tells whether one of them was moved since."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import slicer
import vtk

from .volume_to_image import own_affine

# Tags of a segment, undone and redone with its voxels: the matrix from the volume's coordinates to the segmentation's,
# row by row, absent where both were moved alike; and the matrices from voxels to coordinates, the volume's and that of
# the segment's own voxels.
FROM_VOLUME, GRIDS = "MedSegDiff.FromVolume", "MedSegDiff.Grids"
_MM = 1e-3  # by which a grid may differ, as in files


def keep_position(segmentation_node, segment_ids: Iterable[str], volume) -> None:
    """Writes it into segments."""
    now = _between(volume, segmentation_node)
    for segment_id in segment_ids:
        segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
        keep_grids(segment, volume)
        if now is not None and not _alike(now, np.eye(4)):
            segment.SetTag(FROM_VOLUME, _text(now))
        elif segment.HasTag(FROM_VOLUME):
            segment.RemoveTag(FROM_VOLUME)


def keep_grids(segment, volume) -> None:
    """Writes the grids alone into a segment that is under the volume's transform."""
    own = _grid_of_voxels(segment)
    if own is not None:
        segment.SetTag(GRIDS, _text(own_affine(volume), own))


def was_moved(segmentation_node, segment_ids: Iterable[str], volume) -> bool:
    """Whether the volume lies otherwise to one of the segments than it did when that was written."""
    now, segmentation = _between(volume, segmentation_node), segmentation_node.GetSegmentation()
    segments = [segmentation.GetSegment(segment_id) for segment_id in segment_ids]
    if now is None or not all(_alike(now, _kept(segment)) for segment in segments):
        return True
    return any(_was_given_another_grid(segment, own_affine(volume)) for segment in segments)


def _was_given_another_grid(segment, now: np.ndarray) -> bool:
    """Whether the volume's grid was changed, and that of the segment's voxels not alike, as by a transform that was
    hardened on both."""
    (before, voxels_before), voxels = _matrices(segment, GRIDS) or (now, now), _grid_of_voxels(segment)
    if voxels is None or np.allclose(now, before, rtol=0, atol=_MM):
        return False
    return not np.allclose(now @ np.linalg.inv(before), voxels @ np.linalg.inv(voxels_before), rtol=0, atol=_MM)


def _grid_of_voxels(segment) -> np.ndarray | None:
    """(4, 4), from the voxels of a segment to the segmentation's coordinates; None where it has none."""
    name = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    image, matrix = segment.GetRepresentation(name), vtk.vtkMatrix4x4()
    if image is None:
        return None
    image.GetImageToWorldMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _kept(segment) -> np.ndarray:
    return (_matrices(segment, FROM_VOLUME) or [np.eye(4)])[0]


def _matrices(segment, tag: str) -> list[np.ndarray] | None:
    text = vtk.reference("")
    return list(np.array(str(text).split(), float).reshape(-1, 4, 4)) if segment.GetTag(tag, text) else None


def _text(*matrices: np.ndarray) -> str:
    return " ".join(repr(number) for matrix in matrices for number in matrix.ravel().tolist())


def _between(volume, segmentation_node) -> np.ndarray | None:
    """(4, 4); None where they are under transforms of which one is not linear."""
    ours, theirs = volume.GetParentTransformNode(), segmentation_node.GetParentTransformNode()
    if ours is theirs:
        return np.eye(4)
    matrix = vtk.vtkMatrix4x4()
    linear = slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(ours, theirs, matrix)
    return slicer.util.arrayFromVTKMatrix(matrix) if linear else None


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return np.allclose(one, other, rtol=0, atol=1e-6)
