"""The application's Segment Editor, as the review uses it: its undo, and Paint at a segment."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError


def save_state(segmentation_node, volume) -> None:
    """Keeps the segmentation as it is for the Segment Editor's undo."""
    editor = _editor(segmentation_node, volume)
    if editor is not None:
        editor.saveStateForUndo()


def open_for_painting(segmentation_node, volume, segment_id: str) -> None:
    """Opens the Segment Editor with Paint at a segment. Raises RequestError where the application has no Segment
    Editor."""
    editor = _editor(segmentation_node, volume)
    if editor is None:
        raise RequestError(_("this application has no Segment Editor; repaint the segment with another tool"))
    slicer.util.selectModule("SegmentEditor")
    editor.setCurrentSegmentID(segment_id)
    editor.setActiveEffectByName("Paint")


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
