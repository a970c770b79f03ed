"""The label map on the Segment Editor's grid, from which segments are edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.uncertainty.aggregation import bounding_box

from .region_of_interest import Box
from .segment_grid import Block, Grid, Part, alike, common, grid_of_volume, resampled, voxels_of_image
from .segments import binary_labelmap, oriented_image

BEYOND = 1 - 1e-3  # voxels, from the centres of the last ones: what is nearer goes into these


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
        modifier, own = editor.modifier(), grid_of_volume(volume, segmentation_node)
        matrix = vtk.vtkMatrix4x4()
        modifier.GetImageToWorldMatrix(matrix)
        self._grid = Grid(matrix)
        if alike(own.matrix, matrix):
            part = common(box.start, labelmap.shape, modifier.GetExtent())
            self._values, self._known = labelmap[part], None
            lost = np.count_nonzero(labelmap) > np.count_nonzero(self._values)
            self._start = [low + side.start for low, side in zip(box.start, part)]
        else:
            placed = resampled(Block(own, box.start, labelmap + np.uint8(1)), self._grid, modifier.GetExtent())
            self._known, self._start = placed.where, placed.start
            self._values = np.where(self._known, placed.values - np.uint8(1), np.uint8(0))
            lost = _reaches_beyond(labelmap, box.start, own, self._grid, modifier.GetExtent())
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
        there = alike(matrix, self._grid.matrix)
        return common(self._start, self._values.shape, image.GetExtent()) if there else whole

    def _editable(self, segment_id: str, part: Part) -> np.ndarray:
        node, mask, shape = self._editor.node, slicer.vtkOrientedImageData(), self._values[part].shape
        image = self._image(np.zeros(shape, np.uint8), part)
        node.GetSegmentationNode().GenerateEditMask(
            mask, node.GetMaskMode(), image, segment_id, node.GetMaskSegmentID() or ""
        )
        editable = voxels_of_image(mask) == 0
        if node.GetSourceVolumeIntensityMask():
            low, high = node.GetSourceVolumeIntensityMaskRange()
            source = self._editor.source()
            there = common(source.GetExtent()[::2], source.GetDimensions(), image.GetExtent())
            intensity = voxels_of_image(source)[there]
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
        low = [side.indices(n)[0] for side, n in zip(part, self._values.shape)]
        return oriented_image(voxels, self._grid, [start + at for start, at in zip(self._start, low)])


def _reaches_beyond(labelmap: np.ndarray, start: Sequence[int], own: Grid, grid: Grid, extent: Sequence[int]) -> bool:
    """Whether anything (I, J, K) that begins at voxel `start` of its own grid is a voxel or more beyond the extent of
    another one, of larger voxels the part that reaches farthest."""
    part = bounding_box(labelmap > 0, 0)
    inside = labelmap[part] > 0
    if not inside.size:
        return False
    columns = np.argwhere(inside.any(2))
    along = inside[tuple(columns.T)]
    ends = along.argmax(1), along.shape[1] - 1 - along[:, ::-1].argmax(1)  # no voxel in between is farther out
    points = np.concatenate([np.column_stack([columns, end]) for end in ends])
    points = points + start + [side.start for side in part]
    to_grid = np.linalg.inv(_affine(grid)) @ _affine(own)
    placed = points @ to_grid[:3, :3].T + to_grid[:3, 3]
    larger = np.maximum(np.abs(to_grid[:3, :3]).sum(1) - 1, 0) / 2  # so much farther than those of the other grid
    low, high = np.reshape(extent, (3, 2)).T
    return bool(((placed - larger <= low - BEYOND) | (placed + larger >= high + BEYOND)).any())


def _affine(grid: Grid) -> np.ndarray:
    return slicer.util.arrayFromVTKMatrix(grid.matrix)
