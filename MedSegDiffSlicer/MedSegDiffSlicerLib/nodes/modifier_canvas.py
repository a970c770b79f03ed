"""The label map on the Segment Editor's grid, from which segments are edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from medsegdiff.errors import RequestError
from medsegdiff.uncertainty.aggregation import bounding_box

from .region_of_interest import Box
from .segments import binary_labelmap, oriented_image, scalars_of

Part = tuple[slice, slice, slice]


class Editor(Protocol):
    """What is needed of the Segment Editor.

    node: the vtkMRMLSegmentEditorNode.  save_state(): keeps the present state for undo.
    modifier(): the modifier labelmap, emptied, on the segmentation's reference geometry.
    source(): the source volume as oriented image on that geometry.
    add(segment_id, labelmap), remove(segment_id, labelmap): what painting and erasing do, with an oriented image on
    that geometry.
    """

    node: object

    def save_state(self) -> None: ...

    def modifier(self): ...

    def source(self): ...

    def add(self, segment_id: str, labelmap) -> None: ...

    def remove(self, segment_id: str, labelmap) -> None: ...


class Canvas:
    """Each edit reaches no farther than what it changes: on large scans all of the grid would take seconds.

    labelmap: (I, J, K) uint8 of the box of the volume's voxels.
    Raises RequestError where structures lie beyond the grid: the Segment Editor could not hold them.
    """

    def __init__(self, editor: Editor, labelmap: np.ndarray, box: Box, volume, segmentation_node):
        self._editor, self._segmentation = editor, segmentation_node.GetSegmentation()
        modifier, self._affine = editor.modifier(), vtk.vtkMatrix4x4()
        modifier.GetImageToWorldMatrix(self._affine)
        own = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(own)
        together = volume.GetParentTransformNode() is segmentation_node.GetParentTransformNode()
        if together and _alike(own, self._affine):
            part = _common(box.start, labelmap.shape, modifier.GetExtent())
            self._values, self._known = labelmap[part], None
            lost = np.count_nonzero(labelmap) > np.count_nonzero(self._values)
            self._start = [low + side.start for low, side in zip(box.start, part)]
        else:
            placed = _resampled(labelmap, box, volume, segmentation_node, modifier, together)
            self._known, self._start = placed > 0, list(modifier.GetExtent()[::2])
            self._values = np.where(self._known, placed - np.uint8(1), np.uint8(0))
            lost = labelmap.any() and not self._values.any()  # voxels of another size are not to be counted
        if lost:
            raise RequestError(
                _(
                    "'{segmentation}' does not reach all that was found in '{volume}', as it was made for another scan "
                    "or a part of it; choose or create another segmentation, then apply again"
                ).format(segmentation=segmentation_node.GetName(), volume=volume.GetName())
            )
        self._foreground = bounding_box(self._values > 0, 0)

    def add(self, segment_id: str, values: Sequence[int]) -> None:
        """Puts the voxels of these labels into the segment."""
        self._edit(self._editor.add, segment_id, self._has(values, self._foreground), self._foreground)

    def remove(self, segment_id: str, values: Sequence[int]) -> None:
        """Takes the voxels of the box that have none of these labels out of the segment."""
        part = self._of(segment_id)
        mask = ~self._has(values, part)
        if self._known is not None:
            mask &= self._known[part]
        if (
            mask.any()
            and self._editor.node.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment
        ):
            # Here the Segment Editor's erasing takes the whole edited segment for editable.
            mask &= self._editable(segment_id, part)
        self._edit(self._editor.remove, segment_id, mask, part)

    def _has(self, values: Sequence[int], part: Part) -> np.ndarray:
        there = self._values[part]
        return there == values[0] if len(values) == 1 else np.isin(there, values)

    def _of(self, segment_id: str) -> Part:
        """Where the segment may have voxels."""
        image = self._segmentation.GetSegment(segment_id).GetRepresentation(binary_labelmap())
        matrix = vtk.vtkMatrix4x4()
        if image is None or image.IsEmpty():
            return (slice(0, 0),) * 3
        image.GetImageToWorldMatrix(matrix)
        whole = (slice(None),) * 3
        return _common(self._start, self._values.shape, image.GetExtent()) if _alike(matrix, self._affine) else whole

    def _editable(self, segment_id: str, part: Part) -> np.ndarray:
        node, mask, shape = self._editor.node, slicer.vtkOrientedImageData(), self._values[part].shape
        image = self._image(np.zeros(shape, np.uint8), part)
        node.GetSegmentationNode().GenerateEditMask(
            mask, node.GetMaskMode(), image, segment_id, node.GetMaskSegmentID() or ""
        )
        editable = _voxels(mask) == 0
        if node.GetSourceVolumeIntensityMask():
            low, high = node.GetSourceVolumeIntensityMaskRange()
            source = self._editor.source()
            there = _common(source.GetExtent()[::2], source.GetDimensions(), image.GetExtent())
            intensity = _voxels(source)[there]
            editable &= (intensity >= low) & (intensity <= high)
        return editable

    def _edit(self, edit, segment_id: str, mask: np.ndarray, part: Part) -> None:
        box = bounding_box(mask, 0)
        if box[0].start < box[0].stop:
            self._editor.node.SetSelectedSegmentID(segment_id)  # masks spare the selected segment
            low = [side.indices(n)[0] for side, n in zip(part, self._values.shape)]
            there = tuple(slice(at + side.start, at + side.stop) for at, side in zip(low, box))
            edit(segment_id, self._image(mask[box].astype(np.uint8), there))

    def _image(self, voxels: np.ndarray, part: Part):
        """(i, j, k) of a part as oriented image."""
        image, low = slicer.vtkOrientedImageData(), [side.indices(n)[0] for side, n in zip(part, self._values.shape)]
        first = [start + at for start, at in zip(self._start, low)]
        image.SetExtent([bound for at, n in zip(first, voxels.shape) for bound in (at, at + n - 1)])
        image.GetPointData().SetScalars(scalars_of(voxels))
        image.SetGeometryFromImageToWorldMatrix(self._affine)
        return image


def _resampled(labelmap: np.ndarray, box: Box, volume, segmentation_node, modifier, together: bool) -> np.ndarray:
    """(I, J, K) uint8 on the modifier's grid: 0 outside of the box, value + 1 within."""
    placed, out = oriented_image((labelmap + np.uint8(1)), volume, box.start), slicer.vtkOrientedImageData()
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        volume.GetParentTransformNode(), segmentation_node.GetParentTransformNode(), transform
    )
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        placed, modifier, out, False, False, None if together else transform
    )
    return _voxels(out)


def _voxels(image) -> np.ndarray:
    """(I, J, K), a view."""
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions(), order="F")


def _common(start: Sequence[int], shape: Sequence[int], extent: Sequence[int]) -> Part:
    """The part of an array that lies in an extent.  start: its first voxel, on the same grid."""
    bounds = [
        (max(0, low - at), min(n, high + 1 - at))
        for at, n, low, high in zip(start, shape, extent[::2], extent[1::2])
    ]  # fmt: skip
    return tuple(slice(low, max(low, high)) for low, high in bounds)


def _alike(one, other) -> bool:
    """Whether two matrices of an image's voxels to mm are the same."""
    ours, theirs = (slicer.util.arrayFromVTKMatrix(matrix) for matrix in (one, other))
    return bool(np.allclose(ours, theirs, rtol=0, atol=1e-6))
