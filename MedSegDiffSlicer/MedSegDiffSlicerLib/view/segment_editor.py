"""The application's Segment Editor, as the review uses it: its undo, and Paint at a segment."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError

from ..nodes.segments import segment_ids


def save_state(segmentation_node, volume) -> None:
    """Keeps the segmentation as it is for the Segment Editor's undo."""
    editor = _editor(segmentation_node, volume)
    if editor is not None:
        editor.saveStateForUndo()


def open_for_painting(segmentation_node, volume, segment_id: str) -> str:
    """Opens the Segment Editor with Paint at a segment; what is to be told of segments of the user's own that a stroke
    would overwrite, if any. Raises RequestError where the application has no Segment Editor."""
    editor = _editor(segmentation_node, volume)
    if editor is None:
        raise RequestError(_("this application has no Segment Editor; repaint the segment with another tool"))
    slicer.util.selectModule("SegmentEditor")
    editor.setCurrentSegmentID(segment_id)
    editor.setActiveEffectByName("Paint")
    return _told_of_others(segmentation_node, editor.mrmlSegmentEditorNode())


def _told_of_others(segmentation_node, editor_node) -> str:
    if editor_node.GetOverwriteMode() == editor_node.OverwriteNone:
        return ""
    segmentation, runs = segmentation_node.GetSegmentation(), set(segment_ids(segmentation_node).values())
    others = [id for id in segmentation.GetSegmentIDs() if id not in runs]
    if editor_node.GetOverwriteMode() == editor_node.OverwriteVisibleSegments:
        others = [id for id in others if segmentation_node.GetDisplayNode().GetSegmentVisibility(id)]
    names = ", ".join(f"'{segmentation.GetSegment(id).GetName()}'" for id in others)
    text = _("A stroke takes voxels from {names}, too, unless Masking > Modify other segments is 'Allow overlap'.")
    return text.format(names=names) if others else ""


def put_brush_away() -> None:
    """Ends painting and erasing in the Segment Editor: the next stroke would be one for another place."""
    module = getattr(slicer.modules, "segmenteditor", None)
    editor = module.widgetRepresentation().self().editor if module is not None else None
    effect = editor.activeEffect() if editor is not None else None
    if effect is not None and effect.name in ("Paint", "Erase"):
        editor.setActiveEffect(None)


def _editor(segmentation_node, volume):
    """The module's qMRMLSegmentEditorWidget, with these nodes; None where there is none."""
    module = getattr(slicer.modules, "segmenteditor", None)
    if module is None:
        return None
    widget = module.widgetRepresentation().self()
    widget.selectParameterNode()  # it has none after a scene was closed, until it is opened
    editor = widget.editor
    if editor.segmentationNode() is not segmentation_node:
        editor.setSegmentationNode(segmentation_node)
    if editor.sourceVolumeNode() is not volume:
        editor.setSourceVolumeNode(volume)
    return editor
