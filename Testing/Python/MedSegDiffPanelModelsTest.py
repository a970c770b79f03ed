"""Models in the panel: their inputs, description, import and removal, in the real application, by its widgets."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import slicer
from in_slicer import MODEL, screenshot, turn_until
from medsegdiff.models.store import user_store
from panel_case import PanelCase


class MedSegDiffPanelModelsTest(PanelCase):
    def test_channels_get_selectors_with_suggestions(self):
        with self.store() as folder:
            channels = [{"name": "T1", "modality": "MR"}, {"name": "FLAIR", "modality": "MR"}]
            # an import would find its network
            changed = self.changed_copy(folder, name="two-channels", channels=channels)
            shutil.copytree(changed, user_store() / "two-channels")
            flair = slicer.modules.volumes.logic().CloneVolume(self.volume, "4: T2 FLAIR")
            self.volume.SetName("2: T1 MPRAGE")
            ct = slicer.modules.volumes.logic().CloneVolume(self.volume, "CT head")
            self.panel.enter()
            self.ui.modelComboBox.currentText = "two-channels"
            first, second = self.panel.panel._inputs.selectors
            self.assertEqual((first.currentNode(), second.currentNode()), (self.volume, flair))
            self.assertTrue(self.ui.runButton.enabled)
            screenshot("panel-channels")
            second.setCurrentNode(ct)
            self.assertIn("'CT head' does not look like FLAIR", self.ui.doubtLabel.text)
            second.setCurrentNode(None)
            self.assertFalse(self.ui.runButton.enabled)
            self.assertIn("FLAIR", self.ui.runButton.toolTip)
            passing = slicer.modules.volumes.logic().CloneVolume(self.volume, "passing")
            second.setCurrentNode(passing)
            slicer.mrmlScene.RemoveNode(passing)  # no volume that does not fit takes its place
            turn_until(lambda: second.currentNode() is flair)
            shutil.rmtree(changed)
            channels[1]["optional"] = True
            shutil.copytree(
                self.changed_copy(folder, name="one-or-two", channels=channels), user_store() / "one-or-two"
            )
            self.panel.enter()
            self.ui.modelComboBox.currentText = "one-or-two"
            first, second = self.panel.panel._inputs.selectors
            self.assertEqual((first.currentNode(), second.currentNode()), (self.volume, flair))
            second.setCurrentNode(None)
            slicer.modules.volumes.logic().CloneVolume(self.volume, "5: FLAIR, too")
            slicer.app.processEvents()
            self.assertIsNone(second.currentNode())  # the user does without; nothing is suggested again
            self.assertTrue(self.ui.runButton.enabled)
            self.ui.modelComboBox.currentText = MODEL
            self.assertEqual(len(self.panel.panel._inputs.selectors), 1)
        self.panel.enter()

    def test_models_that_a_scene_names_and_that_are_not_here_are_told(self):
        parameters = self.panel.logic.getParameterNode()
        parameters.model, parameters.otherModels, parameters.samples = "a-colleagues", "gone|hippocampus-unet", 50
        self.panel.enter()
        self.assertEqual((parameters.model, parameters.otherModels), (MODEL, "hippocampus-unet"))
        self.assertIn(f"Not installed here: 'a-colleagues', 'gone'. '{MODEL}' is chosen now", self.ui.messageLabel.text)
        parameters.otherModels = ""

    def test_models_are_described_imported_and_removed(self):
        with self.store() as folder:
            browser = self.panel.panel._browser
            browser.look_at(MODEL)
            self.assertIn("arXiv:1902.09063", self.ui.modelDescriptionLabel.text)
            self.assertFalse(self.ui.modelPictureLabel.pixmap.isNull())
            self.assertFalse(self.ui.removeModelButton.enabled)
            self.open_only("models")
            screenshot("panel-models")
            browser.import_model(f"{folder}/nothing.zip")
            self.assertIn("neither a folder nor a .zip", self.ui.modelsMessageLabel.text)
            weights = Path(folder, "weights.pth")
            weights.write_bytes(b"no weights")
            for typed, answer in (("--network nothing", "stu_net"), ('--licence "MIT', "cannot be read"),
                                  ("other.zip", "Give options"), ("--help", "--channels A,B,...")):  # fmt: skip
                self.ui.importOptionsEdit.text = typed
                browser.import_model(str(weights))
                self.assertIn(answer, self.ui.modelsMessageLabel.text)
            self.ui.importOptionsEdit.text = "--trust"
            with patch("slicer.util.confirmYesNoDisplay", return_value=False) as asked:
                browser.import_model(str(weights))
            self.assertIn("weights.pth", asked.call_args.args[0])
            self.ui.importOptionsEdit.text = ""
            browser.import_model(str(self.changed_copy(folder, name="mine")))
            self.assertEqual(self.ui.modelsList.currentItem().text(), "mine")
            self.assertGreaterEqual(self.ui.modelComboBox.findText("mine"), 0)
            with patch("slicer.util.confirmOkCancelDisplay", return_value=True):
                self.ui.removeModelButton.click()
            self.assertEqual(self.ui.modelComboBox.findText("mine"), -1)
        self.panel.enter()

    def test_imported_model_is_listed_when_the_panel_is_opened_again(self):
        shipped = {package.name: package.folder for package in self.panel.logic.models()}[MODEL]
        with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, XDG_DATA_HOME=f"{folder}/store"):
            copy = Path(shutil.copytree(shipped, f"{folder}/copy"))
            config = copy / "configs" / "segmenter.json"
            config.write_text(json.dumps({**json.loads(config.read_text()), "name": "a-new-model"}))
            self.panel.logic.importModel(copy)
            slicer.util.selectModule("Data")
            slicer.util.selectModule("MedSegDiffSlicer")
            self.assertGreaterEqual(self.ui.modelComboBox.findText("a-new-model"), 0)
            self.assertEqual(self.ui.modelComboBox.currentText, MODEL)
            self.assertEqual(self.panel.logic.getParameterNode().model, MODEL)
        self.panel.enter()

    @contextmanager
    def store(self):
        with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, XDG_DATA_HOME=f"{folder}/store"):
            yield folder

    def changed_copy(self, folder: str, **changes) -> Path:
        """A copy of the shipped model with other entries in its configuration."""
        shipped = {package.name: package.folder for package in self.panel.logic.models()}[MODEL]
        copy = Path(shutil.copytree(shipped, f"{folder}/copy"))
        config = copy / "configs" / "segmenter.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
        return copy
