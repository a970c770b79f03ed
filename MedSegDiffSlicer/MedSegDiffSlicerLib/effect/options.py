"""What the widgets of the Segment Editor effect stand at, kept with the Segment Editor's node."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
from slicer.i18n import tr as _

from medsegdiff.models.package import Label, ModelPackage
from medsegdiff.models.store import DEFAULT_MODEL

from ..jobs.run_request import BOX, SEGMENT, WHOLE, Choices
from ..nodes.region_of_interest import fit_roi
from .option_frame import EACH, NO_MAP, OptionFrame
from .option_widgets import Silent, select

BOX_ROLE = "Box"
DEFAULTS = {
    "Region": WHOLE, "Margin": 20.0, "Fusion": "mean", "UseThreshold": 0, "Threshold": 0.5, "Measure": "entropy",
    "ApplyTo": EACH,
}  # fmt: skip


def set_defaults(effect, models: list[ModelPackage]) -> None:
    """Gives the effect's parameters values that have none yet: the default model, or else the first one, as it wants to
    be asked."""
    package = next((model for model in models if model.name == DEFAULT_MODEL), next(iter(models), None))
    sampling = package.sampling if package else {}
    first = {"Model": package.name if package else "", "Samples": sampling.get("samples", 1),
             "Steps": sampling.get("steps", 1)}  # fmt: skip
    for name, value in {**first, **DEFAULTS}.items():
        effect.setParameterDefault(name, value)


class EffectOptions(OptionFrame):
    """The widgets as choices of the user.

    effect: the scripted effect (C++ side), whose parameters the choices are.  models: as installed.
    """

    def __init__(self, effect, models: list[ModelPackage]):
        self._effect = effect
        self._models: dict[str, ModelPackage] = {}
        self._asked: Sequence[Label] | None = None
        super().__init__(effect)
        self.listModels(models)

    def listModels(self, models: list[ModelPackage]) -> None:
        """Offers the models that are installed now; the chosen one stays chosen while it is there."""
        self._models = {package.name: package for package in models}
        if [self.model.itemText(n) for n in range(self.model.count)] == list(self._models):
            return
        with Silent(self.model):
            self.model.clear()
            for name in self._models:
                self.model.addItem(name, name)
            select(self.model, DEFAULT_MODEL)  # in place of one that is not there any more
            select(self.model, self._effect.parameter("Model") if self._effect.parameterDefined("Model") else "")
        self._replaceMissingModel()

    def listStructures(self, asked: Sequence[Label] | None) -> None:
        """Offers the structures of opinions that are there, for clicks and Apply; None: those of the chosen model."""
        self._asked = asked
        self._listStructures()

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

    def showParameters(self) -> None:
        """Brings the widgets in line with the effect's parameters."""
        if not self._effect.parameterDefined("Model"):
            return
        self._replaceMissingModel()
        text, number = self._effect.parameter, self._effect.doubleParameter
        select(self.model, text("Model"))
        self._listStructures()
        for widget, name in ((self.region, "Region"), (self.fusion, "Fusion"), (self.measure, "Measure"),
                             (self.applyTo, "ApplyTo")):  # fmt: skip
            select(widget, text(name))
        for widget, name in ((self.samples, "Samples"), (self.steps, "Steps"), (self.margin, "Margin"),
                             (self.threshold, "Threshold")):  # fmt: skip
            with Silent(widget):
                widget.value = number(name)
        with Silent(self.useThreshold):
            self.useThreshold.checked = number("UseThreshold") > 0
        with Silent(self.box):
            self.box.setMRMLScene(self._effect.scene())
            self.box.setCurrentNode(self._effect.nodeReference(BOX_ROLE))
        self._showNeeded()

    def fitBox(self, roi) -> None:
        """Puts a new box where it can be seen."""
        source = self._effect.parameterSetNode().GetSourceVolumeNode()
        if source is not None:
            fit_roi(roi, source)
        if roi.GetDisplayNode() is not None:
            roi.GetDisplayNode().SetFillVisibility(False)  # the scan must stay readable within

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

    def _replaceMissingModel(self) -> None:
        """Where the chosen model is not installed: takes the one that is shown, as that wants to be asked."""
        known = self._effect.parameterSetNode() is not None and self._effect.parameterDefined("Model")
        if known and self._models and self._effect.parameter("Model") not in self._models:
            self._takeDefaultsOfModel()
            for name, value in (
                ("Model", self.model.currentText), ("Samples", self.samples.value), ("Steps", self.steps.value),
            ):  # fmt: skip
                self._effect.setParameter(name, value)

    def _takeDefaultsOfModel(self) -> None:
        package = self.package()
        if package is not None:
            for widget, name in ((self.samples, "samples"), (self.steps, "steps")):
                with Silent(widget):
                    widget.value = package.sampling.get(name, 1)
            self._listStructures()

    def _listStructures(self) -> None:
        package = self.package()
        labels = self._asked if self._asked is not None else package.foreground if package else ()
        names = [label.name for label in labels]
        if [self.structure.itemText(n) for n in range(self.structure.count)] == names:
            return
        with Silent(self.structure), Silent(self.applyTo):
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
