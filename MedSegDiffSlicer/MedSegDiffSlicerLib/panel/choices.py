"""Widgets of the advanced options and outputs that a parameter node cannot be connected with by itself."""

from __future__ import annotations

from collections.abc import Sequence

import qt
from slicer.i18n import tr as _

from ..jobs.run_options import AUTO, CHOICES, NONE, VARIANTS


class Choices:
    """Keeps combo boxes, the measures' check boxes and the list of further models in step with the parameter node."""

    def __init__(self, ui):
        self._parameters = None
        self._combos = {
            "sampler": ui.samplerComboBox, "fusion": ui.fusionComboBox, "variants": ui.variantsComboBox,
            "device": ui.deviceComboBox, "precision": ui.precisionComboBox,
        }  # fmt: skip
        self._measures = {
            "entropy": ui.entropyCheckBox, "expected-entropy": ui.expectedEntropyCheckBox,
            "mutual-information": ui.mutualInformationCheckBox, "variance": ui.varianceCheckBox,
        }  # fmt: skip
        self._models = ui.otherModelsList
        for name, combo in self._combos.items():
            for value in (*CHOICES.get(name, ()), *(_variants() if name == "variants" else ())):
                combo.addItem(_shown(name, value), value)
            combo.connect("currentIndexChanged(int)", lambda _index, name=name: self._on_combo(name))
        for box in self._measures.values():
            box.connect("toggled(bool)", lambda _on: self._on_measures())
        self._models.connect("itemChanged(QListWidgetItem*)", lambda _item: self._on_models())

    def show(self, parameters) -> None:
        """Shows what the parameter node holds; None: nothing is taken over any more."""
        self._parameters = None  # so that nothing is written back
        if parameters is not None:
            for name, combo in self._combos.items():
                combo.setCurrentIndex(max(0, combo.findData(getattr(parameters, name))))
            chosen = parameters.measures.split("+")
            for name, box in self._measures.items():
                box.checked = name in chosen
            others = parameters.otherModels.split("|")
            for row in range(self._models.count):
                item = self._models.item(row)
                item.setCheckState(qt.Qt.Checked if item.text() in others else qt.Qt.Unchecked)
                item.setHidden(item.text() == parameters.model)
        self._parameters = parameters

    def list_models(self, names: Sequence[str]) -> None:
        """The further models that can be asked."""
        parameters, self._parameters = self._parameters, None
        self._models.clear()
        for name in names:
            item = qt.QListWidgetItem(name)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
            item.setCheckState(qt.Qt.Unchecked)
            self._models.addItem(item)
        self.show(parameters)

    def _on_combo(self, name: str) -> None:
        if self._parameters is not None:
            combo = self._combos[name]
            setattr(self._parameters, name, combo.itemData(combo.currentIndex))

    def _on_measures(self) -> None:
        if self._parameters is not None:
            self._parameters.measures = "+".join(name for name, box in self._measures.items() if box.checked)

    def _on_models(self) -> None:
        if self._parameters is not None:
            items = [self._models.item(row) for row in range(self._models.count)]
            names = [item.text() for item in items if item.checkState() == qt.Qt.Checked]
            self._parameters.otherModels = "|".join(names)


def _variants() -> tuple[str, ...]:
    return (AUTO, NONE, *VARIANTS, "+".join(VARIANTS))


def _shown(name: str, value: str) -> str:
    """A choice as the user reads it; names of methods are names."""
    texts = {
        ("sampler", AUTO): _("the model's own"),
        ("variants", AUTO): _("the model's own"),
        ("variants", NONE): _("none"),
        ("variants", "mirror"): _("mirrored"),
        ("variants", "rotation"): _("turned"),
        ("variants", "intensity"): _("other contrast"),
        ("variants", "+".join(VARIANTS)): _("mirrored, turned, other contrast"),
        ("device", AUTO): _("GPU if there is one"),
        ("precision", AUTO): _("what suits the device"),
    }
    return texts.get((name, value), value)
