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
        self.assertEqual([self.ui.batchTable.item(row, 1).text() for row in range(2)], ["done (!)", "done (!)"])
        self.assertRegex(self.ui.batchTable.item(1, 2).text(), r"^anterior hippocampus \d\.\d\d .*\nposterior ")
        self.assertIn("The image is unlike", self.ui.batchTable.item(1, 1).toolTip())
        self.assertGreater(self.ui.batchTable.rowHeight(1), 2 * self.ui.batchTable.fontMetrics().height())
        browser.SetSelectedItemNumber(1)
        slicer.modules.sequences.logic().UpdateAllProxyNodes()
        self.assertEqual(batch.shown.GetSegmentation().GetNumberOfSegments(), 2)
        screenshot("panel-sequence")
