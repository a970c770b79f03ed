"""How a result is looked at: its map of uncertainty, and its single opinions."""

from __future__ import annotations

import ctk
import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from medsegdiff.errors import RequestError

from ..nodes.overlay import OPACITY
from ..nodes.scene_change import is_in_scene
from ..nodes.slicer_result import SlicerResult
from .gui_background import GuiBackground
from .opinions_controls import OpinionsControls
from .sentences import sentences
from .uncertainty_view import UncertaintyView

_STEPS = 100  # of a slider


class ViewControls(qt.QWidget):
    """Controls of the view of one result.

    setResult(added): which one, None for nothing.  setMapVisible(visible): whether the map is laid over the scan.
    setMapAside(aside, reason): takes it away while something else has the user's eye, and brings it back.
    cleanup(): before the widget is given up; takes everything it shows off the views.
    """

    def __init__(self):
        qt.QWidget.__init__(self)
        self._added: SlicerResult | None = None
        self._view: UncertaintyView | None = None
        self._samples = None
        self._aside: set[str] = set()  # why the map, which was there before, is away
        self._background = GuiBackground(self._onBusy)
        self._build()
        self._observations = VTKObservationMixin()
        for event in (slicer.mrmlScene.NodeRemovedEvent, slicer.mrmlScene.EndCloseEvent):
            self._observations.addObserver(slicer.mrmlScene, event, self._onNodesRemoved)
        self.setResult(None)

    @property
    def view(self) -> UncertaintyView | None:
        """The map that is shown, None without a result."""
        return self._view

    @property
    def hasMap(self) -> bool:
        """Whether there is a map that can be shown."""
        return self._view is not None and bool(self._view.measures())

    @property
    def isMapVisible(self) -> bool:
        """Whether the map is laid over the scan, or will be once it is computed."""
        return self._view is not None and self._view.visible

    @property
    def wantsMap(self) -> bool:
        """Whether the map is laid over the scan, but for what may be in its place for a while."""
        return self.isMapVisible or bool(self._aside)

    @property
    def computing(self) -> bool:
        """Whether anything is being worked out that is not shown yet."""
        return self._background.busy

    def setResult(self, added: SlicerResult | None) -> None:
        """Which result is looked at; see MedSegDiffSlicerLib.nodes.scene_result for one that came with a scene."""
        if self._view is not None:
            self._view.hide()
        self._aside = set()
        self._background.forget()
        alive = added is not None and is_in_scene(added.segmentationNode) and is_in_scene(added.volumeNode)
        self._added = added if alive else None
        self._samples = added.samplesSequenceNode if alive else None
        self._view = UncertaintyView(slicer.mrmlScene, added, self._background) if alive else None
        self.opinions.setResult(self._added)
        self.enabled = alive
        self.messageLabel.text = ""
        self.measureBox.blockSignals(True)
        self.measureBox.clear()
        if alive:
            self.measureBox.addItems(self._view.measures())
            self.measureBox.currentText = self._view.measure or ""
        self.measureBox.blockSignals(False)
        if alive:
            if added.result is None and self._view.visible:  # as it was saved
                for widget, name, value in (
                    (self.opacitySlider, "value", self._view.opacity), (self.legendBox, "checked", self._view.legend),
                ):  # fmt: skip
                    blocked = widget.blockSignals(True)
                    setattr(widget, name, value)
                    widget.blockSignals(blocked)
            self._view.opacity, self._view.legend = self.opacitySlider.value, self.legendBox.checked
            self._showRange()

    def setMapVisible(self, visible: bool) -> None:
        """Whether the map is laid over the scan."""
        self._aside = set()
        if self._view is not None:
            self._try(self._view.show if visible else self._view.hide)

    def setMapAside(self, aside: bool, reason: str) -> None:
        """Takes the map away where it is shown, and brings it back once nothing asks for that any more, unless the user
        decided on it meanwhile."""
        reasons = self._aside | {reason} if aside else self._aside - {reason}
        if reasons != self._aside and (self._aside or self.isMapVisible):
            if bool(reasons) != bool(self._aside):
                self.setMapVisible(not reasons)
            self._aside = reasons

    def cleanup(self) -> None:
        """Takes everything off the views."""
        self._observations.removeObservers()
        self.setResult(None)
        self._background.close()

    def _build(self) -> None:
        form = qt.QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        self.measureBox = qt.QComboBox()
        self.measureBox.objectName = "measureBox"
        self.measureBox.toolTip = _("entropy: all doubt; expected-entropy: what the image leaves open; "
                                    "mutual-information: where the opinions differ; variance: likewise")  # fmt: skip
        self.measureBox.connect("currentTextChanged(QString)", self._onMeasure)
        form.addRow(_("Measure:"), self.measureBox)
        self.opacitySlider = _slider("opacitySlider", OPACITY, self._onOpacity)
        form.addRow(_("Opacity:"), self.opacitySlider)
        self.thresholdSlider = _slider("thresholdSlider", 0.0, self._onThreshold)
        form.addRow(_("Shown from:"), self.thresholdSlider)
        self.legendBox = qt.QCheckBox(_("Legend"))
        self.legendBox.objectName = "legendBox"
        self.legendBox.connect("toggled(bool)", self._onLegend)
        form.addRow(self.legendBox)
        self.messageLabel = qt.QLabel()
        self.messageLabel.objectName = "viewMessageLabel"
        self.messageLabel.wordWrap = True
        form.addRow(self.messageLabel)
        self.opinions = OpinionsControls(self._background)
        form.addRow(self.opinions)

    def _onMeasure(self, measure: str) -> None:
        if not measure or self._view is None:
            return
        if self._view.visible:
            self._try(self._view.show, measure)
        else:
            self._view.measure = measure
        self._showRange()

    def _onOpacity(self, value: float) -> None:
        if self._view is not None:
            self._view.set_opacity(value)

    def _onThreshold(self, value: float) -> None:
        if self._view is not None:
            self._view.set_threshold(value)

    def _onLegend(self, visible: bool) -> None:
        if self._view is not None:
            self._view.set_legend(visible)

    def _try(self, action, *arguments) -> None:
        """Does something; what cannot be done is said."""
        try:
            action(*arguments)
            self._onBusy(self.computing)
        except RequestError as error:
            self.messageLabel.text = sentences(error)

    def _onBusy(self, busy: bool) -> None:
        self.messageLabel.text = _("Computing...") if busy else ""
        if not busy and self._view is not None:
            self._showRange()

    def _showRange(self) -> None:
        """Fits the threshold's slider to the measure, once its map is there."""
        self.thresholdSlider.enabled = self._view.range is not None
        if self._view.range is None:
            return
        slider, (_low, high) = self.thresholdSlider, self._view.range
        blocked = slider.blockSignals(True)
        slider.maximum, slider.singleStep, slider.value = high, high / _STEPS, self._view.threshold
        slider.blockSignals(blocked)

    def _onNodesRemoved(self, _caller, _event) -> None:
        added = self._added
        if added is None:
            return
        if not (is_in_scene(added.segmentationNode) and is_in_scene(added.volumeNode)):
            self.setResult(None)
            return
        if self._samples is not None and not is_in_scene(self._samples):
            self._samples = None
            self.opinions.hide()
        if self.isMapVisible and self._view.map_node is None and not self.computing:
            self._view.hide()


def _slider(name: str, value: float, changed):
    slider = ctk.ctkSliderWidget()
    slider.objectName = name
    slider.minimum, slider.maximum = 0.0, 1.0
    slider.decimals, slider.singleStep = 3, 1 / _STEPS
    slider.value = value
    slider.connect("valueChanged(double)", changed)
    return slider
