"""The code behind Slicer's Segment Editor, without its widgets, as MedSegDiffSlicerLib.nodes.modifier_labelmap wants
it."""

from __future__ import annotations

import numpy as np
import slicer


class LogicEditor:
    """A Segment Editor for one segmentation and source volume.  saved counts the states kept for undo."""

    def __init__(self, scene, segmentation_node, volume):
        self.node = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLScene(scene)
        self.logic.SetVerbose(True)
        self.logic.SetMaximumNumberOfUndoStates(10)
        self.logic.SetSegmentEditorNode(self.node)
        self.logic.SetSegmentationNode(segmentation_node)
        self.logic.SetSourceVolumeNode(volume)
        self.saved = 0

    def save_state(self) -> None:
        self.logic.SaveStateForUndo()
        self.saved += 1

    def modifier(self):
        self.logic.ResetModifierLabelmapToDefault()
        return self.logic.GetModifierLabelmap()

    def source(self):
        self.logic.UpdateAlignedSourceVolume()
        return self.logic.GetAlignedSourceVolume()

    def add(self, segment_id, labelmap) -> None:
        self._modify(segment_id, labelmap, self.logic.ModificationModeAdd)

    def remove(self, segment_id, labelmap) -> None:
        self._modify(segment_id, labelmap, self.logic.ModificationModeRemove)

    def set(self, segment_id, labelmap) -> None:
        """What Slicer's own Threshold effect does on Apply."""
        self.node.SetSelectedSegmentID(segment_id)
        self.modifier()
        self._modify(segment_id, labelmap, self.logic.ModificationModeSet)

    def _modify(self, segment_id, labelmap, mode) -> None:
        self.logic.ModifySegmentByLabelmap(self.node.GetSegmentationNode(), segment_id, labelmap, mode, False, False)


def voxels(segmentation_node, segment_id: str, volume) -> np.ndarray:
    """(I, J, K) bool of a segment on a volume's grid."""
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume)
    shape = volume.GetImageData().GetDimensions()
    return np.zeros(shape, bool) if array is None else array.transpose(2, 1, 0) > 0


def all_voxels(segmentation_node, volume) -> dict[str, np.ndarray]:
    """Every segment by its ID."""
    ids = segmentation_node.GetSegmentation().GetSegmentIDs()
    return {id: voxels(segmentation_node, id, volume) for id in ids}
