"""Many scans and the frames of a sequence from the panel, in the real application, by its widgets."""

from __future__ import annotations

import qt
import slicer
from in_slicer import LONG, screenshot, turn_until
from panel_case import PanelCase


class MedSegDiffPanelBatchTest(PanelCase):
    def test_batch_over_scans_then_cancelled(self):
        second = slicer.modules.volumes.logic().CloneVolume(self.volume, "second scan")
        self.open_only("batch")
        table = self.ui.batchTable
        turn_until(lambda: table.rowCount == 2)
        self.ui.samplesSpinBox.value = 1
        self.ui.batchRunButton.click()
        turn_until(lambda: not self.ui.batchCancelButton.enabled)
        self.assertEqual([table.item(row, 1).text() for row in range(2)], ["done (!)", "done (!)"])
        self.assertRegex(table.item(1, 2).text(), r"^anterior hippocampus \d\.\d\d \(\d\.\d\d - \d\.\d\d( \?)?\)\nposterior")
        names = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")}
        self.assertEqual(names, {f"{self.volume.GetName()} segmentation", "second scan segmentation"})
        self.assertEqual(slicer.util.getNode("MedSegDiff volumes").GetTable().GetNumberOfRows(), 4)
        screenshot("panel-batch")
        self.check_table_button(slicer.util.getNode("MedSegDiff volumes"))
        self.ui.samplesSpinBox.value = LONG
        self.ui.batchRunButton.click()
        turn_until(lambda: self.ui.batchProgressBar.value > 0)
        self.ui.batchCancelButton.click()
        print(f"MEASURED batch cancellation took {turn_until(lambda: not self.ui.batchCancelButton.enabled):.2f} s")
        self.assertEqual([table.item(row, 1).text() for row in range(2)], ["cancelled", "cancelled"])
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 2)
        self.ui.batchResumeButton.click()
        turn_until(lambda: self.ui.batchProgressBar.value > 0)
        self.assertRegex(table.item(0, 1).text(), r"^running \d+ %$")
        self.assertFalse(self.ui.batchResumeButton.enabled)
        self.ui.batchCancelButton.click()
        turn_until(lambda: self.ui.batchResumeButton.enabled)
        third = slicer.modules.volumes.logic().CloneVolume(self.volume, "third scan")
        turn_until(lambda: table.rowCount == 3)
        self.assertEqual([table.item(row, 1).text() for row in range(3)], ["cancelled", "cancelled", ""])
        self.assertTrue(self.ui.batchResumeButton.enabled)
        slicer.util.selectModule("Data")
        slicer.util.selectModule("MedSegDiffSlicer")
        self.ui.batchCopyButton.click()
        self.assertIn("logic.startBatch([", qt.QApplication.clipboard().text())
        for node in (second, third):
            slicer.mrmlScene.RemoveNode(node)
        turn_until(lambda: table.rowCount == 1)
        self.assertEqual(table.item(0, 1).text(), "cancelled")
        slicer.mrmlScene.Clear(0)
        turn_until(lambda: table.rowCount == 0)
        self.assertFalse(self.ui.batchCopyButton.enabled or self.ui.batchResumeButton.enabled)

    def check_table_button(self, batch_table) -> None:
        """It shows the volumes as they are now, and goes back to the layout before."""
        layouts, button = slicer.app.layoutManager(), self.ui.batchTableButton
        layouts.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        segmentation = slicer.util.getNode("second scan segmentation").GetSegmentation()
        segmentation.RemoveSegment(segmentation.GetNthSegmentID(0))
        button.click()
        self.assertTrue(button.checked)
        self.assertIs(layouts.tableWidget(0).mrmlTableViewNode().GetTableNode(), batch_table)
        table = batch_table.GetTable()
        told = [table.GetValueByName(row, "Changed").ToString() for row in range(4)]
        self.assertEqual(told, ["", "", "removed", ""])
        screenshot("panel-batch-table")
        segmentation.GetNthSegment(0).SetName("mine")
        turn_until(lambda: batch_table.GetTable().GetValueByName(3, "Segment").ToString() == "mine")
        button.click()
        self.assertFalse(button.checked)
        self.assertEqual(layouts.layout, slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def test_ticks_that_were_taken_away_do_not_come_back(self):
        slicer.modules.volumes.logic().CloneVolume(self.volume, "second scan")
        self.open_only("batch")
        table = self.ui.batchTable
        turn_until(lambda: table.rowCount == 2)
        table.item(0, 0).setCheckState(qt.Qt.Unchecked)
        slicer.modules.volumes.logic().CloneVolume(self.volume, "third scan")
        turn_until(lambda: table.rowCount == 3)
        self.assertEqual([table.item(row, 0).checkState() == qt.Qt.Checked for row in range(3)], [False, True, True])

    def test_removing_the_browser_stops_a_batch_over_its_frames(self):
        browser, _sequence = self.browser_of_frames()
        self.ui.samplesSpinBox.value = LONG
        self.ui.batchRunButton.click()
        turn_until(lambda: self.ui.batchProgressBar.value > 0)
        slicer.mrmlScene.RemoveNode(browser)
        seconds = turn_until(lambda: not self.panel.panel._batch.is_running)
        print(f"MEASURED it took {seconds:.2f} s until it was noticed")
        batch = self.panel.panel._batch.batch
        self.assertEqual({case.state for case in batch.cases}, {"failed"})
        self.assertIn("'browser' was removed meanwhile", str(batch.cases[0].error))
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])

    def browser_of_frames(self) -> tuple:
        """A browser of a sequence of three frames, the sample each, chosen in the panel; and the sequence."""
        if not hasattr(slicer.modules, "sequences"):
            self.skipTest("this Slicer has no module Sequences")
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "moving")
        sequence.SetIndexName("time")
        for value in ("0", "50", "100"):
            sequence.SetDataNodeAtValue(self.volume, value)
        slicer.mrmlScene.RemoveNode(self.volume)
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
        browser.AddSynchronizedSequenceNode(sequence)
        browser.SetSelectedItemNumber(0)
        slicer.modules.sequences.logic().UpdateAllProxyNodes()
        turn_until(lambda: self.ui.inputSelector.currentNode() is browser.GetProxyNode(sequence))
        self.open_only("batch")
        self.ui.batchKindComboBox.setCurrentIndex(1)
        self.ui.browserSelector.setCurrentNode(browser)
        return browser, sequence

    def test_batch_over_the_frames_of_a_sequence(self):
        browser, sequence = self.browser_of_frames()
        self.ui.samplesSpinBox.value = 1
        self.ui.runButton.click()
        turn_until(lambda: not self.ui.cancelButton.enabled)
        parameters, alone = self.panel.logic.getParameterNode(), self.panel.logic.getParameterNode().resultSegmentation
        self.assertIsNotNone(alone)
        told = slicer.util.findChild(self.ui.resultLayout.parentWidget(), "frameLabel")
        sequences = slicer.modules.sequences
        self.assertFalse(told.visible)
        browser.SetSelectedItemNumber(1)
        sequences.logic().UpdateAllProxyNodes()
        turn_until(lambda: "The result is of time 0 s" in told.text)
        screenshot("panel-other-frame")
        browser.SetSelectedItemNumber(0)
        sequences.logic().UpdateAllProxyNodes()
        turn_until(lambda: not told.visible)
        table, name = self.ui.batchTable, browser.GetProxyNode(sequence).GetName()
        frames = [f"{name}, time {value} s" for value in ("0", "50", "100")]
        self.assertEqual([table.item(row, 0).text() for row in range(table.rowCount)], frames)
        table.item(2, 0).setCheckState(qt.Qt.Unchecked)
        self.ui.batchRunButton.click()
        turn_until(lambda: not self.ui.batchCancelButton.enabled)
        batch = self.panel.panel._batch.batch
        self.assertEqual([case.state for case in batch.cases], ["done", "done"])
        self.ui.batchCopyButton.click()
        copied = qt.QApplication.clipboard().text()
        self.assertIn("frames=[0, 1]", copied)
        self.assertEqual(table.item(2, 1).text(), "")
        self.assertEqual([batch.segmentations.GetNthIndexValue(n) for n in range(2)], ["0", "50"])
        self.assertEqual([self.ui.batchTable.item(row, 1).text() for row in range(2)], ["done (!)", "done (!)"])
        self.assertRegex(self.ui.batchTable.item(1, 2).text(), r"^anterior hippocampus \d\.\d\d .*\nposterior ")
        self.assertIn("The image is unlike", self.ui.batchTable.item(1, 1).toolTip())
        self.assertGreater(self.ui.batchTable.rowHeight(1), 2 * self.ui.batchTable.fontMetrics().height())
        browser.SetSelectedItemNumber(1)
        slicer.modules.sequences.logic().UpdateAllProxyNodes()
        self.assertEqual(batch.shown.GetSegmentation().GetNumberOfSegments(), 2)
        turn_until(lambda: parameters.resultSegmentation is None)  # which the frames took the place of
        self.assertFalse(alone.GetDisplayNode().GetVisibility() or self.ui.overlayButton.checked)
        screenshot("panel-sequence")
        self.ui.segmentationSelector.setCurrentNode(batch.shown)  # whose frames would all go
        self.ui.runButton.click()
        self.assertIn("shows the segmentations of a sequence's frames; choose another", self.ui.messageLabel.text)
        self.ui.segmentationSelector.setCurrentNode(None)
        browser.SetSelectedItemNumber(2)  # without a result
        sequences.logic().UpdateAllProxyNodes()
        self.assertEqual(batch.shown.GetSegmentation().GetNumberOfSegments(), 0)
        drawn, voxels = batch.shown.GetSegmentation().AddEmptySegment("mine"), browser.GetProxyNode(sequence)
        bright = slicer.util.arrayFromVolume(voxels) > 100
        slicer.util.updateSegmentBinaryLabelmapFromArray(bright.astype("uint8"), batch.shown, drawn, voxels)
        for frame, there in ((1, False), (2, True)):
            browser.SetSelectedItemNumber(frame)
            sequences.logic().UpdateAllProxyNodes()
            slicer.app.processEvents()
            self.assertEqual(batch.shown.GetSegmentation().GetSegment(drawn) is not None, there)
        turn_until(lambda: not self.panel.logic.busy)
        slicer.app.processEvents()
        self.assertFalse(alone.GetDisplayNode().GetVisibility(), "no other result comes over what was drawn")
        screenshot("panel-sequence-drawn")
        browser.SetSelectedItemNumber(1)
        sequences.logic().UpdateAllProxyNodes()
        sequence.RemoveDataNodeAtValue("0")
        self.panel.panel._batch.update()  # as when anything changes in the panel or the scene
        self.assertEqual([table.item(row, 1).text() for row in range(table.rowCount)], ["done (!)", ""])
        made = {}
        exec(copied, {"slicer": slicer}, made)
        self.assertEqual([case.state for case in made["batch"].cases], ["done", "done"])
        self.assertEqual(made["batch"].segmentations.GetNumberOfDataNodes(), 2)
        self.ui.inputSelector.setCurrentNode(slicer.modules.volumes.logic().CloneVolume(self.volume, "no frame"))
        turn_until(lambda: table.rowCount == 0)
        self.assertIn("choose as input the volume that it shows", self.ui.batchWhyLabel.text)
        self.assertFalse(self.ui.batchRunButton.enabled)
