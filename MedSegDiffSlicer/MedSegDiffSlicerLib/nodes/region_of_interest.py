"""Which part of a volume is segmented: all of it, a box, or what is around a segment."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from medsegdiff.errors import RequestError
from medsegdiff.image.image import Image

from .volume_to_image import affine_of, to_world

ROUNDING = 1e-6  # voxels; a border through voxels' centres takes these in


@dataclass(frozen=True)
class Box:
    """A block of a volume's voxels: start <= index < stop along i, j and k."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """To index an array (I, J, K)."""
        return tuple(slice(low, high) for low, high in zip(self.start, self.stop))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j and k."""
        return tuple(high - low for low, high in zip(self.start, self.stop))


def whole(volume) -> Box:
    """All voxels."""
    return Box((0, 0, 0), tuple(volume.GetImageData().GetDimensions()))


def inside_roi(volume, roi) -> Box:
    """The smallest block of voxels that holds all those in the ROI node, whichever way that is turned.

    Raises RequestError where there are none.
    """
    matrix = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())
    half = np.array(roi.GetSize()) / 2
    corners = np.array(list(itertools.product(*zip(-half, half))))
    return _box(volume, _moved(matrix, corners), _("the box '{name}'").format(name=roi.GetName()))


def fit_roi(roi, volume) -> None:
    """Gives a new ROI node a place that can be seen and moved: the middle of the volume, half as wide."""
    bounds = np.zeros(6)
    volume.GetRASBounds(bounds)
    low, high = bounds[::2], bounds[1::2]
    roi.SetCenter(*(low + high) / 2)
    roi.SetSize(*(high - low) / 2)


def around_segment(volume, segmentation, segment_id: str, margin: float) -> Box:
    """The block of voxels around a segment.  margin: mm on each side.

    Raises RequestError where the segment is empty, outside of the volume, or under a non-linear transform.
    """
    name = segmentation.GetSegmentation().GetSegment(segment_id).GetName()
    corners = _moved(to_world(segmentation), _corners(segmentation, segment_id, name))
    world_to_index = np.linalg.inv(affine_of(volume))
    steps = margin * np.linalg.norm(world_to_index[:3, :3], axis=1)  # mm along each axis' normal in voxels
    return _box(volume, corners, _("segment '{name}'").format(name=name), steps)


def crop(image: Image, box: Box) -> Image:
    """The part of the image, at its place in the world; a view."""
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ box.start
    return replace(image, array=image.array[(slice(None), *box.slices)], affine=affine)


def _corners(segmentation, segment_id: str, name: str) -> np.ndarray:
    """(8, 3) of the segment's voxels, in the segmentation's coordinates."""
    image, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    if not segmentation.GetBinaryLabelmapRepresentation(segment_id, image) or image.IsEmpty():
        raise RequestError(
            _("segment '{name}' is empty; paint in it first, or choose another region").format(name=name)
        )
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")
    if not array.any():
        raise RequestError(
            _("segment '{name}' is empty; paint in it first, or choose another region").format(name=name)
        )
    borders = []
    for axis, first in enumerate(image.GetExtent()[::2]):
        used = np.flatnonzero(array.any(tuple({0, 1, 2} - {axis})))
        borders.append((first + used[0] - 0.5, first + used[-1] + 0.5))
    image.GetImageToWorldMatrix(matrix)
    return _moved(slicer.util.arrayFromVTKMatrix(matrix), np.array(list(itertools.product(*borders))))


def _box(volume, corners: np.ndarray, what: str, steps=0.0) -> Box:
    """corners: (8, 3) in the world.  steps: voxels to be added on each side."""
    index = _moved(np.linalg.inv(affine_of(volume)), corners)
    shape = volume.GetImageData().GetDimensions()
    low = np.maximum(np.ceil(index.min(0) - steps - ROUNDING), 0).astype(int)
    high = np.minimum(np.floor(index.max(0) + steps + ROUNDING) + 1, shape).astype(int)
    if (low >= high).any():
        raise RequestError(
            _("{what} holds no voxel of '{volume}'; move it, or choose another region").format(
                what=what, volume=volume.GetName()
            )
        )
    return Box(tuple(low.tolist()), tuple(high.tolist()))


def _moved(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 3) points through a (4, 4) matrix."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]
