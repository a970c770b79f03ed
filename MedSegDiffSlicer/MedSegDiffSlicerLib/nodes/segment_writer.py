"""Labels into existing segments, as the Segment Editor writes them: masked, overwriting as it is set, undoable."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError

from .relative_position import was_moved
from .scene_change import is_in_scene
from .segment_grid import Block, alike, common, grid_of_segments, loses_detail, on_segments_grid, voxels_of_image
from .segment_numbers import has_voxels
from .segments import oriented_image, read_segment, segment_ids

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

    def place(self, values: np.ndarray, start) -> Block:
        """What is at voxels of the volume, on the grid that the segments have: see on_segments_grid.

        Raises RequestError where segmentation or volume were removed, or one of them was moved.
        """
        self.check()
        return on_segments_grid(values, start, self._volume, self._node)

    def read(self, block: Block, ids: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Segment ID to (I, J, K) bool: what segments hold in a block; all segments where none are named."""
        self.check()
        segmentation = self._node.GetSegmentation()
        known = segmentation.GetSegmentIDs() if ids is None else ids
        return {
            id: read_segment(self._node, id, block.grid, block.start, block.values.shape)
            for id in known
            if segmentation.GetSegment(id) is not None
        }

    def write(self, wanted: dict[str, np.ndarray], block: Block, alone: bool = False) -> int:
        """Makes segments what is wanted, as one step to undo; returns how many of their voxels changed.

        wanted: segment ID to (I, J, K) bool in the block, of which only the voxels `where` change. Segments that were
        removed are left out. What the Segment Editor masks stays.  alone: no other segment loses a voxel, as it may
        where the Segment Editor overwrites segments.
        Raises RequestError where segmentation, volume or segments were removed, or the segments' grid is another now.
        """
        before, where = self.read(block, wanted), block.where
        if not before:
            raise RequestError(_("the segments of this result were removed; run the model again"))
        self._check_grid(block, before)
        less = {id: where & has & ~wanted[id] for id, has in before.items()}
        more = {id: where & ~has & wanted[id] for id, has in before.items()}
        editor = editor_node(self._node.GetScene())
        if editor.GetMaskMode() == slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment:
            # Here the Segment Editor's erasing takes the whole edited segment for editable.
            inside = self._inside_mask(editor, block)
            less = {id: mask & inside for id, mask in less.items()}
        if not any(mask.any() for mask in (*less.values(), *more.values())):
            return 0
        self._select()
        self._save_state()
        selected, overwritten = editor.GetSelectedSegmentID(), editor.GetOverwriteMode()
        with slicer.util.NodeModify(editor):  # what is selected here is for the masks; the user's choice comes back
            try:
                if alone:
                    editor.SetOverwriteMode(editor.OverwriteNone)
                for masks, mode in ((less, self.logic.ModificationModeRemove), (more, self.logic.ModificationModeAdd)):
                    for id, mask in masks.items():
                        if mask.any():
                            self._modify(id, mask, block, mode)
            finally:
                editor.SetSelectedSegmentID(selected)
                editor.SetOverwriteMode(overwritten)
        after = self.read(block, wanted)
        return int(np.count_nonzero(np.any([after[id] != before[id] for id in before], axis=0)))

    def check(self) -> None:
        """Raises RequestError where the segmentation or its volume was removed, or only one of them was moved."""
        if not is_in_scene(self._node):
            raise RequestError(_("the segmentation was removed; run the model again"))
        if not is_in_scene(self._volume):
            raise RequestError(_("the volume of this result was removed; load it again and run the model again"))
        segments = map(self._node.GetSegmentation().GetSegment, segment_ids(self._node).values())
        if not all(map(has_voxels, segments)):
            raise RequestError(
                _(
                    "the segments of '{segmentation}' are surfaces without voxels; make 'Binary labelmap' their source "
                    "in the module Segmentations"
                ).format(segmentation=self._node.GetName())
            )
        if was_moved(self._node, segment_ids(self._node).values(), self._volume):
            raise RequestError(
                _(
                    "'{segmentation}' and '{volume}' are under different transforms since the run, or '{volume}' was "
                    "given another origin, spacing or direction; make them as they were, or run the model again"
                ).format(segmentation=self._node.GetName(), volume=self._volume.GetName())
            )

    def _check_grid(self, block: Block, ids: Iterable[str]) -> None:
        """Raises RequestError where the segments are edited on another grid than the block's, or would lose detail by
        being edited, as the Segment Editor resamples a segment to the grid of its edit."""
        if not alike(block.grid.matrix, grid_of_segments(self._node, self._volume)[0].matrix):
            raise RequestError(
                _("'{segmentation}' has voxels of another size or place by now; undo that first").format(
                    segmentation=self._node.GetName()
                )
            )
        if any(loses_detail(self._node, id, block.grid) for id in ids):
            raise RequestError(
                _(
                    "'{segmentation}' is edited on coarser voxels than its segments have, which would lose their "
                    "detail; in the Segment Editor, specify the geometry of '{volume}' for it first"
                ).format(segmentation=self._node.GetName(), volume=self._volume.GetName())
            )

    def _inside_mask(self, editor, block: Block) -> np.ndarray:
        """(I, J, K) bool: the segment that the Segment Editor allows edits in, within its intensity range."""
        segment_id, shape = editor.GetMaskSegmentID(), block.values.shape
        if self._node.GetSegmentation().GetSegment(segment_id or "") is None:
            return np.zeros(shape, bool)
        inside = read_segment(self._node, segment_id, block.grid, block.start, shape)
        return inside & self._in_range(editor, block) if editor.GetSourceVolumeIntensityMask() else inside

    def _in_range(self, editor, block: Block) -> np.ndarray:
        """(I, J, K) bool: what the Segment Editor allows edits in by the intensities there."""
        self._select()
        self.logic.UpdateAlignedSourceVolume()
        source, out = self.logic.GetAlignedSourceVolume(), np.zeros(block.values.shape, bool)
        part = common(block.start, out.shape, source.GetExtent())
        there = tuple(
            slice(at + side.start - first, at + side.stop - first)
            for at, side, first in zip(block.start, part, source.GetExtent()[::2])
        )
        voxels, (low, high) = voxels_of_image(source)[there], editor.GetSourceVolumeIntensityMaskRange()
        out[part] = (voxels >= low) & (voxels <= high)
        return out

    def _select(self) -> None:
        """Makes the segmentation the Segment Editor's, whose masking then refers to it."""
        self.logic.SetSegmentEditorNode(editor_node(self._node.GetScene()))
        self.logic.SetSegmentationNode(self._node)
        self.logic.SetSourceVolumeNode(self._volume)

    def _modify(self, segment_id: str, mask: np.ndarray, block: Block, mode: int) -> None:
        """mask: (I, J, K) bool in the block."""
        self.logic.SetCurrentSegmentID(segment_id)
        image = oriented_image(mask.astype(np.uint8), block.grid, block.start)
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
