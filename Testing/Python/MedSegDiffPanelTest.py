"""Runs from the panel, to their end or not, in the real application, by its widgets."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time

import numpy as np
import qt
import slicer
from in_slicer import EventLoopGaps, delete_what_was_given_up, load_sample, node_ids, screenshot, turn_until
from panel_case import PanelCase


class MedSegDiffPanelTest(PanelCase):
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
        # a template is an average
        self.assertIn("unlike those that the model was trained on", self.ui.messageLabel.text)
        self.assertGreater(len(set(progress)), 3)
        self.assertEqual(self.ui.resultTable.rowCount, 2)
        self.assertRegex(self.ui.resultTable.item(0, 1).text(), r"^\d\.\d\d \(\d\.\d\d - \d\.\d\d \?\)$")
        self.assertEqual(self.ui.resultTable.item(0, 2).text(), "not reliable")
        for column in (1, 2):
            told = self.ui.resultTable.item(0, column).toolTip()
            self.assertIn("unlike those that the model was trained on", told)
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
            voxels = [slicer.util.arrayFromSegmentBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(number),
                                                                 self.volume)
                      for node in (first, result.segmentationNode)]  # fmt: skip
            self.assertTrue((voxels[0] == voxels[1]).all() and voxels[0].any())

    def test_the_scan_that_is_looked_at_is_suggested(self):
        slicer.mrmlScene.Clear(0)
        slicer.util.selectModule("Data")
        scans = []
        for _ in range(2):
            scans.append(load_sample())
            self.turn(0.1)
        slicer.util.selectModule("MedSegDiffSlicer")
        self.assertIs(self.ui.inputSelector.currentNode(), scans[1])

    def test_a_colour_picture_is_offered_but_not_suggested_for_one_channel(self):
        slicer.mrmlScene.Clear(0)
        colour = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "colour")
        slicer.util.updateVolumeFromArray(colour, np.zeros((4, 30, 40, 3), np.uint8))
        self.turn(0.3)
        self.assertIsNone(self.ui.inputSelector.currentNode())
        self.assertFalse(self.ui.runButton.enabled)
        self.ui.inputSelector.setCurrentNode(colour)
        self.assertIs(self.ui.inputSelector.currentNode(), colour)
        self.assertIs(self.panel.logic.getParameterNode().inputVolume, colour)
        slicer.util.selectModule("Data")
        slicer.util.selectModule("MedSegDiffSlicer")
        self.assertIs(self.ui.inputSelector.currentNode(), colour)

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
