"""What the Segment Editor effect does: options, session, slice views and editor wired together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import qt
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import MedSegDiffError
from medsegdiff.models.store import list_models

from ..jobs.opinions_session import OpinionsSession
from ..jobs.run_request import prepare
from ..nodes.modifier_labelmap import write
from ..nodes.region_of_interest import fit_roi
from ..nodes.segment_numbers import keep_numbers
from ..nodes.slicer_result import describe as describe_run
from ..nodes.target_segments import Target, label_of, one_each
from ..setup.packages_gate import PackagesGate
from ..view.gui_background import GuiBackground
from ..view.shortcuts import Shortcuts
from .clicks import EffectClicks
from .editor import EffectEditor
from .options import EACH, SELECTED, EffectOptions
from .state import describe, show_state
from .views import EffectViews

PULSE_INTERVAL = 200  # ms


class EffectController:
    """One effect's work in one Segment Editor.  effect: the scripted effect (C++ side)."""

    def __init__(self, effect):
        self._effect = effect
        self.options = EffectOptions(effect, list_models())
        self._background = GuiBackground(lambda _busy: self._tellState())
        self.views = EffectViews(effect, self._background)
        self.session = OpinionsSession(_start_opinions, self._onSessionChanged, self._background)
        self.clicks = EffectClicks(self.session, self.options, self.show, self._attempt)
        self._packages = PackagesGate(self.say, self._update)
        self._written = None  # the label map that Apply wrote last
        self._shortcuts = Shortcuts({
            "Ctrl+Return": self.onRun, "Shift+Return": self.onApply, "Ctrl+Backspace": self.clicks.undo,
            "X": self.onToggleNotIt,
        })  # fmt: skip
        self._timer = qt.QTimer()
        self._timer.setInterval(PULSE_INTERVAL)
        self._connections = [(self._timer, "timeout()", self._onPulse), *self._connectedWidgets()]
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)

    def close(self) -> None:
        """Ends all, for good."""
        self.deactivate()
        self._background.close()
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)
        self._connections = []

    @property
    def computing(self) -> bool:
        """Whether anything is being worked out that is not shown yet."""
        return self._background.busy

    def activate(self) -> None:
        """The effect was chosen."""
        slicer.util.getModuleLogic("MedSegDiffSlicer")  # which makes its panel, once: not when Run is pressed
        self.options.listModels(list_models())
        self._shortcuts.install()
        self._timer.start()
        self.say(_("Press Run; nothing is written before Apply."))
        self._update()

    def deactivate(self) -> None:
        """The effect was left: a run stops, the preview and the shortcuts go."""
        self._shortcuts.remove()
        self._timer.stop()
        self._forget()

    def showParameters(self) -> None:
        """Brings the widgets, and what they govern, in line with the effect's parameters."""
        self.options.showParameters()
        self._onRule()
        self._update()

    def dropIfOtherVolume(self) -> None:
        """Discards opinions about a volume where another one is now the source volume (a new segmentation has none)."""
        node = self._effect.parameterSetNode()
        source = node.GetSourceVolumeNode() if node else None
        if None not in (self.session.volume, source) and not self.session.is_about(source):
            self._forget()

    def onRun(self) -> None:
        """Asks for opinions, once the Python packages are there."""
        if self.options.run.enabled:
            self._packages.ensure(lambda: self._attempt(self._run))

    def onCancel(self) -> None:
        """Stops a run, or discards the opinions."""
        if self.session.running and self.session.result is not None:
            self.session.cancel()  # what the clicks gave at once stays
        else:
            written = self._written is not None
            self._forget()
            self.say(_("The preview was discarded.") if written else _("Cancelled; nothing was written."))

    def onApply(self) -> None:
        """Writes what is shown into the segments, as one step to undo. The opinions stay, to be put together anew."""
        if self.session.computing:
            return
        with self._errorsTold():
            self.session.check_current()
            targets = self._targets()
            if targets:
                session = self.session
                written = write(EffectEditor(self._effect), session.labelmap, session.box, session.volume, targets)
                self._written = session.labelmap
                if written:
                    node = self._effect.parameterSetNode().GetSegmentationNode()
                    describe_run(node, session.result.report)
                    keep_numbers(node, session.result.statistics)
                self.say(_("{count} segment(s) written.").format(count=len(written)))
        self.show()

    def onToggleNotIt(self) -> None:
        """Clicks mean the other thing from now on."""
        self.options.notIt.checked = not self.options.notIt.checked

    def say(self, text: str, isError: bool = False) -> None:
        """Shows a message below the buttons."""
        self.options.message.text = text[:1].upper() + text[1:]
        self.options.message.styleSheet = "color: #c0392b" if isError else ""

    def followLayout(self) -> None:
        """Draws into the slice views that the layout has now."""
        if self.session.labelmap is not None:
            self.views.follow()
            self.show()

    def show(self) -> None:
        """Draws the present state into the slice views."""
        with self._errorsTold(discard=True):
            session = self.session
            written = session.labelmap is self._written
            self.views.show(session, self.clicks, self.options.measureName(), written)

    def _run(self) -> None:
        if not self._timer.active:  # the effect was left while packages were installed
            return
        node, package = self._effect.parameterSetNode(), self.options.package()
        volumes, box, request = prepare(self.options.choices(), node)
        self.session.run(volumes, box, request)
        threading.Thread(target=_import_what_answers_need, daemon=True).start()
        self._written = None
        self.clicks.clear(list(package.foreground))
        self.options.listStructures(package.foreground)
        label = label_of(node.GetSegmentationNode(), node.GetSelectedSegmentID(), package.foreground)
        if label is not None:
            self.options.structure.currentText = label.name

    def _targets(self) -> list[Target] | None:
        """Where Apply writes; None where the user does not want to."""
        node, chosen = self._effect.parameterSetNode(), self.options.target()
        if chosen == EACH:
            return one_each(node.GetSegmentationNode(), self.clicks.labels) if node.GetSegmentationNode() else []
        if self._effect.confirmCurrentSegmentVisible() == self._effect.NotConfirmed:
            return None
        values = [label.value for label in self.clicks.labels if chosen in (SELECTED, label.name)]
        if not node.GetSelectedSegmentID():
            self.say(_("No segment is selected; select one, or apply to one segment each."), isError=True)
            return None
        return [Target(tuple(values), node.GetSelectedSegmentID())]

    def _connectedWidgets(self) -> list[tuple]:
        ui = self.options
        return [
            (ui.run, "clicked()", self.onRun), (ui.cancel, "clicked()", self.onCancel),
            (ui.apply, "clicked()", self.onApply), (ui.undoClick, "clicked()", self.clicks.undo),
            *((w, "currentIndexChanged(int)", self._onOption)
              for w in (ui.model, ui.region, ui.fusion, ui.measure, ui.applyTo)),
            *((w, "valueChanged(int)", self._onOption) for w in (ui.samples, ui.steps)),
            *((w, "valueChanged(double)", self._onOption) for w in (ui.margin, ui.threshold)),
            (ui.useThreshold, "toggled(bool)", self._onOption),
            (ui.box, "currentNodeChanged(vtkMRMLNode*)", self._onOption),
            (ui.box, "nodeAddedByUser(vtkMRMLNode*)", self._onBoxAdded),
        ]  # fmt: skip

    def _onOption(self, _value=None) -> None:
        self.options.keepParameters()
        self._onRule()
        self.show()

    def _onBoxAdded(self, roi) -> None:
        source = self._effect.parameterSetNode().GetSourceVolumeNode()
        if source is not None:
            fit_roi(roi, source)
        if roi.GetDisplayNode() is not None:
            roi.GetDisplayNode().SetFillVisibility(False)  # the scan must stay readable within

    def _onRule(self) -> None:
        with self._errorsTold():
            self.session.set_rule(*self.options.rule())

    def _onPulse(self) -> None:
        if self.session.result is not None:
            with self._errorsTold(discard=True):
                self.session.check_current()
        self.views.pulse()
        self.show()

    def _onSessionChanged(self) -> None:
        self._tellState()
        self.show()

    def _tellState(self) -> None:
        told = describe(self.session, self.computing)
        if told is not None:
            self.say(*told)
        self._update()

    def _forget(self) -> None:
        self.clicks.clear([])
        self.options.listStructures(None)
        self._written = None
        self.session.clear()
        self.views.clear()
        self._update()

    def _update(self) -> None:
        show_state(self.session, self.options)

    def _attempt(self, action: Callable[[], None]) -> None:
        with self._errorsTold():
            action()

    @contextmanager
    def _errorsTold(self, discard: bool = False) -> Iterator[None]:
        """Shows what goes wrong in the block.  discard: also forgets the opinions then."""
        try:
            yield
        except MedSegDiffError as error:
            if discard:
                self._forget()
            self.say(str(error), isError=True)


def _start_opinions(image, request, onProgress, onPreview, onFinished, volumes):
    logic = slicer.util.getModuleLogic("MedSegDiffSlicer")
    return logic.startOpinions(image, request, onProgress, onPreview, onFinished, volumes)


def _import_what_answers_need() -> None:
    """Imports what the first click would otherwise have to wait for."""
    import scipy.ndimage
    import scipy.special
    import SimpleITK  # noqa: F401
