"""The widgets of the Segment Editor effect, and what they stand at, kept with the Segment Editor's node."""

from __future__ import annotations

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from medsegdiff.models.package import ModelPackage
from medsegdiff.uncertainty.rules import FUSIONS, MEASURES

from .run_request import BOX, SEGMENT, WHOLE, Choices

NO_MAP = "none"
EACH, SELECTED = "each", "selected"
BOX_ROLE = "Box"
DEFAULTS = {
    "Region": WHOLE, "Margin": 20.0, "Fusion": "mean", "UseThreshold": 0, "Threshold": 0.5, "Measure": "entropy",
    "ApplyTo": EACH,
}  # fmt: skip


class EffectOptions:
    """Makes the widgets and adds them to the effect's frame.

    effect: the scripted effect (C++ side), whose parameters the choices are.  models: as installed.
    """

    def __init__(self, effect, models: list[ModelPackage]):
        self._effect = effect
        self._models = {package.name: package for package in models}
        self.model = _combo(list(self._models), list(self._models), _("Who is asked."))
        self.samples = _spin(1, 1000, _("Opinions to ask for."))
        self.steps = _spin(1, 1000, _("Steps of the diffusion for each opinion."))
        regions = {WHOLE: _("whole volume"), BOX: _("in a box"), SEGMENT: _("around the selected segment")}
        self.region = _combo(list(regions), list(regions.values()), _("Which part of the volume is looked at."))
        self.box = _box_selector()
        self.margin = _slider(0, 100, 1, _("How much around the segment."))
        self.margin.suffix = " mm"
        self.run = _button(_("Run"), _("Ask for opinions (Ctrl+Return). Nothing is written before Apply."))
        self.cancel = _button(_("Cancel"), _("Stop, or discard the opinions; nothing is left behind."))
        self.apply = _button(_("Apply"), _("Write into the segments (Shift+Return); one step to undo."))
        self.progress = qt.QProgressBar()
        self.progress.maximum, self.progress.textVisible, self.progress.maximumHeight = 1000, False, 8
        self.message = qt.QLabel()
        self.message.wordWrap = True
        self.fusion = _combo(list(FUSIONS), list(FUSIONS), _("How the opinions become one."))
        self.useThreshold = qt.QCheckBox()
        self.useThreshold.toolTip = _("Unchecked: the most probable label.")
        self.threshold = _slider(0.01, 0.99, 0.01, _("Probability from which on a voxel belongs to a structure."))
        self.measure = _combo(
            [NO_MAP, *MEASURES], [_("none"), *MEASURES], _("Map of where the opinions are unsure or disagree.")
        )
        self.structure = _combo([], [], _("What a click says that a place belongs to."))
        self.notIt = qt.QPushButton(_("not it"))
        self.notIt.checkable = True
        self.notIt.toolTip = _("Clicks say that a place belongs to no structure (X; or hold Shift while clicking).")
        self.undoClick = _button(_("Undo click"), _("Take the last click or stroke back (Ctrl+Backspace)."))
        targets = {EACH: _("one segment each"), SELECTED: _("selected segment")}
        self.applyTo = _combo(list(targets), list(targets.values()), _("Where Apply writes."))
        self._arrange()

    def choices(self) -> Choices:
        """What a run needs."""
        region = self.region.itemData(self.region.currentIndex)
        return Choices(
            self.model.currentText, self.samples.value, self.steps.value, region, self.box.currentNode(),
            self.margin.value,
        )  # fmt: skip

    def rule(self) -> tuple[str, float | None]:
        """Fusion and threshold."""
        return self.fusion.currentText, self.threshold.value if self.useThreshold.checked else None

    def measureName(self) -> str | None:
        """The map to be shown, None for none."""
        name = self.measure.itemData(self.measure.currentIndex)
        return None if name == NO_MAP else name

    def target(self) -> str:
        """EACH, SELECTED, or the name of the structure that goes into the selected segment."""
        return self.applyTo.itemData(self.applyTo.currentIndex)

    def package(self) -> ModelPackage | None:
        """The chosen model."""
        return self._models.get(self.model.currentText)

    def setDefaults(self) -> None:
        """Gives the effect's parameters values that have none yet: the first model, as it wants to be asked."""
        package = next(iter(self._models.values()), None)
        sampling = package.sampling if package else {}
        first = {"Model": package.name if package else "", "Samples": sampling.get("samples", 1),
                 "Steps": sampling.get("steps", 1)}  # fmt: skip
        for name, value in {**first, **DEFAULTS}.items():
            self._effect.setParameterDefault(name, value)

    def showParameters(self) -> None:
        """Brings the widgets in line with the effect's parameters."""
        if not self._effect.parameterDefined("Model"):
            return
        text, number = self._effect.parameter, self._effect.doubleParameter
        _select(self.model, text("Model"))
        self._listStructures()
        for widget, name in ((self.region, "Region"), (self.fusion, "Fusion"), (self.measure, "Measure"),
                             (self.applyTo, "ApplyTo")):  # fmt: skip
            _select(widget, text(name))
        for widget, name in ((self.samples, "Samples"), (self.steps, "Steps"), (self.margin, "Margin"),
                             (self.threshold, "Threshold")):  # fmt: skip
            with _Silent(widget):
                widget.value = number(name)
        with _Silent(self.useThreshold):
            self.useThreshold.checked = number("UseThreshold") > 0
        with _Silent(self.box):
            self.box.setMRMLScene(self._effect.scene())
            self.box.setCurrentNode(self._effect.nodeReference(BOX_ROLE))
        self._showNeeded()

    def keepParameters(self) -> None:
        """Keeps what the widgets stand at as the effect's parameters."""
        node = self._effect.parameterSetNode()
        if node is None:
            return
        with slicer.util.NodeModify(node):
            if self.model.currentText != self._effect.parameter("Model"):
                self._takeDefaultsOfModel()
            chosen, (fusion, _threshold) = self.choices(), self.rule()
            for name, value in (
                ("Model", chosen.model), ("Samples", chosen.samples), ("Steps", chosen.steps),
                ("Region", chosen.region), ("Margin", chosen.margin), ("Fusion", fusion),
                ("UseThreshold", int(self.useThreshold.checked)), ("Threshold", self.threshold.value),
                ("Measure", self.measureName() or NO_MAP), ("ApplyTo", self.target()),
            ):  # fmt: skip
                self._effect.setParameter(name, value)
            self._effect.setNodeReference(BOX_ROLE, chosen.roi)
        self._showNeeded()

    def _takeDefaultsOfModel(self) -> None:
        package = self.package()
        if package is not None:
            for widget, name in ((self.samples, "samples"), (self.steps, "steps")):
                with _Silent(widget):
                    widget.value = package.sampling.get(name, 1)
            self._listStructures()

    def _listStructures(self) -> None:
        """The structures of the chosen model, for clicks and for the selected segment."""
        package = self.package()
        names = [label.name for label in package.foreground] if package else []
        if [self.structure.itemText(n) for n in range(self.structure.count)] == names:
            return
        with _Silent(self.structure), _Silent(self.applyTo):
            self.structure.clear()
            self.structure.addItems(names)
            while self.applyTo.count > 2:
                self.applyTo.removeItem(2)
            for name in names if len(names) > 1 else []:
                self.applyTo.addItem(_("selected segment: {name} only").format(name=name), name)

    def _showNeeded(self) -> None:
        region = self.region.itemData(self.region.currentIndex)
        self.box.visible = region == BOX
        self.margin.visible = region == SEGMENT
        self.threshold.enabled = self.useThreshold.checked

    def _arrange(self) -> None:
        add = self._effect.addLabeledOptionsWidget
        add(_("Model:"), self.model)
        add(_("Opinions:"), _row(self.samples, qt.QLabel(_("steps:")), self.steps))
        add(_("Region:"), _row(self.region, self.box, self.margin))
        self._effect.addOptionsWidget(_row(self.run, self.cancel, self.apply))
        self._effect.addOptionsWidget(self.progress)
        self._effect.addOptionsWidget(self.message)
        self.message.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.MinimumExpanding)  # long texts do not widen
        add(_("Fusion:"), self.fusion)
        add(_("Threshold:"), _row(self.useThreshold, self.threshold))
        add(_("Uncertainty:"), self.measure)
        add(_("Clicks:"), _row(self.structure, self.notIt, self.undoClick))
        add(_("Apply to:"), self.applyTo)


class _Silent:
    """A widget that tells nobody what is done to it meanwhile."""

    def __init__(self, widget):
        self._widget = widget

    def __enter__(self) -> None:
        self._before = self._widget.blockSignals(True)

    def __exit__(self, *_exception) -> None:
        self._widget.blockSignals(self._before)


def _row(*widgets):
    row = qt.QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row


def _combo(data: list[str], titles: list[str], toolTip: str):
    combo = qt.QComboBox()
    for title, name in zip(titles, data):
        combo.addItem(title, name)
    combo.toolTip = toolTip
    return combo


def _select(combo, name: str) -> None:
    """Selects the entry with these data; the one that is selected stays where there is none."""
    index = combo.findData(name)
    if index >= 0 and index != combo.currentIndex:
        with _Silent(combo):
            combo.currentIndex = index


def _spin(low: int, high: int, toolTip: str):
    spin = qt.QSpinBox()
    spin.setRange(low, high)
    spin.toolTip = toolTip
    return spin


def _slider(low: float, high: float, step: float, toolTip: str):
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.singleStep = low, high, step
    slider.decimals = 0 if step >= 1 else 2
    slider.toolTip = toolTip
    return slider


def _button(text: str, toolTip: str):
    button = qt.QPushButton(text)
    button.toolTip = toolTip
    return button


def _box_selector():
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLMarkupsROINode"]
    selector.addEnabled, selector.noneEnabled, selector.renameEnabled = True, True, True
    selector.noneDisplay = _("(create or choose a box)")
    selector.setMRMLScene(slicer.mrmlScene)
    return selector
