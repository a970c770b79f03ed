"""What the tests of the module's panel share."""

from __future__ import annotations

import time
import unittest

import slicer
from in_slicer import LONG, MODEL, ObserverErrors, load_sample, turn_until


class PanelCase(unittest.TestCase):
    """The module is open, with the sample as its input."""

    def setUp(self):
        slicer.util.mainWindow().resize(1500, 940)
        slicer.mrmlScene.Clear(0)
        self.volume = load_sample()
        slicer.util.selectModule("MedSegDiffSlicer")
        self.panel = slicer.util.getModuleWidget("MedSegDiffSlicer")
        self.ui = self.panel.ui
        self.ui.modelComboBox.currentText = MODEL
        self.ui.batchKindComboBox.setCurrentIndex(0)
        self.open_only("segment", "result")
        turn_until(lambda: self.ui.runButton.enabled)
        self.errors = self.enterContext(ObserverErrors())

    def tearDown(self):
        turn_until(lambda: not self.ui.cancelButton.enabled)
        self.assertEqual(self.errors, [])

    def open_only(self, *names: str) -> None:
        for name in ("segment", "advanced", "outputs", "result", "batch", "models", "support"):
            getattr(self.ui, f"{name}CollapsibleButton").collapsed = name not in names

    def overlays(self) -> set:
        return {view.GetForegroundVolumeID() for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}

    def turn(self, seconds: float) -> None:
        """Lets the application live for a while."""
        end = time.monotonic() + seconds
        turn_until(lambda: time.monotonic() > end)

    def run_once(self, **values) -> None:
        for name, value in values.items():
            getattr(self.ui, f"{name}SpinBox").value = value
        self.ui.runButton.click()
        turn_until(lambda: not self.ui.cancelButton.enabled)
        self.assertTrue(self.ui.messageLabel.text.startswith("Done"), self.ui.messageLabel.text)

    def start_long_run(self) -> None:
        self.ui.samplesSpinBox.value = LONG
        self.ui.runButton.click()
        turn_until(lambda: self.ui.progressBar.value > 0)
