"""What the tests of nodes made from a result share: a volume, and whether segments lie where the result's voxels do."""

from __future__ import annotations

import numpy as np
import pytest

MOVE = np.array([[0.6, -0.8, 0, 10], [0.8, 0.6, 0, -4], [0, 0, 1, 3], [0, 0, 0, 1]])
SHAPE = (24, 20, 16)


@pytest.fixture
def lib(scene):
    """The functions under test."""
    from MedSegDiffSlicerLib.nodes import nodes_from_result, overlay

    return nodes_from_result, overlay


@pytest.fixture
def volume(make_volume):
    return make_volume(np.zeros(SHAPE, np.int16))


def segment_voxels(segmentation_node, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices (N, 3) of a segment's voxels on its own grid, and that grid's matrix."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    image, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    segment_id = segmentation_node.GetSegmentation().GetSegmentIdBySegmentName(name)
    segmentation_node.GetBinaryLabelmapRepresentation(segment_id, image)
    image.GetImageToWorldMatrix(matrix)
    extent = image.GetExtent()
    if extent[0] > extent[1]:
        return np.empty((0, 3), int), slicer.util.arrayFromVTKMatrix(matrix)
    scalars = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")
    return np.argwhere(scalars) + extent[::2], slicer.util.arrayFromVTKMatrix(matrix)


def places(indices: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """(N, 3) RAS, sorted so that two sets can be compared."""
    points = np.round(indices @ affine[:3, :3].T + affine[:3, 3], 6)
    return points[np.lexsort(points.T)]


def check_segments(node, result, affine):
    for label in result.labels:
        indices, matrix = segment_voxels(node, label.name)
        expected = places(np.argwhere(result.labelmap == label.value), affine)
        assert np.allclose(places(indices, matrix), expected, atol=1e-4), label.name
