"""What the Segment Editor effect does: options, session, slice views and editor wired together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from medsegdiff.models.ensembles import list_installed

from ..jobs.opinions_session import OpinionsSession
from ..jobs.run_request import prepare
from ..nodes.scene_change import is_in_scene
from ..nodes.target_segments import label_of
from ..setup.packages_gate import PackagesGate
from ..view.gui_background import GuiBackground
from ..view.shortcuts import Shortcuts
from ..view.slice_views import is_in_a_view, show_in_views
from .clicks import EffectClicks
from .messages import EffectMessages
from .options import EffectOptions
from .starting import start_opinions
from .state import describe, invite, show_state
from .views import EffectViews
from .writing import EffectWriting

PULSE_INTERVAL = 200  # ms


class EffectController:
    """One effect's work in one Segment Editor.

    effect: the scripted effect (C++ side).  logic(), panel(): of the module; others once it was reloaded.
    """

    def __init__(self, effect, logic: Callable, panel: Callable):
        self._effect, self._logic, self._panel = effect, logic, panel
        self.options = EffectOptions(effect, list_installed())
        self._messages = EffectMessages(self.options.message, self.options.more, self._forget)
        self._background = GuiBackground(self._onBusy)
        self._thorough = GuiBackground(self._onBusy, patience=0)  # what takes long, beside what is to be seen at once
        self.views = EffectViews(effect, self._background, self._thorough)
        self.session = OpinionsSession(
            partial(start_opinions, logic), self._onSessionChanged, self._background, self._thorough
        )  # fmt: skip
        self.clicks = EffectClicks(self.session, self.options, self.show, self._messages.attempt)
        self._packages = PackagesGate(self._messages.say, self._update)
        self._writing = EffectWriting(
            effect, self.session, self.options, self._messages, panel, self._thorough
        )  # fmt: skip
        self._shortcuts = Shortcuts({
            "Ctrl+Return": self.onRun, "Shift+Return": self.onApply, "Ctrl+Backspace": self.clicks.undo,
            "X": self.onToggleNotIt,
        })  # fmt: skip
        self._timer = qt.QTimer()
        self._timer.setInterval(PULSE_INTERVAL)
        self._connections = [(self._timer, "timeout()", self._onPulse), *self._connectedWidgets()]
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)
        self._observations = VTKObservationMixin()
        for event in (slicer.mrmlScene.NodeRemovedEvent, slicer.mrmlScene.EndCloseEvent):
            self._observations.addObserver(slicer.mrmlScene, event, self._onNodesRemoved)

    def close(self) -> None:
        """Ends all, for good."""
        self._observations.removeObservers()
        self.deactivate()
        self._forget()
        self._packages.cancel()
        self._background.close()
        self._thorough.close()
        self.views.close()
        self._writing.close()
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)
        self._connections = []

    @property
    def computing(self) -> bool:
        """Whether anything is being worked out that is not shown yet."""
        return self._background.busy or self._thorough.busy

    @property
    def _isActive(self) -> bool:
        """Whether the effect is the chosen one."""
        return self._timer.active

    def activate(self) -> None:
        """The effect was chosen; opinions of before are shown again, if they still hold."""
        self._logic()  # which makes its panel, once: not when Run is pressed
        self.options.listModels(list_installed())
        self._shortcuts.install()
        self._timer.start()
        self.dropIfOtherVolume()
        self._tellState()
        self._discardIfOutdated()
        self.show()

    def deactivate(self) -> None:
        """The effect was left: a run stops, preview and shortcuts go; opinions that there are wait for its return."""
        self._shortcuts.remove()
        self._timer.stop()
        self.clicks.stop()
        self.session.cancel()
        self.views.clear()
        self._panel().set_map_aside(False)
        if self.session.result is None or not is_in_scene(self.session.volume):
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
        elif self.session.volume is None:
            self.session.error = None  # of a run on another one
        self._invite()

    def onRun(self) -> None:
        """Asks for opinions, once the Python packages are there."""
        if self.options.run.enabled:
            self._packages.ensure(lambda: self._messages.attempt(self._run))

    def onCancel(self) -> None:
        """Stops a run or an installation, or discards the opinions."""
        if self._packages.is_installing:
            self._packages.cancel()
        elif self.session.running and self.session.result is not None:
            self.session.cancel()  # what the clicks gave at once stays
        else:
            written = self._writing.holds_any
            self._forget()
            self._messages.say(_("The preview was discarded.") if written else _("Cancelled; nothing was written."))

    def onApply(self) -> None:
        """Writes what is shown into the segments, as one step to undo. The opinions stay, to be put together anew."""
        if self.session.computing or self._writing.is_there:
            return
        with self._messages.errors():
            if self._writing.apply():
                self.session.error = None  # of a run before, which was told then
                self._tellState()
        self.show()

    def onReview(self) -> None:
        """Goes through the doubtful places of what was written."""
        if not self._writing.review():
            self._tellState()  # undone a moment ago, before the button was grey

    def onToggleNotIt(self) -> None:
        """Clicks mean the other thing from now on."""
        if self.options.notIt.enabled:
            self.options.notIt.checked = not self.options.notIt.checked

    def followLayout(self) -> None:
        """Draws into the slice views that the layout has now."""
        if self._isActive and self.session.labelmap is not None:
            self.views.follow()
            self.show()

    def show(self) -> None:
        """Draws the present state into the slice views."""
        with self._messages.errors(discard=True):
            if self._isActive:
                self._panel().set_map_aside(self.session.labelmap is not None)  # whose colours would be taken for ours
                self.views.show(self.session, self.clicks, self.options.measureName(), self._writing.covers_preview)
                self.options.scale.show_span(self.views.scale)

    def _run(self) -> None:
        if not self._isActive:  # it was left while packages were installed
            return
        node, package = self._effect.parameterSetNode(), self.options.package()
        volumes, box, request = prepare(self.options.choices(), node)
        self.session.run(volumes, box, request)
        if not is_in_a_view(volumes[0]):
            show_in_views(volumes[0])
        self.clicks.clear(list(package.foreground))
        self.options.listStructures(package.foreground)
        label = label_of(node.GetSegmentationNode(), node.GetSelectedSegmentID(), package.foreground)
        if label is not None:
            self.options.structure.currentText = label.name

    def _connectedWidgets(self) -> list[tuple]:
        ui = self.options
        return [
            (ui.run, "clicked()", self.onRun), (ui.cancel, "clicked()", self.onCancel),
            (ui.apply, "clicked()", self.onApply), (ui.review, "clicked()", self.onReview),
            (ui.undoClick, "clicked()", self.clicks.undo), (ui.more, "toggled(bool)", self._onMore),
            (ui.box, "nodeAddedByUser(vtkMRMLNode*)", ui.fitBox),
            *((widget, signal, self._onOption) for widget, signal in ui.changes()),
        ]  # fmt: skip

    def _onOption(self, _value=None) -> None:
        self.options.keepParameters()
        self._onRule()
        self._tellState()  # instead of what was refused before
        self._invite()
        self.show()

    def _onRule(self) -> None:
        with self._messages.errors():
            self.session.set_rule(*self.options.rule())

    def _onMore(self, _all: bool) -> None:
        self._messages.show()

    def _onPulse(self) -> None:
        self._discardIfOutdated()
        if self._writing.turned():
            self._tellState()
        if self._writing.holds_shown:
            self._update()  # another segment or masking, of which nobody is told, makes Apply of use again
        self.views.pulse()
        self.show()

    def _discardIfOutdated(self) -> None:
        with self._messages.errors(discard=True):
            if self.session.result is not None:
                self.session.check_current()
            else:
                self.session.check_unchanged()  # a run would end in vain

    def _onNodesRemoved(self, _scene=None, _event=None) -> None:
        if not self._isActive and self.session.volume is not None and not is_in_scene(self.session.volume):
            self._forget()

    def _invite(self) -> None:
        """Says what to do first, where nothing was done yet."""
        waiting = self._isActive and not self._packages.is_installing
        if waiting and self.session.volume is None and self.session.error is None:
            self._messages.say(invite(self._effect, self.options))

    def _onSessionChanged(self) -> None:
        if self.session.result is None and not self.session.running:  # it failed
            self.options.listStructures(None)
        self._tellState()
        self.show()

    def _onBusy(self, _busy: bool) -> None:
        self._update() if self._messages.isError else self._tellState()  # which is read yet

    def _tellState(self) -> None:
        told = describe(self.session, self.computing, self._writing.shown, self.options.model.currentText)
        if told is not None:
            self._messages.say(*told)
        self._update()

    def _forget(self) -> None:
        self.clicks.clear([])
        self.options.listStructures(None)
        self._writing.forget()
        self.session.clear()
        self.views.clear()
        self._update()

    def _update(self) -> None:
        show_state(self.session, self.options, self._writing, self._packages.is_installing)
