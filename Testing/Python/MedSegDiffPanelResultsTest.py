"""Results in the panel: shown, chosen, edited, saved and removed, in the real application, by its widgets."""

from __future__ import annotations

import tempfile
from unittest.mock import patch

import numpy as np
import qt
import slicer
from in_slicer import MODEL, OTHER_SAMPLE, load_sample, node_ids, screenshot, turn_until
from panel_case import PanelCase


class MedSegDiffPanelResultsTest(PanelCase):
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

    def test_running_again_keeps_what_the_user_made_and_asks_before_verdicts_go(self):
        self.run_once(samples=2)
        node = self.panel.logic.getParameterNode().resultSegmentation
        edited = node.GetSegmentation().GetNthSegmentID(0)
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, edited, self.volume)
        voxels[:2] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, edited, self.volume)
        slicer.util.findChild(self.panel.parent, "reviewButton").click()
        turn_until(lambda: slicer.util.findChildren(slicer.util.mainWindow(), name="keyK"))
        slicer.util.findChild(slicer.util.mainWindow(), "keyK").click()
        slicer.util.findChild(slicer.util.mainWindow(), "leaveButton").click()
        self.ui.segmentationSelector.setCurrentNode(node)
        with patch("slicer.util.confirmOkCancelDisplay", return_value=False) as asked:
            self.ui.runButton.click()
        self.assertIn("1 verdict(s) are lost", asked.call_args[0][0])
        self.assertFalse(self.ui.cancelButton.enabled, "nothing was begun")
        with patch("slicer.util.confirmOkCancelDisplay", return_value=True):
            self.run_once(samples=1)
        self.assertIn("Kept beside the new segments: ", self.ui.messageLabel.text)
        self.assertEqual(node.GetSegmentation().GetNthSegmentID(0), edited)
        self.assertGreater(node.GetSegmentation().GetNumberOfSegments(), 2)
        self.assertTrue((slicer.util.arrayFromSegmentBinaryLabelmap(node, edited, self.volume) == voxels).all())
        screenshot("panel-again")

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
        self.ui.plotButton.click()
        for view in slicer.util.getNodesByClass("vtkMRMLPlotViewNode"):  # by the view's own list of charts
            view.SetPlotChartNodeID(None)
        self.ui.plotButton.click()
        self.assertEqual((slicer.app.layoutManager().layout, self.ui.plotButton.checked), (layout, False))
        for left in (1, 0):
            self.ui.removeButton.click()
            self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), left)
        maps = [n.GetName() for n in slicer.mrmlScene.GetNodes() if n.GetAttribute("MedSegDiff.Run")]
        self.assertEqual(maps, [])

    def test_a_map_is_seen_again_as_it_was_saved(self):
        view = self.panel.panel._result.view
        self.addCleanup(setattr, view.opacitySlider, "value", view.opacitySlider.value)
        self.run_once(samples=3)
        view.measureBox.currentText = "mutual-information"
        view.opacitySlider.value, view.legendBox.checked = 0.8, True
        turn_until(lambda: not view.computing)
        laid = slicer.util.getNode(f"{self.volume.GetName()} mutual-information")
        self.assertEqual(self.overlays(), {laid.GetID()})
        with tempfile.TemporaryDirectory() as folder:
            self.assertTrue(slicer.util.saveScene(f"{folder}/saved.mrb"))
            view.opacitySlider.value, view.legendBox.checked = 0.5, False
            slicer.mrmlScene.Clear(0)
            slicer.util.loadScene(f"{folder}/saved.mrb")
            turn_until(lambda: view.isMapVisible and not view.computing)
            self.assertEqual((view.opacitySlider.value, view.legendBox.checked), (0.8, True))
            self.assertEqual(self.explained(), [f"{self.volume.GetName()} mutual-information"])
            view.measureBox.currentText = "entropy"
            turn_until(lambda: self.explained() == [f"{self.volume.GetName()} entropy"])
            slicer.util.loadScene(f"{folder}/saved.mrb")  # beside what is there
            turn_until(lambda: view.isMapVisible and not view.computing)
        screenshot("panel-loaded-beside")
        laid = {slicer.mrmlScene.GetNodeByID(id).GetName() for id in self.overlays()}
        self.assertEqual(set(self.explained()), laid)
        view.legendBox.checked = False
        self.assertEqual(self.explained(), [])

    def explained(self) -> list[str]:
        """The names of the maps that have a legend."""
        legends = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
        return [legend.GetDisplayableNode().GetName() for legend in legends]

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
        self.assertTrue(self.ui.overlayButton.checked)
        self.ui.overlayButton.click()
        self.assertEqual(self.overlays(), {None})
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

    def test_result_of_the_console_is_shown(self):
        result = self.panel.logic.segment(self.volume, model=MODEL, samples=2)
        turn_until(lambda: self.ui.resultTable.rowCount == 2)
        self.assertIs(self.panel.logic.getParameterNode().resultSegmentation, result.segmentationNode)
        shown = self.panel.panel._result._shown
        self.assertEqual(
            [node.GetID() for node in shown.nodes()], [node.GetID() for node in result.nodes()], "all of it"
        )
        self.assertIn("unlike those that the model was trained on", self.ui.messageLabel.text)
        self.assertFalse(self.ui.copyPythonButton.enabled)
        self.assertEqual((self.ui.overlayButton.checked, self.overlays()), (False, {None}))
        self.ui.overlayButton.click()
        turn_until(lambda: self.overlays() == {result.uncertaintyVolumeNodes[0].GetID()})

    def test_result_of_another_scan_is_not_laid_over_the_one_that_is_looked_at(self):
        other = slicer.modules.volumes.logic().CloneVolume(self.volume, "other scan")
        results = [self.panel.logic.segment(volume, model=MODEL, samples=1) for volume in (other, self.volume)]
        parameters = self.panel.logic.getParameterNode()
        turn_until(lambda: parameters.resultSegmentation is results[1].segmentationNode)
        self.ui.overlayButton.click()
        self.ui.removeButton.click()
        self.assertIsNone(parameters.resultSegmentation)
        self.assertEqual(self.overlays(), {None})
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [results[0].segmentationNode])

    def test_a_result_is_reviewed_over_its_own_scan(self):
        other = slicer.modules.volumes.logic().CloneVolume(self.volume, "other scan")
        results = [self.panel.logic.segment(volume, model=MODEL, samples=2) for volume in (other, self.volume)]
        parameters = self.panel.logic.getParameterNode()
        turn_until(lambda: parameters.resultSegmentation is not None)
        self.assertIs(parameters.resultSegmentation, results[1].segmentationNode, "of the scan that is looked at")
        self.assertEqual(self.backgrounds(), {self.volume.GetID()})
        self.assertEqual([r.segmentationNode.GetDisplayNode().GetVisibility() for r in results], [0, 1])
        slicer.util.setSliceViewerLayers(background=other)
        review = self.panel.panel._result.review
        review.startButton.click()
        turn_until(lambda: review.isActive)
        self.assertEqual(self.backgrounds(), {self.volume.GetID()})
        screenshot("panel-review-own-scan")
        review.startButton.click()
        turn_until(lambda: not review.isActive)

    def backgrounds(self) -> set:
        return {view.GetBackgroundVolumeID() for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}

    def test_results_of_scans_that_lie_apart(self):
        other = load_sample(OTHER_SAMPLE)
        results = []
        for volume in (self.volume, other):
            self.ui.inputSelector.setCurrentNode(volume)
            self.run_once(samples=1)
            results.append(self.panel.logic.getParameterNode().resultSegmentation)
            self.assert_framed(volume)
        screenshot("panel-scan-elsewhere")
        self.ui.segmentationSelector.setCurrentNode(results[0])
        with patch("slicer.util.confirmOkCancelDisplay", return_value=False) as asked:
            self.ui.runButton.click()
        self.assertIn(f"holds the result of '{self.volume.GetName()}'", asked.call_args[0][0])
        self.assertFalse(self.ui.cancelButton.enabled)
        self.ui.segmentationSelector.setCurrentNode(None)
        slicer.mrmlScene.RemoveNode(other)
        turn_until(lambda: self.panel.logic.getParameterNode().resultSegmentation is results[0])
        self.assertEqual(self.backgrounds(), {self.volume.GetID()})
        self.assertTrue(results[0].GetDisplayNode().GetVisibility())
        self.assertTrue(self.ui.messageLabel.text.startswith("The scan of"))
        turn_until(lambda: self.overlays() == {slicer.util.getNode(f"{self.volume.GetName()} entropy").GetID()})

    def test_the_result_that_is_told_is_the_one_that_is_seen(self):
        parameters = self.panel.logic.getParameterNode()
        self.run_once(samples=1)
        first = parameters.resultSegmentation
        second = self.panel.logic.segment(self.volume, model=MODEL, samples=2).segmentationNode
        turn_until(lambda: parameters.resultSegmentation is second)
        turn_until(lambda: self.overlays() == {slicer.util.getNode(f"{self.volume.GetName()} run 2 entropy").GetID()})
        told = self.ui.resultTable.item(0, 1).text()
        self.panel.logic.segment(self.volume, model=MODEL, samples=2, threshold=0.05, segmentationNode=second)
        turn_until(lambda: self.ui.resultTable.rowCount == 2 and self.ui.resultTable.item(0, 1).text() != told)
        turn_until(lambda: self.overlays() == {slicer.util.getNode(f"{self.volume.GetName()} run 2 entropy").GetID()})
        self.assertTrue(self.ui.overlayButton.checked)
        slicer.util.selectModule("Data")
        for node, seen in ((first, True), (second, False)):  # by the eyes of the module Data
            node.GetDisplayNode().SetVisibility(seen)
        slicer.util.selectModule("MedSegDiffSlicer")
        self.assertIs(parameters.resultSegmentation, first)
        self.assertTrue(first.GetDisplayNode().GetVisibility())

    def test_a_result_goes_from_the_panel_with_its_scan(self):
        self.run_once(samples=1)
        slicer.mrmlScene.RemoveNode(self.volume)
        turn_until(lambda: "The scan of" in self.ui.messageLabel.text)
        self.assertFalse(self.ui.resultCollapsibleButton.enabled)

    def assert_framed(self, volume) -> None:
        """All slice views cut the scan in its middle."""
        bounds = np.zeros(6)
        volume.GetRASBounds(bounds)
        middle = bounds.reshape(3, 2).mean(1)
        for name in slicer.app.layoutManager().sliceViewNames():
            node = slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode()
            origin = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, 3]
            self.assertLess(np.abs(origin - middle).max(), 1.5, name)

    def test_earlier_result_is_hidden_below_a_new_one(self):
        self.run_once(samples=1)
        (first,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.assertNotIn("Hidden now", self.ui.messageLabel.text)
        self.run_once(samples=2)
        second = self.panel.logic.getParameterNode().resultSegmentation
        self.assertIsNot(second, first)
        self.assertEqual([node.GetDisplayNode().GetVisibility() for node in (first, second)], [0, 1])
        self.assertIn(f"Hidden now, so as not to lie over it: {first.GetName()}", self.ui.messageLabel.text)
        screenshot("panel-second-run")

    def test_review_makes_room_where_another_layout_needs_it(self):
        window, layouts, kinds = slicer.util.mainWindow(), slicer.app.layoutManager(), slicer.vtkMRMLLayoutNode
        self.addCleanup(layouts.setLayout, layouts.layout)
        layouts.setLayout(kinds.SlicerLayoutFourUpView)
        self.run_once(samples=2)
        window.resize(1500, 940)
        self.turn(0.2)
        review = self.panel.panel._result.review
        review.startButton.click()
        turn_until(lambda: review.isActive)
        dock = slicer.util.findChild(window, "MedSegDiffReview")
        self.assertEqual((window.width, window.dockWidgetArea(dock)), (1500, qt.Qt.RightDockWidgetArea))
        layouts.setLayout(kinds.SlicerLayoutConventionalView)
        turn_until(lambda: window.dockWidgetArea(dock) == qt.Qt.BottomDockWidgetArea)
        turn_until(lambda: window.width == 1500)
        screenshot("review-wide-layout")
        self.assertTrue(dock.visible)
        review.startButton.click()

    def test_words_about_a_result_go_with_it(self):
        self.run_once(samples=1)
        slicer.mrmlScene.RemoveNode(self.panel.logic.getParameterNode().resultSegmentation)
        left = f"in the folder '{self.volume.GetName()} results' of the module Data"
        turn_until(lambda: left in self.ui.messageLabel.text)
        self.assertNotIn("Done", self.ui.messageLabel.text)
        self.ui.runButton.click()
        turn_until(lambda: self.panel.panel._run._stages)  # it is being shown
        slicer.mrmlScene.Clear(0)
        turn_until(lambda: not self.ui.cancelButton.enabled)
        self.assertEqual(self.ui.messageLabel.text, "")

    def test_a_chart_that_came_with_a_scene_names_its_structures_and_can_be_put_away(self):
        layouts, kinds = slicer.app.layoutManager(), slicer.vtkMRMLLayoutNode
        self.addCleanup(layouts.setLayout, layouts.layout)
        self.run_once(samples=2)
        self.ui.plotButton.click()
        with tempfile.TemporaryDirectory() as folder:
            self.assertTrue(slicer.util.saveScene(f"{folder}/saved.mrb"))
            slicer.mrmlScene.Clear(0)
            layouts.setLayout(kinds.SlicerLayoutOneUpRedSliceView)
            slicer.util.loadScene(f"{folder}/saved.mrb")
        turn_until(lambda: self.ui.plotButton.checked)
        axis = layouts.plotWidget(0).plotView().chart().GetAxis(0)
        self.assertIn("posterior hippocampus", axis.GetTickLabels().GetValue(0))
        turn_until(lambda: layouts.plotWidget(0).plotView().chart().GetNumberOfPlots() == 4)
        screenshot("panel-chart-loaded")
        self.ui.plotButton.click()
        self.assertEqual((layouts.layout, self.ui.plotButton.checked), (kinds.SlicerLayoutFourUpView, False))

    def test_verdicts_that_came_with_a_scene_are_told_whichever_module_was_open(self):
        self.run_once(samples=2)
        review = self.panel.panel._result.review
        review.startButton.click()
        turn_until(lambda: review.isActive)
        slicer.util.findChild(slicer.util.mainWindow(), "keyK").click()
        told = review.progressLabel.text
        self.assertIn("1 of", told)
        with tempfile.TemporaryDirectory() as folder:
            self.assertTrue(slicer.util.saveScene(f"{folder}/saved.mrb"))
            slicer.util.selectModule("Data")
            slicer.mrmlScene.Clear(0)
            slicer.util.loadScene(f"{folder}/saved.mrb")
        self.turn(0.3)
        slicer.util.selectModule("MedSegDiffSlicer")
        turn_until(lambda: review.progressLabel.text == told)

    def test_scene_may_be_closed_in_the_last_turn_of_a_run(self):
        for module in ("MedSegDiffSlicer", "Data"):
            self.ui.inputSelector.setCurrentNode(load_sample())
            self.ui.runButton.click()
            job = self.panel.panel._run._job
            turn_until(lambda job=job: job.pump() or job._complete is not None)
            slicer.util.selectModule(module)
            slicer.mrmlScene.Clear(0)
            turn_until(lambda: not self.ui.cancelButton.enabled)
            slicer.util.selectModule("MedSegDiffSlicer")

    def test_buttons_and_rows_tell_what_is_left_of_a_result(self):
        self.addCleanup(slicer.app.layoutManager().setLayout, slicer.app.layoutManager().layout)
        self.run_once(samples=2)
        segmentation = self.panel.logic.getParameterNode().resultSegmentation.GetSegmentation()
        self.ui.plotButton.click()
        (chart,) = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
        slicer.mrmlScene.RemoveNode(chart)
        turn_until(lambda: not self.ui.plotButton.checked)
        elsewhere = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode").GetSegmentation()
        moved, told = segmentation.GetNthSegmentID(1), self.ui.resultTable.item(1, 1).text()
        for source, target, seen in ((segmentation, elsewhere, "removed"), (elsewhere, segmentation, told)):
            self.assertTrue(target.CopySegmentFromSegmentation(source, moved, True))
            turn_until(lambda seen=seen: self.ui.resultTable.item(1, 1).text() == seen)
        segmentation.RemoveSegment(segmentation.GetNthSegmentID(0))
        turn_until(lambda: self.ui.resultTable.item(0, 1).text() == "removed")
        segmentation.GetNthSegment(0).SetName("mine")
        turn_until(lambda: self.ui.resultTable.item(1, 0).text() == "mine")
        slicer.mrmlScene.RemoveNode(slicer.util.getNode(f"{self.volume.GetName()} entropy"))
        turn_until(lambda: not self.ui.overlayButton.checked)
        self.ui.overlayButton.click()
        turn_until(lambda: self.overlays() == {slicer.util.getNode(f"{self.volume.GetName()} entropy").GetID()})
        slicer.mrmlScene.RemoveNode(self.volume)
        turn_until(lambda: not self.ui.overlayButton.enabled)
        self.assertFalse(self.ui.overlayButton.checked)

    def test_map_is_not_over_what_is_repainted(self):
        self.run_once(samples=3)
        laid = self.overlays()
        review = self.panel.panel._result.review
        review.startButton.click()
        turn_until(lambda: review.isActive)
        for key, there in (("E", False), ("N", True), ("E", False), ("U", True)):
            slicer.util.findChild(slicer.util.mainWindow(), f"key{key}").click()
            self.assertEqual(self.ui.overlayButton.checked, there)
            turn_until(lambda there=there: self.overlays() == (laid if there else {None}))
        self.assertTrue(self.panel.logic.getParameterNode().showUncertainty, "for the next result")
        review.stop()

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
            return [
                n for n in slicer.util.getNodesByClass("vtkMRMLModelNode") if n.GetAttribute("MedSegDiff.Temporary")
            ]

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
