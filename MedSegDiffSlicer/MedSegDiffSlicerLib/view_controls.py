"""How a result is looked at: its map of uncertainty, its alternatives, the outlines of all opinions."""

from __future__ import annotations

from functools import partial

import ctk
import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from medsegdiff.errors import RequestError

from .alternatives import AlternativesBrowser
from .contour_fan import hide_fan, show_fan
from .opinions import Opinions
from .scene_change import is_in_scene
from .segment_editor import save_state
from .slicer_result import SlicerResult
from .uncertainty_view import OPACITY, UncertaintyView

_STEPS = 100  # of a slider


class ViewControls(qt.QWidget):
    """Controls of the view of one result.

    setResult(added): which one, None for nothing.  setMapVisible(visible): whether the map is laid over the scan.
    cleanup(): before the widget is given up; takes everything it shows off the views.
    """

    def __init__(self):
        qt.QWidget.__init__(self)
        self._added: SlicerResult | None = None
        self._view: UncertaintyView | None = None
        self._opinions: Opinions | None = None
        self._browser: AlternativesBrowser | None = None
        self._build()
        self._observations = VTKObservationMixin()
        for event in (slicer.mrmlScene.NodeRemovedEvent, slicer.mrmlScene.EndCloseEvent):
            self._observations.addObserver(slicer.mrmlScene, event, self._onNodesRemoved)
        self.setResult(None)

    @property
    def view(self) -> UncertaintyView | None:
        """The map that is shown, None without a result."""
        return self._view

    def setResult(self, added: SlicerResult | None) -> None:
        """Which result is looked at; see MedSegDiffSlicerLib.scene_result for one that came with a scene."""
        self._clear()
        alive = added is not None and is_in_scene(added.segmentationNode) and is_in_scene(added.volumeNode)
        self._added = added if alive else None
        self._view = UncertaintyView(slicer.mrmlScene, added) if alive else None
        self.enabled = alive
        self.measureBox.blockSignals(True)
        self.measureBox.clear()
        self.measureBox.addItems(self._view.measures() if alive else [])
        self.measureBox.blockSignals(False)
        if alive:
            self._view.opacity, self._view.legend = self.opacitySlider.value, self.legendBox.checked
            self._showRange()

    def setMapVisible(self, visible: bool) -> None:
        """Whether the map is laid over the scan."""
        if self._view is not None:
            self._try(self._view.show if visible else self._view.hide)

    def cleanup(self) -> None:
        """Takes everything off the views."""
        self._observations.removeObservers()
        self.setResult(None)

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
        self.legendBox = _check("legendBox", _("Legend"), self._onLegend)
        self.fanBox = _check("fanBox", _("Outlines of all opinions"), self._onFan)
        checks = qt.QHBoxLayout()
        for box in (self.legendBox, self.fanBox):
            checks.addWidget(box)
        form.addRow(checks)
        pages = qt.QHBoxLayout()
        self.previousButton = _button("previousButton", "◀", _("The alternative before"), partial(self._onPage, "previous"))
        self.nextButton = _button("nextButton", "▶", _("The next alternative"), partial(self._onPage, "next"))
        self.takeButton = _button("takeButton", _("Take"), _("Make the segments what is shown"), self._onTake)
        self.hideButton = _button("hideButton", _("Hide"), _("Show the segments only"), self._onHide)
        for button in (self.previousButton, self.nextButton, self.takeButton, self.hideButton):
            pages.addWidget(button)
        form.addRow(_("Alternatives:"), pages)
        self.messageLabel = qt.QLabel()
        self.messageLabel.objectName = "viewMessageLabel"
        self.messageLabel.wordWrap = True
        form.addRow(self.messageLabel)

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

    def _onFan(self, visible: bool) -> None:
        if not visible:
            hide_fan(slicer.mrmlScene)
        elif self._added is not None:
            self._try(self._showFan)

    def _onPage(self, way: str) -> None:
        self._try(self._page, way)

    def _onTake(self) -> None:
        self._try(self._take)

    def _onHide(self) -> None:
        if self._browser is not None:
            self._browser.hide()
        self.messageLabel.text = ""
        self._updateButtons()

    def _showFan(self) -> None:
        show_fan(slicer.mrmlScene, self._allOpinions(), self._added.segmentationNode, self._added.volumeNode)

    def _page(self, way: str) -> None:
        if self._browser is None:
            nodes = self._added.segmentationNode, self._added.volumeNode
            self._browser = AlternativesBrowser(self._allOpinions(), *nodes, partial(save_state, *nodes))
        choice = getattr(self._browser, way)()
        self.messageLabel.text = f"{choice.title} ({choice.probability:.0%})"
        self._updateButtons()

    def _take(self) -> None:
        changed = self._browser.take()
        self.messageLabel.text = _("Taken; {count} voxels changed.").format(count=changed)

    def _allOpinions(self) -> Opinions:
        if self._opinions is None:
            self._opinions = Opinions.of(self._added.result, self._added.samplesSequenceNode)
        if self._opinions is None:
            raise RequestError("the single opinions of this result were removed; run the model again")
        return self._opinions

    def _try(self, action, *arguments) -> None:
        """Does something; what cannot be done is said."""
        try:
            action(*arguments)
        except RequestError as error:
            self.messageLabel.text = str(error)[:1].upper() + str(error)[1:]

    def _showRange(self) -> None:
        """Fits the threshold's slider to the measure."""
        if self._view.measure is None:
            return
        _low, high = self._view.range
        self.thresholdSlider.maximum = high
        self.thresholdSlider.singleStep = high / _STEPS

    def _updateButtons(self) -> None:
        shown = self._browser is not None and self._browser.index is not None
        self.takeButton.enabled = self.hideButton.enabled = shown

    def _clear(self) -> None:
        """Takes off the views whatever the last result had there."""
        if self._view is not None:
            self._view.hide()
        if self._browser is not None:
            self._browser.hide()
        self._opinions = self._browser = None
        self.fanBox.checked = False
        hide_fan(slicer.mrmlScene)
        self.messageLabel.text = ""
        self._updateButtons()

    def _onNodesRemoved(self, _caller, _event) -> None:
        added = self._added
        if added is not None and not (is_in_scene(added.segmentationNode) and is_in_scene(added.volumeNode)):
            self.setResult(None)


def _slider(name: str, value: float, changed):
    slider = ctk.ctkSliderWidget()
    slider.objectName = name
    slider.minimum, slider.maximum = 0.0, 1.0
    slider.decimals, slider.singleStep = 2, 1 / _STEPS
    slider.value = value
    slider.connect("valueChanged(double)", changed)
    return slider


def _check(name: str, text: str, toggled):
    box = qt.QCheckBox(text)
    box.objectName = name
    box.connect("toggled(bool)", toggled)
    return box


def _button(name: str, text: str, tip: str, clicked):
    button = qt.QPushButton(text)
    button.objectName, button.toolTip = name, tip
    button.connect("clicked()", clicked)
    return button
