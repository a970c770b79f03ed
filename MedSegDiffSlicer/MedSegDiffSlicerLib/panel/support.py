"""The section 'Support' of the panel: is there a GPU, which packages are there, where from, and the log."""

from __future__ import annotations

import importlib.metadata

import qt
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import MedSegDiffError

from ..jobs.run_log import log_text, outcome_of
from ..setup import dependencies
from ..setup.device_question import DeviceQuestion, in_words
from ..setup.packages_gate import WHEELS
from ..setup.python_executable import find_python
from ..view.sentences import sentences
from ..view.timers import every
from .fitting_label import fit_height

LOOKING = 200  # ms between two looks for the answer


class SupportSection:
    """Asks about the GPU when it is first opened; keeps what is needed for the log."""

    def __init__(self, ui, logic):
        self._ui, self._logic = ui, logic
        self._question: DeviceQuestion | None = None
        self.call, self.outcome, self.error = "", outcome_of(), ""
        self._timer = every(ui.supportCollapsibleButton, LOOKING, self._look)
        ui.wheelsPathEdit.filters = ui.wheelsPathEdit.Dirs
        ui.wheelsPathEdit.currentPath = slicer.app.userSettings().value(WHEELS) or ""
        ui.wheelsPathEdit.connect("currentPathChanged(QString)", self._on_wheels)
        ui.copyLogButton.connect("clicked(bool)", self._on_copy)
        ui.supportCollapsibleButton.connect("contentsCollapsed(bool)", lambda _collapsed: self.update())

    def update(self) -> None:
        """Tells which packages are there, and asks about the GPU, once the section is open."""
        if self._ui.supportCollapsibleButton.collapsed:
            return
        self._ui.packagesLabel.text = _packages_in_words()
        fit_height(self._ui.deviceLabel)
        if self._question is None and "torch" not in dependencies.missing():
            try:
                self._question = DeviceQuestion(find_python())
            except (MedSegDiffError, OSError) as error:
                self._ui.deviceLabel.text = sentences(error)
                return
            self._ui.deviceLabel.text = _("Looking...")
            self._timer.start()
        elif self._question is None:
            self._ui.deviceLabel.text = _("PyTorch, which looks for it, is not installed yet.")

    def log(self) -> str:
        """The log of the last run."""
        application = (
            f"{slicer.app.applicationName} {slicer.app.applicationVersion} {slicer.app.revision}, {slicer.app.os}"
        )
        device = self._ui.deviceLabel.text
        return log_text(application, self.call, self.outcome, self._logic.workerLines(), device, self.error)

    def close(self) -> None:
        """Ends what is under way."""
        self._timer.stop()
        if self._question is not None:
            self._question.close()

    def _look(self) -> None:
        if self._question.answer is not None:
            self._timer.stop()
            self._ui.deviceLabel.text = in_words(self._question.answer)
            fit_height(self._ui.deviceLabel)

    def _on_copy(self) -> None:
        qt.QApplication.clipboard().setText(self.log())
        slicer.util.showStatusMessage(_("The log is in the clipboard."), 3000)

    def _on_wheels(self, path: str) -> None:
        slicer.app.userSettings().setValue(WHEELS, path)


def _packages_in_words() -> str:
    missing = dependencies.missing()
    names = [name for name in dependencies.REQUIRED if name not in missing]
    there = [f"{name} {importlib.metadata.version(name)}" for name in names]
    lack = _("missing, installed by the first run: {packages}").format(packages=", ".join(missing)) if missing else ""
    return "; ".join(text for text in (", ".join(there), lack) if text)
