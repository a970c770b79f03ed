"""Labels into existing segments, as the Segment Editor writes them: masked, overwriting as it is set, undoable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError

from .scene_change import is_in_scene
from .segments import move_together, oriented_image, read_segment, segment_ids

EDITOR_TAG = "SegmentEditor"  # the singleton node that holds the Segment Editor's settings
UNDO_STATES = 10


class SegmentWriter:
    """Writes into the segments of one segmentation.

    save_state(): keeps the present state for undo, in the application that of its Segment Editor; None: in `logic`,
    whose Undo and Redo then hold.
    """

    def __init__(self, segmentation_node, volume, save_state: Callable[[], None] | None = None):
        self._node, self._volume = segmentation_node, volume
        self.logic = slicer.vtkSlicerSegmentEditorLogic()
        self.logic.SetMRMLScene(segmentation_node.GetScene())
        self.logic.SetMaximumNumberOfUndoStates(UNDO_STATES)
        self._save_state = save_state or self.logic.SaveStateForUndo

    def read(self, start, shape) -> dict[int, np.ndarray]:
        """Label value to (I, J, K) bool: what the segments hold in a box of the volume's grid. RequestError if gone."""
        self.check()
        return {
            value: read_segment(self._node, segment_id, self._volume, start, shape)
            for value, segment_id in segment_ids(self._node).items()
        }

    def write(self, wanted: dict[int, np.ndarray], start, where: np.ndarray) -> int:
        """Makes the segments what is wanted, as one step to undo; returns how many voxels changed.

        wanted: label value to (I, J, K) bool, for the box that begins at voxel `start`.  where: (I, J, K) bool, the
        only voxels that change.  Labels without a segment are left out. What the Segment Editor masks stays.
        Raises RequestError where segmentation, volume or segments were removed.
        """
        before, ids = self.read(start, where.shape), segment_ids(self._node)
        if not ids:
            raise RequestError(_("the segments of this result were removed; run the model again"))
        less = {value: where & has & ~wanted[value] for value, has in before.items() if value in wanted}
        more = {value: where & ~has & wanted[value] for value, has in before.items() if value in wanted}
        editor = editor_node(self._node.GetScene())
        if editor.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment:
            # Here the Segment Editor's erasing takes the whole edited segment for editable.
            inside = self._inside_mask(editor, start, where.shape)
            less = {value: mask & inside for value, mask in less.items()}
        if not any(mask.any() for mask in (*less.values(), *more.values())):
            return 0
        self._select()
        self._save_state()
        selected = editor.GetSelectedSegmentID()
        with slicer.util.NodeModify(editor):  # what is selected here is for the masks; the user's choice comes back
            try:
                for masks, mode in ((less, self.logic.ModificationModeRemove), (more, self.logic.ModificationModeAdd)):
                    for value, mask in masks.items():
                        if mask.any():
                            self._modify(ids[value], mask, start, mode)
            finally:
                editor.SetSelectedSegmentID(selected)
        after = self.read(start, where.shape)
        return int(np.count_nonzero(np.any([after[value] != before[value] for value in before], axis=0)))

    def check(self) -> None:
        """Raises RequestError where the segmentation or its volume was removed, or only one of them was moved."""
        if not is_in_scene(self._node):
            raise RequestError(_("the segmentation was removed; run the model again"))
        if not is_in_scene(self._volume):
            raise RequestError(_("the volume of this result was removed; load it again and run the model again"))
        if not move_together(self._node, self._volume):
            raise RequestError(
                _(
                    "'{segmentation}' and '{volume}' are under different transforms since the run; put both under "
                    "the same one"
                ).format(segmentation=self._node.GetName(), volume=self._volume.GetName())
            )

    def _inside_mask(self, editor, start, shape) -> np.ndarray:
        """(I, J, K) bool: the segment that the Segment Editor allows edits in, within its intensity range."""
        segment_id = editor.GetMaskSegmentID()
        if self._node.GetSegmentation().GetSegment(segment_id or "") is None:
            return np.zeros(shape, bool)
        inside = read_segment(self._node, segment_id, self._volume, start, shape)
        if editor.GetSourceVolumeIntensityMask():
            low, high = editor.GetSourceVolumeIntensityMaskRange()
            box = tuple(slice(at, at + size) for at, size in zip(start, shape))
            voxels = slicer.util.arrayFromVolume(self._volume).T[box]
            inside &= (voxels >= low) & (voxels <= high)
        return inside

    def _select(self) -> None:
        """Makes the segmentation the Segment Editor's, whose masking then refers to it."""
        self.logic.SetSegmentEditorNode(editor_node(self._node.GetScene()))
        self.logic.SetSegmentationNode(self._node)
        self.logic.SetSourceVolumeNode(self._volume)

    def _modify(self, segment_id: str, mask: np.ndarray, start, mode: int) -> None:
        """mask: (I, J, K) bool."""
        self.logic.SetCurrentSegmentID(segment_id)
        self.logic.ResetModifierLabelmapToDefault()
        image = oriented_image(mask.astype(np.uint8), self._volume, start)
        self.logic.ModifySegmentByLabelmap(self._node, segment_id, image, mode, False, False)


def editor_node(scene):
    """The node with the settings of the application's Segment Editor, made where there is none yet."""
    node = scene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag(EDITOR_TAG)
        node = scene.AddNode(node)
    return node
