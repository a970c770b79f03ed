"""The module's panel: wires its sections, the parameter node and the logic together."""

from __future__ import annotations

from collections.abc import Sequence

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from medsegdiff.models.ensembles import Ensemble
from medsegdiff.models.store import DEFAULT_MODEL

from ..jobs.copy_as_python import recalled_call
from ..jobs.run_log import outcome_of
from ..jobs.run_options import models_from, options_from
from ..nodes.slicer_result import WARNINGS
from ..setup.packages_gate import PackagesGate
from ..view.message_color import style_of
from ..view.sentences import sentences
from ..view.timers import once
from .batch import BatchSection
from .choices import Choices
from .fitting_label import fit_height, set_text
from .inputs import InputRows
from .models import ModelsSection
from .result import ResultSection
from .run import RunSection
from .support import SupportSection


LOOK = 300  # ms between two looks whether jobs have ended
LETTERS = 66  # wide: what the result's table holds, as all views are drawn anew where the panel grows for it


class Panel(VTKObservationMixin):
    """What a user sees of the module.  widget: made of MedSegDiffSlicer.ui; ui: the widgets in it, by name."""

    def __init__(self, widget, ui, logic):
        super().__init__()
        self._widget, self.ui, self.logic = widget, ui, logic
        widget.minimumWidth = LETTERS * qt.QFontMetrics(widget.font).averageCharWidth()
        self._parameters = None
        self._watch = VTKObservationMixin()  # of the parameters; one of its own, as it holds on to what it observed
        self._guiTag = None
        self._models: dict = {}
        self._gate = PackagesGate(self._tell, self._update)
        self._inputs, self._choices = InputRows(ui), Choices(ui)
        self._support = SupportSection(ui, logic)
        self._result = ResultSection(
            ui, logic, self._on_removed, self._recall, lambda: logic.busy or self._run.is_running
        )
        self._run = RunSection(ui, logic, self._asked, self._support, self._result, self._tell, self._update)
        self._browser = ModelsSection(ui, logic, self._gate.ensure, self._on_models_changed)
        self._batch = BatchSection(
            ui, logic, self._asked, self._gate.ensure, self._keep_call, self._keep_outcome, self._update, self._copy
        )
        self._list_models()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._on_scene_start_close)
        for event in (scene.EndCloseEvent, scene.EndImportEvent):
            self.addObserver(scene, event, self._on_scene_new)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent):
            self.addObserver(scene, event, self._on_nodes_changed)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self._on_node_leaving, priority=1.0)
        self._late = once(widget, 0, self._fill)
        self._ended = once(widget, LOOK, self._on_jobs_ended)  # of what scripts started, which tells nobody else
        ui.runButton.connect("clicked(bool)", lambda: self._gate.ensure(self._run.start))
        ui.cancelButton.connect("clicked(bool)", self._on_cancel)
        ui.copyPythonButton.connect("clicked(bool)", lambda: self._copy(self._support.call))
        ui.modelComboBox.connect("currentIndexChanged(int)", self._on_model_chosen)
        self.show(logic.getParameterNode())
        self._gate.remind()

    def close(self) -> None:
        """Before the panel is given up."""
        self._late.stop()
        self._ended.stop()
        self._run.close()
        self._gate.cancel()
        self._batch.close()
        self.show(None)
        self.removeObservers()
        self._result.close()
        self._support.close()

    def enter(self) -> None:
        """Each time the module is opened."""
        self.show(self.logic.getParameterNode(), self._list_models())
        self._result.take_up()
        self._ended.start()  # for what is still under way
        fit_height(self.ui.messageLabel)
        self._support.update()

    def leave(self) -> None:
        """Each time another module is opened: outlines of single opinions go, segments and map stay."""
        self._result.view.opinions.hide()

    def show(self, parameters, lost: Sequence[str] = ()) -> None:
        """Shows and changes this parameter node; None: none.  lost: models that were chosen and are not to be had."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
            self._watch.removeObservers()
        self._parameters = parameters
        if parameters is None:  # the scene is being closed
            self._run.hurry()
        lost = [*lost, *_let_go(parameters, self._models)]
        self._choices.show(parameters)
        if parameters is not None:
            chosen = parameters.inputVolume
            self._guiTag = parameters.connectGui(self._widget)
            self._inputs.offer(chosen)
            self._watch.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._update)
            if parameters.model in self._models:
                self.ui.modelComboBox.currentText = parameters.model
            self._on_model_chosen(self.ui.modelComboBox.currentIndex)
        found, told = self._result.show(parameters), _not_installed(lost, parameters)
        if found is not None:
            self._recall(found.segmentationNode, told)
        elif told:
            self._tell(told, isError=True)
        self._update()

    def review(self, added) -> None:
        """Begins the review of a SlicerResult that came from elsewhere, whichever module is open."""
        if self._parameters is None:
            self.show(self.logic.getParameterNode())
        self._result.begin_review(added)
        self._recall(added.segmentationNode)

    def is_reviewing(self, segmentation) -> bool:
        """Whether the review of that segmentation is open."""
        return self._result.is_reviewing(segmentation)

    def set_map_aside(self, aside: bool) -> None:
        """Takes the map of a result away while a preview is shown in its place, and brings it back."""
        self._result.set_map_aside(aside, "preview")

    def forget(self, segmentation) -> None:
        """Ends review and view of the result with that segmentation, if it is the one shown."""
        if self._parameters is not None and self._parameters.resultSegmentation is segmentation:
            self._result.forget()
            self._keep_call("")
            self._tell("")
            self._update()

    def _recall(self, segmentation, told: str = "") -> None:
        """Tells again what was told of a result that came with a scene.  told: before that, of another one."""
        self._keep_call(recalled_call(segmentation))
        self._tell("\n".join(filter(None, (told, segmentation.GetAttribute(WARNINGS)))))
        self._update()

    def _asked(self) -> tuple:
        """Model(s), arguments of the logic's functions, channels and input volumes, as the panel shows them."""
        chosen, package = self._parameters, self._models.get(self._parameters.model if self._parameters else "")
        if package is None:
            return None, {}, (), []
        arguments = options_from(chosen)
        if chosen.segmentation is not None:
            arguments["segmentationNode"] = chosen.segmentation
        if chosen.measures != "entropy":
            arguments["measures"] = [name for name in chosen.measures.split("+") if name]
        for name in ("probabilityVolumes", "samplesSequence"):
            if not getattr(chosen, name):
                arguments[name] = False
        return models_from(chosen), arguments, package.channels, self._inputs.chosen()

    def _on_cancel(self) -> None:
        self._gate.cancel()
        self._run.cancel()

    def _on_removed(self, text: str) -> None:
        self._tell(text)
        self._update()

    def _keep_call(self, text: str) -> None:
        self._support.call, self._support.outcome = text, outcome_of()

    def _copy(self, text: str) -> None:
        qt.QApplication.clipboard().setText(text)
        slicer.util.showStatusMessage(_("The lines are in the clipboard; paste them into the Python console."), 3000)

    def _keep_outcome(self, text: str) -> None:
        self._support.outcome = text

    def _tell(self, text: str, isError: bool = False) -> None:
        if isError:
            self._support.error = text
        self.ui.messageLabel.styleSheet = style_of(self.ui.messageLabel, isError)
        set_text(self.ui.messageLabel, sentences(text))

    def _on_models_changed(self) -> None:
        if lost := self._list_models():
            self._tell(_not_installed(lost, self._parameters), isError=True)

    def _list_models(self) -> list[str]:
        """Fills the lists anew, as models may have been imported or removed; what was chosen and is gone."""
        self._models = {package.name: package for package in self.logic.models()}
        shown = self.ui.modelComboBox.currentText
        blocked = self.ui.modelComboBox.blockSignals(True)
        self.ui.modelComboBox.clear()
        self.ui.modelComboBox.addItems(list(self._models))
        self.ui.modelComboBox.currentText = shown if shown in self._models else DEFAULT_MODEL
        self.ui.modelComboBox.blockSignals(blocked)
        self._choices.list_models([name for name, one in self._models.items() if not isinstance(one, Ensemble)])
        self._browser.list_models(self._models)
        lost = _let_go(self._parameters, self._models)
        self._on_model_chosen(self.ui.modelComboBox.currentIndex)
        return lost

    def _on_model_chosen(self, _index: int) -> None:
        """Takes over the chosen model's channels and, if it is another one, its own numbers of samples and steps."""
        package, parameters = self._models.get(self.ui.modelComboBox.currentText), self._parameters
        if package is None or parameters is None:
            return
        if parameters.model != package.name:
            with slicer.util.NodeModify(parameters):
                parameters.model = package.name
                parameters.samples = package.sampling.get("samples", 1)
                parameters.steps = package.sampling.get("steps", 1)
        self._inputs.show(parameters, package)
        self._update()

    def _update(self, _caller=None, _event=None) -> None:
        """Brings the buttons in line with the choices and with what is there."""
        chosen, busy = self._parameters, self._run.is_running or self._gate.is_installing
        self._choices.show(chosen)
        self._inputs.update()
        lacking = self._inputs.lacking() if chosen is not None else []
        ready = chosen is not None and chosen.model in self._models and not lacking
        self.ui.runButton.enabled = ready and not busy and not self._batch.is_running
        self.ui.runButton.toolTip = _why_not(chosen, lacking) or _("Segment the volume.")
        self.ui.cancelButton.enabled = busy
        self.ui.progressBar.visible = busy
        self.ui.progressBar.maximum = 0 if self._gate.is_installing else 1000
        self.ui.copyPythonButton.enabled = self._support.call != ""
        self._result.update()
        self._batch.update()

    def _on_nodes_changed(self, _caller, _event) -> None:
        if not self._late.isActive():
            self._late.start()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_leaving(self, _caller, _event, node) -> None:
        if self._parameters is not None:  # else the scene is being closed
            self._inputs.let_go(node)

    def _fill(self) -> None:
        if self._parameters is not None and not self._run.is_running:
            if _is_open():  # else the scan that is looked at then is suggested
                self._inputs.fill()
            self._update()
            self._ended.start()

    def _on_jobs_ended(self) -> None:
        if self.logic.busy:
            self._ended.start()
        elif _is_open():  # elsewhere the views are not ours to change
            self._result.take_up()

    def _on_scene_start_close(self, _caller, _event) -> None:
        self._batch.forget()
        self.show(None)
        self._tell("")

    def _on_scene_new(self, _caller, _event) -> None:
        if _is_open():
            self.show(self.logic.getParameterNode())


def _is_open() -> bool:
    """Whether it is what the user looks at; always where the application has no window."""
    return slicer.util.mainWindow() is None or slicer.util.selectedModule() == "MedSegDiffSlicer"


def _let_go(parameters, models: dict) -> list[str]:
    """The names of chosen models that are not to be had; the further ones of these are no longer asked."""
    if parameters is None or not models:
        return []
    others = [name for name in parameters.otherModels.split("|") if name]
    if not set(others) <= set(models):
        parameters.otherModels = "|".join(name for name in others if name in models)
    return [name for name in (parameters.model, *others) if name and name not in models]


def _not_installed(names: list[str], parameters) -> str:
    """What is told of models that were chosen and are not to be had; empty where there are none."""
    if not names:
        return ""
    text = _("Not installed here: {models}. '{model}' is chosen now.")
    return text.format(models=", ".join(f"'{name}'" for name in names), model=parameters.model)


def _why_not(chosen, lacking: list[str]) -> str:
    """Why nothing can be run; empty where it can."""
    if chosen is None or not chosen.model:
        return _("Choose a model.")
    return _("Choose a volume for {channels}.").format(channels=", ".join(lacking)) if lacking else ""
