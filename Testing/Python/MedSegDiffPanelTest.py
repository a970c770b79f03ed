"""What a user does: the panel in the real application, by its widgets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import unittest
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock, patch

import numpy as np
import qt
import slicer
from in_slicer import (
    LONG, MODEL, EventLoopGaps, ObserverErrors, delete_what_was_given_up, load_sample, node_ids, screenshot, turn_until,
)  # fmt: skip
from medsegdiff.models.store import user_store


class MedSegDiffPanelTest(unittest.TestCase):
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

    def start_long_run(self) -> None:
        self.ui.samplesSpinBox.value = LONG
        self.ui.runButton.click()
        turn_until(lambda: self.ui.progressBar.value > 0)

    def test_run_gives_segments_table_and_overlay(self):
        screenshot("panel-before")
        self.assertTrue(self.ui.runButton.enabled)
        self.assertIs(self.ui.inputSelector.currentNode(), self.volume)
        self.ui.samplesSpinBox.value = 8
        progress = []
        with EventLoopGaps() as gaps:
            began = time.perf_counter()
            self.ui.runButton.click()
            self.assertFalse(self.ui.runButton.enabled)
            self.assertTrue(self.ui.cancelButton.enabled)
            turn_until(lambda: progress.append(self.ui.progressBar.value) or self.ui.progressBar.value > 300)
            screenshot("panel-running")
            turn_until(lambda: progress.append(self.ui.progressBar.value) or not self.ui.cancelButton.enabled)
        print(f"MEASURED panel, screenshots included: {time.perf_counter() - began:.2f} s, {gaps}")
        self.assertTrue(self.ui.messageLabel.text.startswith("Done"), self.ui.messageLabel.text)
        self.assertIn("unlike those that the model was trained on", self.ui.messageLabel.text)  # a template is an average
        self.assertGreater(len(set(progress)), 3)
        self.assertEqual(self.ui.resultTable.rowCount, 2)
        self.assertRegex(self.ui.resultTable.item(0, 1).text(), r"^\d\.\d\d \(\d\.\d\d - \d\.\d\d\)$")
        self.assertEqual(self.ui.resultTable.item(0, 2).text(), "not reliable")
        self.assertIn("unlike those that the model was trained on", self.ui.resultTable.item(0, 2).toolTip())
        (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 2)
        entropy = slicer.mrmlScene.GetFirstNodeByName(f"{self.volume.GetName()} entropy")
        self.assertEqual(self.ui.doubtLabel.text, "")
        self.assertEqual(self.overlays(), {entropy.GetID()})
        screenshot("panel-overlay")
        self.turn(0.3)
        table = self.ui.resultTable
        self.assertGreaterEqual(self.ui.plotButton.y, table.y + table.height, "nothing covers the table")
        self.ui.overlayButton.click()
        self.assertEqual(self.overlays(), {None})
        screenshot("panel-segments")
        self.ui.overlayButton.click()
        turn_until(lambda: self.overlays() == {entropy.GetID()})
        high = self.ui.messageLabel.height
        slicer.mrmlScene.Clear(0)
        turn_until(lambda: self.ui.messageLabel.height < high / 2)  # no room is kept for what is told no more

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

    def test_running_again_keeps_the_segments_unless_they_are_chosen_to_be_replaced(self):
        self.ui.samplesSpinBox.value = 1
        counts = []
        for _ in range(3):
            self.ui.runButton.click()
            turn_until(lambda: not self.ui.cancelButton.enabled)
            segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            self.assertEqual({s.GetSegmentation().GetNumberOfSegments() for s in segmentations}, {2})
            counts.append((len(segmentations), len(node_ids())))
            if len(counts) == 2:
                self.ui.segmentationSelector.setCurrentNode(segmentations[0])
        self.assertEqual([segmentations for segmentations, _nodes in counts], [1, 2, 2])
        self.assertEqual(counts[1], counts[2])

    def test_event_loop_turns_during_a_run(self):
        self.run_once(samples=1, steps=1)  # the worker starts, the model is loaded
        self.turn(0.5)
        views = slicer.util.findChild(slicer.util.mainWindow(), "CentralWidgetLayoutFrame")
        size = views.size
        with EventLoopGaps() as gaps:
            self.run_once(samples=8)
            self.turn(0.5)
        print(f"MEASURED panel, warm: {gaps}")
        self.assertGreater(gaps.turns, 20)
        self.assertEqual(views.size, size, "a panel that grows has all views drawn anew")
        self.print_slicers_own()

    def turn(self, seconds: float) -> None:
        """Lets the application live for a while."""
        end = time.monotonic() + seconds
        turn_until(lambda: time.monotonic() > end)

    def print_slicers_own(self) -> None:
        """What Slicer's own code needs for the like of a run's nodes, in the same session: that much is not ours."""
        with tempfile.TemporaryDirectory() as folder:
            entropy = slicer.mrmlScene.GetFirstNodeByName(f"{self.volume.GetName()} entropy")
            segmentation = self.panel.logic.getParameterNode().resultSegmentation
            slicer.util.saveNode(segmentation, f"{folder}/own.seg.nrrd")
            slicer.util.saveNode(entropy, f"{folder}/own map.nrrd")
            self.ui.removeButton.click()
            for what, action in (
                ("loading the segmentation", lambda: slicer.util.loadSegmentation(f"{folder}/own.seg.nrrd")),
                ("loading the map", lambda: slicer.util.loadVolume(f"{folder}/own map.nrrd", {"show": False})),
                ("laying it over all views", lambda: slicer.util.setSliceViewerLayers(foreground="own map")),
            ):
                with EventLoopGaps() as gaps:
                    action()
                    self.turn(0.4)
                print(f"MEASURED Slicer's own {what}: {gaps}")

    def run_once(self, **values) -> None:
        for name, value in values.items():
            getattr(self.ui, f"{name}SpinBox").value = value
        self.ui.runButton.click()
        turn_until(lambda: not self.ui.cancelButton.enabled)
        self.assertTrue(self.ui.messageLabel.text.startswith("Done"), self.ui.messageLabel.text)

    def test_copied_lines_do_the_same(self):
        self.ui.fusionComboBox.setCurrentIndex(self.ui.fusionComboBox.findData("majority"))
        self.ui.varianceCheckBox.checked = True
        self.ui.probabilitiesCheckBox.checked = False
        self.run_once(samples=3, seed=7)
        (first,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.ui.copyPythonButton.click()
        lines, names = qt.QApplication.clipboard().text(), {}
        print(lines)
        exec(lines, {"slicer": slicer}, names)
        result = names["result"]
        self.assertEqual([n.GetName().split()[-1] for n in result.uncertaintyVolumeNodes], ["entropy", "variance"])
        self.assertEqual(result.probabilityVolumeNodes, [])
        self.assertEqual((result.report["fusion"], result.report["seed"], result.report["samples"]), ("majority", 7, 3))
        for number in range(2):
            voxels = [slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(number), self.volume)
                      for node in (first, result.segmentationNode)]  # fmt: skip
            self.assertTrue((voxels[0] == voxels[1]).all() and voxels[0].any())

    def test_result_is_removed_as_a_whole(self):
        self.run_once(samples=1)
        before = node_ids()
        self.run_once(samples=2)
        self.assertGreater(len(node_ids()), len(before))
        first, second = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.ui.removeButton.click()
        self.assertEqual(node_ids(), before)
        self.assertIs(self.panel.logic.getParameterNode().resultSegmentation, first)
        self.assertTrue(first.GetDisplayNode().GetVisibility(), "what the later result hid is seen again")
        self.assertIn("unlike those that the model was trained on", self.ui.messageLabel.text)
        screenshot("panel-removed")
        self.ui.removeButton.click()
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])
        self.assertFalse(self.ui.resultCollapsibleButton.enabled)
        self.assertEqual(self.ui.messageLabel.text, "")

    def test_both_results_of_a_saved_scene_can_be_chosen_plotted_and_removed(self):
        self.run_once(samples=1)
        self.run_once(samples=2)
        with tempfile.TemporaryDirectory() as folder:
            self.assertTrue(slicer.util.saveScene(f"{folder}/saved.mrb"))
            slicer.mrmlScene.Clear(0)
            slicer.util.loadScene(f"{folder}/saved.mrb")
        turn_until(lambda: self.ui.resultTable.rowCount == 2)
        first, second = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        runs = slicer.util.findChild(self.ui.resultCollapsibleButton, "runBox")
        self.assertEqual((runs.currentText, runs.count), (second.GetName(), 2))
        shown = self.ui.resultTable.item(0, 1).text()
        runs.setCurrentIndex(0)
        runs.activated(0)
        self.assertEqual(runs.currentText, first.GetName())
        self.assertNotEqual(self.ui.resultTable.item(0, 1).text(), shown, "of other opinions")
        self.assertIs(self.panel.logic.getParameterNode().resultSegmentation, first)
        self.assertEqual([node.GetDisplayNode().GetVisibility() for node in (first, second)], [1, 0])
        layout = slicer.app.layoutManager().layout
        self.ui.plotButton.click()
        self.assertTrue(self.ui.plotButton.checked)
        self.assertNotEqual(slicer.app.layoutManager().layout, layout)
        self.turn(0.2)
        screenshot("panel-plot")
        self.ui.plotButton.click()
        self.assertEqual((slicer.app.layoutManager().layout, self.ui.plotButton.checked), (layout, False))
        for left in (1, 0):
            self.ui.removeButton.click()
            self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), left)
        maps = [n.GetName() for n in slicer.mrmlScene.GetNodes() if n.GetAttribute("MedSegDiff.Run")]
        self.assertEqual(maps, [])

    def test_whole_head_is_doubted_before_it_is_run(self):
        self.assertEqual(self.ui.doubtLabel.text, "")
        head = slicer.util.addVolumeFromArray(np.zeros((170, 220, 180), np.int16), name="head")
        self.ui.inputSelector.setCurrentNode(head)
        self.assertIn("'head' shows 180 x 220 x 170 mm", self.ui.doubtLabel.text)
        self.assertIn("Crop Volume", self.ui.doubtLabel.text)
        self.assertTrue(self.ui.runButton.enabled, "it is a doubt")
        self.turn(0.3)
        screenshot("panel-doubt")
        self.ui.inputSelector.setCurrentNode(self.volume)
        self.assertEqual(self.ui.doubtLabel.text, "")

    def test_result_of_the_console_is_shown(self):
        result = self.panel.logic.segment(self.volume, model=MODEL, samples=2)
        turn_until(lambda: self.ui.resultTable.rowCount == 2)
        self.assertIs(self.panel.logic.getParameterNode().resultSegmentation, result.segmentationNode)
        shown = self.panel.panel._result._shown
        self.assertEqual([node.GetID() for node in shown.nodes()], [node.GetID() for node in result.nodes()], "all of it")
        self.assertIn("unlike those that the model was trained on", self.ui.messageLabel.text)

    def test_removing_a_result_leaves_what_the_user_made_of_it(self):
        self.run_once(samples=1)
        node = self.panel.logic.getParameterNode().resultSegmentation
        segmentation = node.GetSegmentation()
        edited, other = segmentation.GetSegmentIDs()
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, edited, self.volume)
        voxels[:2] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, edited, self.volume)
        own = segmentation.AddEmptySegment("own", "own")
        turn_until(lambda: "edited" in self.ui.resultTable.item(0, 1).text())
        self.ui.removeButton.click()
        self.assertEqual(set(segmentation.GetSegmentIDs()), {edited, own})
        self.assertIn("Kept in", self.ui.messageLabel.text)
        self.assertTrue((slicer.util.arrayFromSegmentBinaryLabelmap(node, edited, self.volume) == voxels).all())
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLTableNode"), [])
        self.assertFalse(self.ui.resultCollapsibleButton.enabled)
        self.assertIsNone(self.panel.logic.getParameterNode().resultSegmentation)
        self.turn(0.2)
        screenshot("panel-kept")
        slicer.util.getModuleWidget("SegmentEditor").editor.undo()
        self.assertEqual(set(segmentation.GetSegmentIDs()), {edited, other, own})

    def test_earlier_result_is_hidden_below_a_new_one(self):
        self.run_once(samples=1)
        (first,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.assertNotIn("Hidden now", self.ui.messageLabel.text)
        self.run_once(samples=2)
        second = self.panel.logic.getParameterNode().resultSegmentation
        self.assertIsNot(second, first)
        self.assertEqual([node.GetDisplayNode().GetVisibility() for node in (first, second)], [0, 1])
        self.assertIn(f"Hidden now, as it shows the same volume: {first.GetName()}", self.ui.messageLabel.text)
        screenshot("panel-second-run")

    def test_a_segment_that_was_renamed_is_told_to_be_edited_all_the_same(self):
        self.run_once(samples=1)
        node = self.panel.logic.getParameterNode().resultSegmentation
        segment_id = node.GetSegmentation().GetNthSegmentID(0)
        node.GetSegmentation().GetSegment(segment_id).SetName("mine")
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, self.volume).copy()
        voxels[tuple(np.argwhere(voxels)[0])] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment_id, self.volume)
        turn_until(lambda: "edited" in self.ui.resultTable.item(0, 1).text())
        self.assertEqual(self.ui.resultTable.item(0, 0).text(), "mine")
        self.assertFalse(self.ui.resultTable.item(0, 0).icon().isNull())
        self.assertNotIn("edited", self.ui.resultTable.item(1, 1).text())

    def test_outlines_go_with_another_result_their_nodes_and_the_panel(self):
        def outlines() -> list:
            return [n for n in slicer.util.getNodesByClass("vtkMRMLModelNode") if n.GetAttribute("MedSegDiff.Temporary")]

        def show() -> None:
            opinions.fanBox.checked = True
            opinions.nextButton.click()
            turn_until(lambda: len({node.GetAttribute("MedSegDiff.Temporary") for node in outlines()}) == 2)

        opinions = self.panel.panel._result.view.opinions
        self.run_once(samples=3)
        show()
        screenshot("panel-outlines")
        slicer.util.selectModule("Data")
        self.assertEqual((outlines(), opinions.fanBox.checked, opinions.messageLabel.text), ([], False, ""))
        slicer.util.selectModule("MedSegDiffSlicer")
        show()
        self.run_once(samples=2)
        self.assertEqual(outlines(), [])
        show()
        slicer.mrmlScene.RemoveNode(slicer.util.getNodesByClass("vtkMRMLSequenceNode")[-1])
        self.assertEqual(outlines(), [])
        opinions.nextButton.click()
        turn_until(outlines)  # the result is still at hand
        slicer.mrmlScene.RemoveNode(self.panel.logic.getParameterNode().resultSegmentation)
        self.assertEqual(outlines(), [])

    def test_a_saved_scene_tells_again_what_was_told(self):
        self.run_once(samples=3)
        self.ui.copyPythonButton.click()
        lines, said = qt.QApplication.clipboard().text(), self.ui.messageLabel.text.partition("\n")[2]
        self.assertIn("unlike those that the model was trained on", said)
        rows = [self.ui.resultTable.item(row, 1).text() for row in range(2)]
        with tempfile.TemporaryDirectory() as folder:
            self.assertTrue(slicer.util.saveScene(f"{folder}/saved.mrb"))
            slicer.mrmlScene.Clear(0)
            self.assertEqual(self.ui.messageLabel.text, "")
            slicer.util.loadScene(f"{folder}/saved.mrb")
        turn_until(lambda: self.ui.resultTable.rowCount == 2)
        self.assertEqual([self.ui.resultTable.item(row, 1).text() for row in range(2)], rows)
        self.assertEqual(self.ui.messageLabel.text.lower(), said.lower())
        qt.QApplication.clipboard().setText("")
        self.ui.copyPythonButton.click()
        self.assertEqual(qt.QApplication.clipboard().text(), lines)
        self.ui.plotButton.click()
        (chart,) = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
        self.assertEqual(chart.GetNumberOfPlotSeriesNodes(), 4)
        screenshot("panel-loaded-scene")
        review = self.panel.panel._result.review
        review.startButton.click()
        turn_until(lambda: review.isActive)
        self.assertRegex(review.progressLabel.text, r"^0 of \d+ places judged$")
        screenshot("panel-loaded-review")
        review.stop()
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalView)

    def test_channels_get_selectors_with_suggestions(self):
        with self.store() as folder:
            channels = [{"name": "T1", "modality": "MR"}, {"name": "FLAIR", "modality": "MR"}]
            changed = self.changed_copy(folder, name="two-channels", channels=channels)  # an import would find its network
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
            shutil.rmtree(changed)
            channels[1]["optional"] = True
            shutil.copytree(self.changed_copy(folder, name="one-or-two", channels=channels), user_store() / "one-or-two")
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
                                  ("other.zip", "Give options"), ("--help", "Give options")):  # fmt: skip
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

    def test_batch_over_scans_then_cancelled(self):
        second = slicer.modules.volumes.logic().CloneVolume(self.volume, "second scan")
        self.open_only("batch")
        table = self.ui.batchTable
        turn_until(lambda: table.rowCount == 2)
        self.ui.samplesSpinBox.value = 1
        self.ui.batchRunButton.click()
        turn_until(lambda: not self.ui.batchCancelButton.enabled)
        self.assertEqual([table.item(row, 1).text() for row in range(2)], ["done", "done"])
        self.assertRegex(table.item(1, 2).text(), r"^anterior hippocampus \d\.\d\d \(\d\.\d\d - \d\.\d\d\), posterior")
        names = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")}
        self.assertEqual(names, {f"{self.volume.GetName()} segmentation", "second scan segmentation"})
        self.assertEqual(slicer.util.getNode("MedSegDiff volumes").GetTable().GetNumberOfRows(), 4)
        screenshot("panel-batch")
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.ui.batchTableButton.click()
        shown = slicer.app.layoutManager().tableWidget(0).mrmlTableViewNode().GetTableNode()
        self.assertIs(shown, slicer.util.getNode("MedSegDiff volumes"))
        self.ui.samplesSpinBox.value = LONG
        self.ui.batchRunButton.click()
        turn_until(lambda: self.ui.batchProgressBar.value > 0)
        self.ui.batchCancelButton.click()
        print(f"MEASURED batch cancellation took {turn_until(lambda: not self.ui.batchCancelButton.enabled):.2f} s")
        self.assertEqual([table.item(row, 1).text() for row in range(2)], ["cancelled", "cancelled"])
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 2)
        slicer.mrmlScene.RemoveNode(second)
        turn_until(lambda: table.rowCount == 1)

    def test_ticks_that_were_taken_away_do_not_come_back(self):
        slicer.modules.volumes.logic().CloneVolume(self.volume, "second scan")
        self.open_only("batch")
        table = self.ui.batchTable
        turn_until(lambda: table.rowCount == 2)
        table.item(0, 0).setCheckState(qt.Qt.Unchecked)
        slicer.modules.volumes.logic().CloneVolume(self.volume, "third scan")
        turn_until(lambda: table.rowCount == 3)
        self.assertEqual([table.item(row, 0).checkState() == qt.Qt.Checked for row in range(3)], [False, True, True])

    def test_batch_over_the_frames_of_a_sequence(self):
        if not hasattr(slicer.modules, "sequences"):
            self.skipTest("this Slicer has no module Sequences")
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "moving")
        sequence.SetIndexName("time")
        for value in ("0", "50"):
            sequence.SetDataNodeAtValue(self.volume, value)
        slicer.mrmlScene.RemoveNode(self.volume)
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
        browser.AddSynchronizedSequenceNode(sequence)
        slicer.modules.sequences.logic().UpdateAllProxyNodes()
        turn_until(lambda: self.ui.inputSelector.currentNode() is browser.GetProxyNode(sequence))
        self.ui.samplesSpinBox.value = 1
        self.open_only("batch")
        self.ui.batchKindComboBox.setCurrentIndex(1)
        self.ui.browserSelector.setCurrentNode(browser)
        self.ui.batchRunButton.click()
        turn_until(lambda: not self.ui.batchCancelButton.enabled)
        batch = self.panel.panel._batch.batch
        self.assertEqual([case.state for case in batch.cases], ["done", "done"])
        self.assertEqual([batch.segmentations.GetNthIndexValue(n) for n in range(2)], ["0", "50"])
        self.assertEqual([self.ui.batchTable.item(row, 1).text() for row in range(2)], ["done", "done"])
        self.assertRegex(self.ui.batchTable.item(1, 2).text(), r"^anterior hippocampus \d\.\d\d ")
        browser.SetSelectedItemNumber(1)
        slicer.modules.sequences.logic().UpdateAllProxyNodes()
        self.assertEqual(batch.shown.GetSegmentation().GetNumberOfSegments(), 2)
        screenshot("panel-sequence")

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

    def test_sections_that_are_folded_open(self):
        self.open_only("segment", "advanced")
        self.assertTrue(self.ui.stepsSpinBox.visible)
        screenshot("panel-advanced")
        self.open_only("segment", "outputs")
        self.assertFalse(self.ui.stepsSpinBox.visible)
        screenshot("panel-outputs")

    def test_cancel_leaves_the_scene_untouched(self):
        before = node_ids()
        self.start_long_run()
        self.ui.cancelButton.click()
        print(f"MEASURED panel cancellation took {turn_until(lambda: not self.ui.cancelButton.enabled):.2f} s")
        self.assertIn("Cancelled", self.ui.messageLabel.text)
        self.assertTrue(self.ui.runButton.enabled)
        self.assertEqual(node_ids(), before)

    def test_killed_worker_gives_a_message_and_leaves_the_scene_untouched(self):
        before = node_ids()
        self.start_long_run()
        os.killpg(self.panel.logic.workerPid, signal.SIGKILL)
        turn_until(lambda: not self.ui.cancelButton.enabled)
        self.assertIn("ended unexpectedly", self.ui.messageLabel.text)
        self.assertNotIn("torch", sys.modules)
        screenshot("panel-killed")
        self.assertTrue(self.ui.runButton.enabled)
        self.assertEqual(node_ids(), before)

    def test_closing_the_scene_midway_stops_the_run(self):
        self.start_long_run()
        slicer.mrmlScene.Clear(0)
        turn_until(lambda: not self.ui.cancelButton.enabled)
        self.assertIn("removed meanwhile", self.ui.messageLabel.text)
        self.assertFalse(self.ui.runButton.enabled)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])

    def test_reloading_the_module_midway_leaves_no_worker(self):
        self.start_long_run()
        pid = self.panel.logic.workerPid
        slicer.util.reloadScriptedModule("MedSegDiffSlicer")
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)
        delete_what_was_given_up()
        buttons = slicer.util.findChildren(slicer.modules.medsegdiffslicer.widgetRepresentation(), name="runButton")
        self.assertEqual(len(buttons), 1, "the old panel is gone")
        self.panel = slicer.util.getModuleWidget("MedSegDiffSlicer")
        self.ui = self.panel.ui
        self.assertTrue(self.ui.runButton.enabled)
