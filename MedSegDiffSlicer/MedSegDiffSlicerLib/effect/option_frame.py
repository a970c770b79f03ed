"""The widgets of the Segment Editor effect, in its frame."""

from __future__ import annotations

import qt
from slicer.i18n import tr as _

from medsegdiff.uncertainty.rules import FUSIONS, MEASURES

from ..jobs.run_request import BOX, SEGMENT, WHOLE
from .map_scale import MapScale
from .option_widgets import box_selector, button, combo_box, row, slider, spin_box

NO_MAP = "none"
EACH, SELECTED = "each", "selected"


class OptionFrame:
    """Makes the widgets and adds them to the effect's frame.  effect: the scripted effect (C++ side)."""

    def __init__(self, effect):
        self.model = combo_box([], [], _("The model that gives the opinions."))
        self.samples = spin_box(1, 1000, _("Opinions to ask for."))
        self.steps = spin_box(1, 1000, _("Steps of the diffusion for each opinion."))
        regions = {WHOLE: _("whole volume"), BOX: _("in a box"), SEGMENT: _("around the selected segment")}
        self.region = combo_box(list(regions), list(regions.values()), _("Which part of the volume is looked at."))
        self.box = box_selector()
        self.margin = slider(0, 100, 1, _("How much around the segment."))
        self.margin.suffix = " mm"
        self.run = button(_("Run"), _("Ask for opinions (Ctrl+Return). Nothing is written before Apply."))
        self.cancel = button(_("Cancel"), _("Stop, or discard the opinions; nothing is left behind."))
        self.apply = button(_("Apply"), _("Write into the segments (Shift+Return); one step to undo."))
        self.review = button(
            _("Review"),
            _("Go through the places where what was written may be wrong, one by one; adds the opinions, their "
              "uncertainty and a table to the scene."),
        )  # fmt: skip
        self.progress = qt.QProgressBar()
        self.progress.maximum, self.progress.textVisible, self.progress.maximumHeight = 1000, False, 8
        self.message = qt.QLabel()
        self.message.wordWrap = True
        self.more = qt.QToolButton()
        self.more.text, self.more.checkable, self.more.visible = _("more"), True, False
        self.more.toolTip = _("Show all that is to be said.")
        self.fusion = combo_box(list(FUSIONS), list(FUSIONS), _("How the opinions become one."))
        self.useThreshold = qt.QCheckBox()
        self.useThreshold.toolTip = _("Unchecked: the most probable label.")
        self.threshold = slider(0.01, 0.99, 0.01, _("Probability from which on a voxel belongs to a structure."))
        self.measure = combo_box(
            [NO_MAP, *MEASURES], [_("none"), *MEASURES], _("Map of where the opinions are unsure or disagree.")
        )
        self.scale = MapScale()
        self.structure = combo_box(
            [], [], _("What a click says that a place belongs to; of several into one voxel the last one counts.")
        )
        self.notIt = qt.QPushButton(_("not it"))
        self.notIt.checkable = True
        self.notIt.toolTip = _("Clicks say that a place belongs to no structure (X; or hold Shift while clicking).")
        self.undoClick = button(_("Undo click"), _("Take the last click or stroke back (Ctrl+Backspace)."))
        targets = {EACH: _("one segment each"), SELECTED: _("selected segment")}
        self.applyTo = combo_box(list(targets), list(targets.values()), _("Where Apply writes."))
        self._arrange(effect)

    def changes(self) -> list[tuple]:
        """Widgets of the options, each with the signal that it stands at something else."""
        return [
            *((w, "currentIndexChanged(int)")
              for w in (self.model, self.region, self.fusion, self.measure, self.applyTo)),
            *((w, "valueChanged(int)") for w in (self.samples, self.steps)),
            *((w, "valueChanged(double)") for w in (self.margin, self.threshold)),
            (self.useThreshold, "toggled(bool)"), (self.box, "currentNodeChanged(vtkMRMLNode*)"),
        ]  # fmt: skip

    def _arrange(self, effect) -> None:
        add = effect.addLabeledOptionsWidget
        add(_("Model:"), self.model)
        add(_("Opinions:"), row(self.samples, qt.QLabel(_("Steps:")), self.steps))
        add(_("Region:"), row(self.region, self.box, self.margin))
        effect.addOptionsWidget(row(self.run, self.cancel, self.apply, self.review))
        effect.addOptionsWidget(self.progress)
        effect.addOptionsWidget(row(self.message, self.more))
        self.message.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.MinimumExpanding)  # long texts do not widen
        add(_("Clicks:"), row(self.structure, self.notIt, self.undoClick))
        add(_("Fusion:"), self.fusion)
        add(_("Threshold:"), row(self.useThreshold, self.threshold))
        add(_("Uncertainty:"), self.measure)
        add("", self.scale)
        add(_("Apply to:"), self.applyTo)
