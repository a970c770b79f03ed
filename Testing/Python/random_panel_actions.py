"""What users do in the panel, at random; see random_actions."""

from __future__ import annotations

import slicer
from in_slicer import MODEL, load_sample, turn_until


class PanelActions:
    """What RandomActions does in the panel, and what both need.

    random: of the choices.  prepares: see RandomActions.  controller: of the effect, None where another one is active.
    """

    @property
    def panel(self):
        return slicer.util.getModuleWidget("MedSegDiffSlicer")

    def scans(self) -> list:
        """The volumes that no run left; there is one at least."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        return [node for node in volumes if node.GetAttribute("MedSegDiff.Model") is None] or [load_sample()]

    def wait(self) -> None:
        """For the end of what is under way."""
        ui = self.panel.ui
        turn_until(lambda: not ui.cancelButton.enabled and not ui.batchCancelButton.enabled, 200)
        if self.controller is not None:
            turn_until(lambda: not self.controller.session.running and not self.controller.computing, 200)

    def some_turns(self) -> None:
        """Lets the application live, or not."""
        for _ in range(self.random.choice((0, 1, 20))):
            slicer.app.processEvents()

    def do_panel_run(self) -> bool:
        self._open_panel()
        self.panel.ui.runButton.click()
        if self.prepares:
            self.wait()
            return self.panel.logic.getParameterNode().resultSegmentation is not None
        self.some_turns()
        return self.panel.ui.cancelButton.enabled

    def do_panel_cancel(self) -> bool:
        if self.prepares:
            self._open_panel()
            self.panel.ui.runButton.click()
        under_way = self.panel.ui.cancelButton.enabled
        self.panel.ui.cancelButton.click()
        return under_way

    def do_panel_remove(self) -> bool:
        if self.prepares:
            self.do_panel_run()
        slicer.util.selectModule("MedSegDiffSlicer")
        enabled = self.panel.ui.removeButton.enabled
        self.panel.ui.removeButton.click()
        return enabled

    def do_panel_batch(self) -> bool:
        self._open_panel()
        ui = self.panel.ui
        ui.batchCollapsibleButton.collapsed = False
        self.some_turns()
        if self.prepares:
            turn_until(lambda: ui.batchRunButton.enabled)
        ui.batchRunButton.click()
        if not ui.batchCancelButton.enabled:
            return False
        self.some_turns()
        if self.prepares:
            self.wait()
            return any(case.state == "done" for case in self.panel.panel._batch.batch.cases)
        ui.batchCancelButton.click()
        return True

    def _open_panel(self) -> None:
        slicer.util.selectModule("MedSegDiffSlicer")
        ui = self.panel.ui
        self.wait()
        ui.inputSelector.setCurrentNode(self.random.choice(self.scans()))
        ui.modelComboBox.currentText = MODEL
        turn_until(lambda: ui.runButton.enabled)
        ui.samplesSpinBox.value = self.random.choice((1, 2, 4))
