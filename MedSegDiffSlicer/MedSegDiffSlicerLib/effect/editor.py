"""The Segment Editor in the application, as modifier_canvas wants it."""

from __future__ import annotations

import slicer


class EffectEditor:
    """See modifier_canvas.Editor.  effect: a scripted effect (C++ side)."""

    def __init__(self, effect):
        self._effect = effect

    @property
    def node(self):
        return self._effect.parameterSetNode()

    def save_state(self) -> None:
        self._effect.saveStateForUndo()

    def modifier(self):
        return self._effect.defaultModifierLabelmap()

    def source(self):
        return self._effect.sourceVolumeImageData()

    def add(self, segment_id: str, labelmap) -> None:
        self._modify(segment_id, labelmap, slicer.qSlicerSegmentEditorAbstractEffect.ModificationModeAdd)

    def remove(self, segment_id: str, labelmap) -> None:
        self._modify(segment_id, labelmap, slicer.qSlicerSegmentEditorAbstractEffect.ModificationModeRemove)

    def _modify(self, segment_id: str, labelmap, mode) -> None:
        self._effect.modifySegmentByLabelmap(self.node.GetSegmentationNode(), segment_id, labelmap, mode)
