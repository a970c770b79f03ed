"""Packages, their installation and support in the panel, in the real application, by its widgets."""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from pathlib import Path
from unittest.mock import Mock, patch

import qt
import slicer
from in_slicer import EventLoopGaps, screenshot, turn_until
from panel_case import PanelCase

# Stands for the PyTorch extension: tells what it was asked for.
EXTENSION = """
import os
from pathlib import Path
from urllib.request import urlopen

class PyTorchUtilsLogic:
    def installTorch(self, askConfirmation, torchVersionRequirement):
        constraints = urlopen(os.environ["PIP_CONSTRAINT"]).read().decode()
        Path({told!r}).write_text(torchVersionRequirement + "|" + constraints)
        return "torch"
"""


class MedSegDiffPanelSetupTest(PanelCase):
    def test_missing_packages_are_explained_installed_beside_slicer_and_resumed(self):
        from MedSegDiffSlicerLib.setup import dependencies, packages_gate

        programs, missing, asked = [], ["monai"], []
        settings = slicer.app.userSettings()
        self.addCleanup(settings.remove, "MedSegDiff/UnfinishedInstallation")
        with (
            patch.object(dependencies, "missing", lambda: list(missing)),
            patch.object(packages_gate, "Program", lambda *told: programs.append(told) or Mock(ended=False)),
            patch("slicer.util.confirmOkCancelDisplay", lambda *told: asked.append(told) or len(asked) > 1),
        ):
            self.ui.runButton.click()
            self.assertIn("Nothing was installed", self.ui.messageLabel.text)
            self.ui.runButton.click()
            self.assertIn("monai (1.5 or later)", asked[1][0])
            self.assertTrue(self.ui.cancelButton.enabled)
            programs[0][1]("Collecting monai")
            self.assertEqual(self.ui.messageLabel.text, "Collecting monai")
            screenshot("panel-installing")
            self.ui.cancelButton.click()
            turn_until(lambda: not self.ui.cancelButton.enabled)
            slicer.util.reloadScriptedModule("MedSegDiffSlicer")  # as after a restart
            self.panel = slicer.util.getModuleWidget("MedSegDiffSlicer")
            self.ui = self.panel.ui
            self.assertIn("was interrupted; press Run", self.ui.messageLabel.text)
            self.ui.samplesSpinBox.value = 1
            self.ui.runButton.click()
            self.assertEqual((len(asked), len(programs)), (2, 2))  # agreed to before: not asked again
            missing.clear()
            programs[1][2](0)
            turn_until(lambda: self.ui.messageLabel.text.startswith("Done"))

    def test_refused_installation_leaves_the_panel_ready(self):
        from MedSegDiffSlicerLib.setup import dependencies

        self.addCleanup(slicer.app.userSettings().remove, "MedSegDiff/UnfinishedInstallation")
        with (
            patch.object(dependencies, "missing", lambda: ["torch"]),
            patch.dict(sys.modules, PyTorchUtils=None),
            patch("slicer.util.confirmOkCancelDisplay", return_value=True),
        ):
            self.ui.runButton.click()
            self.assertIn("install the extension 'PyTorch'", self.ui.messageLabel.text)
            self.ui.seedSpinBox.value += 1  # whatever brings the buttons up to date
            self.assertTrue(self.ui.runButton.enabled)
            self.assertFalse(self.ui.cancelButton.enabled)

    def test_pytorch_comes_by_its_extension_in_another_slicer(self):
        from MedSegDiffSlicerLib.setup import dependencies

        self.addCleanup(slicer.app.userSettings().remove, "MedSegDiff/UnfinishedInstallation")
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        told = folder / "told.txt"
        (folder / "PyTorchUtils.py").write_text(EXTENSION.format(told=str(told)))
        environment = {**slicer.util.startupEnvironment(), "PYTHONPATH": str(folder)}
        with (
            patch.object(dependencies, "missing", lambda: [] if told.exists() else ["torch"]),
            patch.dict(sys.modules, PyTorchUtils=Mock()),
            patch("slicer.util.startupEnvironment", lambda: environment),
            patch("slicer.util.confirmOkCancelDisplay", return_value=True),
        ):
            self.ui.samplesSpinBox.value = 1
            self.ui.runButton.click()
            self.assertEqual(self.ui.messageLabel.text, "Installing PyTorch...")
            turn_until(lambda: self.ui.runButton.enabled, 100)
        self.assertTrue(self.ui.messageLabel.text.startswith("Done"), self.ui.messageLabel.text)
        requirement, constraints = told.read_text().split("|")
        self.assertEqual(requirement, ">=2.4")
        self.assertIn(f"numpy=={importlib.metadata.version('numpy')}", constraints.split())

    def test_programs_run_beside_slicer(self):
        from MedSegDiffSlicerLib.setup.packages_gate import PackagesGate
        from MedSegDiffSlicerLib.setup.python_executable import find_python

        lines, ends = [], []
        code = "import sys, time; print('begun', flush=True); time.sleep(0.5); print(sys.version_info[:2]); sys.exit(3)"
        gate = PackagesGate(print, lambda: None)
        gate._launch([find_python(), "-c", code], lines.append, ends.append)
        with EventLoopGaps() as gaps:
            turn_until(lambda: ends)
        self.assertEqual((lines[0], ends), ("begun", [3]))
        self.assertIn(str(sys.version_info[:2]), lines)
        print(f"MEASURED beside a program: {gaps}")

    def test_support_tells_about_gpu_and_packages_and_gives_the_log(self):
        self.run_once(samples=1)
        self.open_only("support")
        turn_until(lambda: "GPU" in self.ui.deviceLabel.text)
        self.assertIn("torch", self.ui.packagesLabel.text)
        screenshot("panel-support")
        self.ui.copyLogButton.click()
        text = qt.QApplication.clipboard().text()
        for words in ("# versions", "Slicer", "torch ", "logic.segment(", "done in", '"device"', "worker's last lines"):
            self.assertIn(words, text)
        self.assertNotIn("torch", sys.modules)

    def test_support_makes_room_for_its_answer_and_waits_for_none_without_pytorch(self):
        from MedSegDiffSlicerLib.setup import dependencies

        self.open_only("segment")
        with patch.object(dependencies, "missing", lambda: ["torch"]):
            self.open_only("support")
            self.turn(0.6)  # an exception in a timer's slot fails the test's end
            self.assertIn("not installed yet", self.ui.deviceLabel.text)
        self.open_only("segment")
        self.open_only("support")
        turn_until(lambda: self.ui.deviceLabel.text not in ("", "Looking...") and "yet" not in self.ui.deviceLabel.text)
        self.turn(0.5)
        label = self.ui.deviceLabel
        self.assertGreaterEqual(label.height, label.heightForWidth(label.width))
        screenshot("panel-support-answer")
