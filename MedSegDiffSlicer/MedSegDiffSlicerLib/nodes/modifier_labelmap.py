"""Labels into segments the way the Segment Editor's own effects write: masked, overwriting as it is set, undoable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError
from medsegdiff.uncertainty.aggregation import bounding_box

from .modifier_canvas import Canvas, Editor
from .region_of_interest import Box
from .relative_position import keep_position
from .scene_change import is_in_scene
from .segment_numbers import volume_of
from .segments import binary_labelmap, describe
from .target_segments import Target
from .volume_to_image import to_world


def write(editor: Editor, labelmap: np.ndarray, box: Box, volume, targets: Sequence[Target]) -> list[str]:
    """Makes the targets what the label map says, in one step to undo; returns the IDs of the segments written.

    labelmap: (I, J, K) uint8 of the box of the volume's voxels; outside of the box nothing changes.
    Voxels are erased, then painted, so that the order of the targets does not matter and other segments lose no voxel
    that the masks protect (as they may where overlapping segments are edited in the mode "set"). A new segment that
    would stay empty is not made. A segmentation without a voxel takes the volume's grid where its own does not reach
    all.
    Raises RequestError, before anything is changed, where the segmentation cannot be written.
    """
    segmentation_node = editor.node.GetSegmentationNode()
    _check(segmentation_node, volume, targets)
    to_world(volume), to_world(segmentation_node)
    found = labelmap[bounding_box(labelmap > 0, 0)]
    asked = [value for target in targets for value in target.values]
    if not np.isin(found, [0, *asked]).all():  # others may lie where nothing can be written
        kept = np.zeros(256, np.uint8)
        kept[asked] = asked
        labelmap = kept[labelmap]
    some = [t for t in targets if t.segment_id is not None or np.isin(found, t.values).any()]
    if not some:
        return []
    segmentation = segmentation_node.GetSegmentation()
    selected = editor.node.GetSelectedSegmentID()
    try:
        canvas = Canvas(editor, labelmap, box, volume, segmentation_node)
    except RequestError:
        if any(volume_of(segmentation_node, segment_id) for segment_id in segmentation.GetSegmentIDs()):
            raise
        segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume)  # nothing is on the one before
        canvas = Canvas(editor, labelmap, box, volume, segmentation_node)
    editor.save_state()
    with slicer.util.NodeModify(editor.node):  # selections below are for the masks only, nobody needs to know
        try:
            if not segmentation.GetNumberOfSegments():
                segmentation.SetSourceRepresentationName(binary_labelmap())
            ids = [t.segment_id or _add_segment(segmentation, t.label) for t in some]
            for segment_id, target in zip(ids, some):
                if target.segment_id is not None:
                    canvas.remove(segment_id, target.values)
            for segment_id, target in zip(ids, some):
                canvas.add(segment_id, target.values)
            keep_position(segmentation_node, ids, volume)
            for segment_id, target in zip(tuple(ids), some):
                if target.segment_id is None and not volume_of(segmentation_node, segment_id):
                    segmentation.RemoveSegment(segment_id)  # the masks let nothing through
                    ids.remove(segment_id)
        finally:
            first = some[0].segment_id or (segmentation.GetSegmentIDs() or [None])[0]
            editor.node.SetSelectedSegmentID(selected or first)
    return ids


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
