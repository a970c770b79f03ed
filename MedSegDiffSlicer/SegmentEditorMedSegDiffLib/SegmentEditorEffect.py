"""The effect as the Segment Editor sees it; MedSegDiffSlicerLib.effect.controller does the work."""

from functools import partial
from pathlib import Path

import qSlicerSegmentationsEditorEffectsPythonQt as effects
import qt
import slicer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """Opinions of a model in the Segment Editor: Run, look, correct by rule and clicks, Apply.

    controller: for scripts and tests; None until the options frame is made.
    """

    def __init__(self, scriptedEffect):
        super().__init__(scriptedEffect)
        scriptedEffect.name = "MedSegDiff"  # not translated: scripts find effects by name
        scriptedEffect.title = _("MedSegDiff")
        scriptedEffect.perSegment = False
        scriptedEffect.requireSegments = False
        self.controller = None
        self._icon = self._help = None  # Slicer asks at each change of effects, and keeps what it is given for good

    def clone(self):
        clonedEffect = effects.qSlicerSegmentEditorScriptedEffect(None)
        clonedEffect.setPythonSource(__file__.replace("\\", "/"))
        return clonedEffect

    def cleanup(self):
        """Called before the effect is deleted: connected signals would keep it alive."""
        if self.controller is not None:
            self.controller.close()

    def icon(self):
        if self._icon is None:
            self._icon = qt.QIcon(str(Path(__file__).parent / "SegmentEditorEffect.png"))
        return self._icon

    def helpText(self):
        if self._help is None:
            self._help = "<html>" + _explanation()
        return self._help

    def setupOptionsFrame(self):
        from MedSegDiffSlicerLib.effect.controller import EffectController

        logic = partial(slicer.util.getModuleLogic, "MedSegDiffSlicer")
        self.controller = EffectController(
            self.scriptedEffect, logic, lambda: slicer.util.getModuleWidget("MedSegDiffSlicer").panel
        )

    def setMRMLDefaults(self):
        from medsegdiff.models.ensembles import list_installed
        from MedSegDiffSlicerLib.effect.options import set_defaults

        set_defaults(self.scriptedEffect, list_installed())

    def updateGUIFromMRML(self):
        self.controller.showParameters()

    def updateMRMLFromGUI(self):
        self.controller.options.keepParameters()

    def activate(self):
        self.controller.activate()

    def deactivate(self):
        self.controller.deactivate()

    def sourceVolumeNodeChanged(self):
        if self.controller is not None:
            self.controller.dropIfOtherVolume()

    def layoutChanged(self):
        self.controller.followLayout()

    def processViewNodeEvents(self, _callerViewNode, _eventId, viewWidget):
        self.controller.views.update(viewWidget)

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
        return self.controller.clicks.handle(callerInteractor, eventId, viewWidget)


def _explanation() -> str:
    return _(
        """Asks a model for several opinions about the source volume.<br>What it shows is a preview until Apply:
<ul style="margin: 0">
<li><b>Run</b> on the whole volume, in a box, or around the selected segment.
<li><b>Fusion</b> and <b>threshold</b> put the opinions together in another way, at once.
<li><b>Click</b> into a slice view where a structure is missing; hold Shift where it should not be. Of clicks into
one voxel that contradict each other the last one counts.
<li><b>Apply</b> writes into the segments; masking holds, and one undo takes it back.
<li><b>Review</b> then leads to the places where it may be wrong.
</ul><p>"""
    )
