"""The grid that segments have their voxels on: the Segment Editor's for the segmentation, which need not be the grid
of the volume that was segmented."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from .segments import binary_labelmap, oriented_image

Part = tuple[slice, slice, slice]
_ROUNDING = 1e-6  # voxels


class Grid:
    """matrix: vtkMatrix4x4 from voxels to mm in the segmentation's own coordinates."""

    def __init__(self, matrix):
        self.matrix = matrix

    def GetIJKToRASMatrix(self, matrix) -> None:
        """As a volume node has it, so that a grid may stand for one where segments are read and images made."""
        matrix.DeepCopy(self.matrix)


@dataclass(frozen=True)
class Block:
    """Voxels on a grid.  start: the first one.  values: (I, J, K), 0 at those that are not meant."""

    grid: Grid
    start: tuple[int, int, int]
    values: np.ndarray

    @property
    def where(self) -> np.ndarray:
        """(I, J, K) bool: those that are meant."""
        return self.values > 0

    def cut(self, box: Part) -> Block:
        """A part of it."""
        return replace(self, start=_moved(self.start, box), values=self.values[box])


def grid_of_volume(volume, segmentation_node) -> Grid:
    """A volume's grid, where it lies for the segmentation; linear transforms of both are taken in."""
    own, between = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(own)
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(
        volume.GetParentTransformNode(), segmentation_node.GetParentTransformNode(), between
    )
    vtk.vtkMatrix4x4.Multiply4x4(between, own, own)
    return Grid(own)


def grid_of_segments(segmentation_node, volume) -> tuple[Grid, tuple[int, ...]]:
    """What the Segment Editor edits on: grid and extent; the volume's where the segmentation has none yet."""
    image, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    text = slicer.vtkSlicerSegmentEditorLogic.GetReferenceImageGeometryStringFromSegmentation(
        segmentation_node.GetSegmentation()
    )
    if slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False):
        image.GetImageToWorldMatrix(matrix)
        return Grid(matrix), image.GetExtent()
    return grid_of_volume(volume, segmentation_node), volume.GetImageData().GetExtent()


def loses_detail(segmentation_node, segment_id: str, grid: Grid) -> bool:
    """Whether a segment has another grid than this, whose voxels are not all smaller."""
    image = segmentation_node.GetSegmentation().GetSegment(segment_id).GetRepresentation(binary_labelmap())
    other = slicer.vtkOrientedImageData()
    other.SetGeometryFromImageToWorldMatrix(grid.matrix)
    if image is None or image.IsEmpty() or slicer.vtkOrientedImageDataResample.DoGeometriesMatch(image, other):
        return False
    return max(other.GetSpacing()) > min(image.GetSpacing()) + _ROUNDING


def on_segments_grid(values: np.ndarray, start: Sequence[int], volume, segmentation_node) -> Block:
    """What is at voxels of a volume, at the segments' voxels whose centres lie in these.

    values: (I, J, K) of the box that begins at voxel `start`; a view of them where both grids are the same.
    """
    own, (grid, extent) = grid_of_volume(volume, segmentation_node), grid_of_segments(segmentation_node, volume)
    block = Block(own, tuple(start), values)
    if alike(own.matrix, grid.matrix):
        return replace(block.cut(common(start, values.shape, extent)), grid=grid)
    return resampled(block, grid, extent)


def resampled(block: Block, grid: Grid, extent: Sequence[int]) -> Block:
    """What a block has where the voxels of another grid have their centres, as far as these lie in an extent."""
    first, last = _reach(block, grid)
    low, high = np.maximum(first, extent[::2]), np.minimum(last, extent[1::2])
    if (low > high).any():
        return Block(grid, tuple(extent[::2]), np.zeros((0, 0, 0), block.values.dtype))
    there, out = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
    there.SetExtent([int(bound) for bounds in zip(low, high) for bound in bounds])
    there.SetGeometryFromImageToWorldMatrix(grid.matrix)
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        oriented_image(block.values, block.grid, block.start), there, out, False, False
    )
    return Block(grid, tuple(low.tolist()), voxels_of_image(out))


def alike(one, other) -> bool:
    """Whether two matrices of an image's voxels to mm are the same."""
    ours, theirs = (slicer.util.arrayFromVTKMatrix(matrix) for matrix in (one, other))
    return bool(np.allclose(ours, theirs, rtol=0, atol=1e-6))


def common(start: Sequence[int], shape: Sequence[int], extent: Sequence[int]) -> Part:
    """The part of an array that lies in an extent.  start: its first voxel, on the same grid."""
    bounds = [
        (max(0, low - at), min(n, high + 1 - at))
        for at, n, low, high in zip(start, shape, extent[::2], extent[1::2])
    ]  # fmt: skip
    return tuple(slice(low, max(low, high)) for low, high in bounds)


def voxels_of_image(image) -> np.ndarray:
    """(I, J, K), a view."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")


def _reach(block: Block, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last voxel of a grid whose centres may lie in the block."""
    ours, theirs = (slicer.util.arrayFromVTKMatrix(each.matrix) for each in (block.grid, grid))
    to_theirs = np.linalg.solve(theirs, ours)
    borders = [(at - 0.5, at + n - 0.5) for at, n in zip(block.start, block.values.shape)]
    corners = np.array(list(itertools.product(*borders))) @ to_theirs[:3, :3].T + to_theirs[:3, 3]
    first, last = np.ceil(corners.min(0) - _ROUNDING), np.floor(corners.max(0) + _ROUNDING)
    return first.astype(int), last.astype(int)


def _moved(start: Sequence[int], part: Part) -> tuple[int, int, int]:
    return tuple(int(at) + side.start for at, side in zip(start, part))
