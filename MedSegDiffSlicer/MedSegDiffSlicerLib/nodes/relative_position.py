"""How a volume lay to the segments that were written from it: later it tells whether one of them was moved since."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import slicer
import vtk

# tag of a segment, undone and redone with its voxels: the matrix from the volume's coordinates to the segmentation's,
# row by row; absent where both were moved alike
FROM_VOLUME = "MedSegDiff.FromVolume"


def keep_position(segmentation_node, segment_ids: Iterable[str], volume) -> None:
    """Writes it into segments."""
    now = _between(volume, segmentation_node)
    for segment_id in segment_ids:
        segment = segmentation_node.GetSegmentation().GetSegment(segment_id)
        if now is not None and not _alike(now, np.eye(4)):
            segment.SetTag(FROM_VOLUME, " ".join(map(repr, now.ravel().tolist())))
        elif segment.HasTag(FROM_VOLUME):
            segment.RemoveTag(FROM_VOLUME)


def was_moved(segmentation_node, segment_ids: Iterable[str], volume) -> bool:
    """Whether the volume lies otherwise to one of the segments than it did when that was written."""
    now, segmentation = _between(volume, segmentation_node), segmentation_node.GetSegmentation()
    return now is None or not all(_alike(now, _kept(segmentation.GetSegment(id))) for id in segment_ids)


def _kept(segment) -> np.ndarray:
    text = vtk.reference("")
    return np.array(str(text).split(), float).reshape(4, 4) if segment.GetTag(FROM_VOLUME, text) else np.eye(4)


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
