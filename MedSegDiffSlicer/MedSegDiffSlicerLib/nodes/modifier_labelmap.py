"""Labels into segments the way the Segment Editor's own effects write: masked, overwriting as it is set, undoable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from medsegdiff.errors import RequestError

from .region_of_interest import Box
from .scene_change import is_in_scene
from .segments import binary_labelmap, describe, oriented_image
from .target_segments import Target
from .volume_to_image import to_world


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


def write(editor: Editor, labelmap: np.ndarray, box: Box, volume, targets: Sequence[Target]) -> list[str]:
    """Makes the targets what the label map says, in one step to undo; returns the IDs of the segments written.

    labelmap: (I, J, K) uint8 of the box of the volume's voxels; outside of the box nothing changes.
    Voxels are erased, then painted, so that the order of the targets does not matter and other segments lose no voxel
    that the masks protect (as they may where overlapping segments are edited in the mode "set"). A new segment that
    would stay empty is not made.
    Raises RequestError, before anything is changed, where the segmentation cannot be written.
    """
    segmentation_node = editor.node.GetSegmentationNode()
    _check(segmentation_node, volume, targets)
    to_world(volume), to_world(segmentation_node)
    some = [t for t in targets if t.segment_id is not None or np.isin(labelmap, t.values).any()]
    if not some:
        return []
    segmentation = segmentation_node.GetSegmentation()
    selected = editor.node.GetSelectedSegmentID()
    editor.save_state()
    with slicer.util.NodeModify(editor.node):  # selections below are for the masks only, nobody needs to know
        try:
            if not segmentation.GetNumberOfSegments():
                segmentation.SetSourceRepresentationName(binary_labelmap())
            ids = [t.segment_id or _add_segment(segmentation, t.label) for t in some]
            canvas = _Canvas(editor, labelmap, box, volume, segmentation_node)
            for segment_id, target in zip(ids, some):
                if target.segment_id is not None:
                    canvas.remove(segment_id, target.values)
            for segment_id, target in zip(ids, some):
                canvas.add(segment_id, target.values)
        finally:
            first = some[0].segment_id or segmentation.GetNthSegmentID(0)
            editor.node.SetSelectedSegmentID(selected or first)
    return ids


class _Canvas:
    """The label map on the Segment Editor's grid, where 0 is outside of the box and value + 1 within."""

    def __init__(self, editor: Editor, labelmap: np.ndarray, box: Box, volume, segmentation_node):
        self._editor, self._modifier = editor, editor.modifier()
        placed = oriented_image((labelmap + np.uint8(1)), volume, box.start)
        transform = vtk.vtkGeneralTransform()
        slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
            volume.GetParentTransformNode(), segmentation_node.GetParentTransformNode(), transform
        )
        same = volume.GetParentTransformNode() is segmentation_node.GetParentTransformNode()
        out = slicer.vtkOrientedImageData()
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
            placed, self._modifier, out, False, False, None if same else transform
        )
        self._image, self._values = out, vtk_to_numpy(out.GetPointData().GetScalars())

    def add(self, segment_id: str, values: Sequence[int]) -> None:
        """Puts the voxels of these labels into the segment."""
        self._edit(self._editor.add, segment_id, self._has(values))

    def remove(self, segment_id: str, values: Sequence[int]) -> None:
        """Takes the voxels of the box that have none of these labels out of the segment."""
        mask = (self._values > 0) & ~self._has(values)
        if self._editor.node.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment:
            # Here the Segment Editor's erasing takes the whole edited segment for editable.
            mask &= self._editable(segment_id)
        self._edit(self._editor.remove, segment_id, mask)

    def _has(self, values: Sequence[int]) -> np.ndarray:
        return np.isin(self._values, np.array(values, int) + 1)

    def _editable(self, segment_id: str) -> np.ndarray:
        node, mask = self._editor.node, slicer.vtkOrientedImageData()
        node.GetSegmentationNode().GenerateEditMask(
            mask, node.GetMaskMode(), self._image, segment_id, node.GetMaskSegmentID() or ""
        )
        editable = vtk_to_numpy(mask.GetPointData().GetScalars()) == 0
        if node.GetSourceVolumeIntensityMask():
            low, high = node.GetSourceVolumeIntensityMaskRange()
            intensity = vtk_to_numpy(self._editor.source().GetPointData().GetScalars())
            editable &= (intensity >= low) & (intensity <= high)
        return editable

    def _edit(self, edit, segment_id: str, mask: np.ndarray) -> None:
        if mask.any():
            self._editor.node.SetSelectedSegmentID(segment_id)  # masks spare the selected segment
            image = slicer.vtkOrientedImageData()
            image.CopyStructure(self._image)
            image.CopyDirections(self._image)
            scalars = numpy_to_vtk(mask.astype(np.uint8), deep=True)
            scalars.SetName("ImageScalars")
            image.GetPointData().SetScalars(scalars)
            edit(segment_id, image)


def _check(segmentation_node, volume, targets: Sequence[Target]) -> None:
    if not is_in_scene(segmentation_node):
        raise RequestError(_("there is no segmentation to write to; choose one"))
    if not is_in_scene(volume):
        raise RequestError(_("the volume was removed meanwhile; choose one and run again"))
    segmentation = segmentation_node.GetSegmentation()
    if segmentation.GetNumberOfSegments() and segmentation.GetSourceRepresentationName() != binary_labelmap():
        raise RequestError(
            _(
                "'{segmentation}' does not consist of voxels; make 'Binary labelmap' its source "
                "representation in the Segmentations module"
            ).format(segmentation=segmentation_node.GetName())
        )
    for target in targets:
        if target.segment_id is not None and segmentation.GetSegment(target.segment_id) is None:
            raise RequestError(_("the segment was removed meanwhile; choose another one"))


def _add_segment(segmentation, label) -> str:
    color = [channel / 255 for channel in label.color]  # at once, as each change makes all views and lists work
    segment_id = segmentation.AddEmptySegment(segmentation.GenerateUniqueSegmentID(label.name), label.name, color)
    describe(segmentation.GetSegment(segment_id), label)
    return segment_id
