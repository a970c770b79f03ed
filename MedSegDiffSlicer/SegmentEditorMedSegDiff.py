"""A hidden module: it registers the Segment Editor effect MedSegDiff."""

from pathlib import Path

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule


class SegmentEditorMedSegDiff(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Segment Editor MedSegDiff")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations"]
        parent.contributors = ["MedSegDiffSlicer contributors"]
        parent.hidden = True
        parent.helpText = _("Registers the Segment Editor effect MedSegDiff.")
        slicer.app.connect("startupCompleted()", registerEffect)


def registerEffect() -> None:
    """Adds the effect to those that the Segment Editor offers."""
    import qSlicerSegmentationsEditorEffectsPythonQt as effects

    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    source = Path(__file__).parent / "SegmentEditorMedSegDiffLib" / "SegmentEditorEffect.py"
    effect.setPythonSource(source.as_posix())
    effect.self().register()
