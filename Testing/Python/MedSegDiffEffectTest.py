"""The Segment Editor effect from Run to the review, in the real application, by its widgets."""

from __future__ import annotations

import time
from unittest.mock import patch

import numpy as np
import qt
import slicer
from effect_case import EffectCase
from in_slicer import MODEL, EventLoopGaps, node_ids, screenshot, turn_until
from MedSegDiffSlicerLib.nodes.segment_numbers import numbers_of


class MedSegDiffEffectTest(EffectCase):
    def test_three_clicks_from_the_sample_to_segments(self):
        self.editor.setActiveEffect(None)
        before = node_ids()
        button = slicer.util.findChild(self.editor, "MedSegDiff")
        screenshot("effect-before")
        button.click()
        self.ui.measure.currentText = "entropy"
        self.run_and_wait(2)  # the worker is warm from here on
        self.ui.cancel.click()
        self.ui.samples.value = 8
        with EventLoopGaps() as gaps:
            self.ui.run.click()
            first = turn_until(lambda: self.session.labelmap is not None)
            all_of_them = first + turn_until(lambda: not self.session.running)
        print(f"MEASURED effect: first opinion {first:.2f} s, 8 opinions {all_of_them:.2f} s, {gaps}")
        self.assertEqual(node_ids(), before, "nothing is in the scene before Apply")
        screenshot("effect-preview")
        self.ui.apply.click()
        self.assertFalse(self.ui.apply.enabled or self.ui.cancel.enabled, "there is nothing to write or to discard")
        screenshot("effect-applied")
        self.assertEqual(len(self.segments()), 2)
        self.assertTrue(all(array.any() for array in self.segments().values()))
        node = self.segmentation
        self.assertEqual((node.GetAttribute("MedSegDiff.Model"), node.GetAttribute("MedSegDiff.Samples")), (MODEL, "8"))
        row = self.session.result.statistics[0]
        numbers = numbers_of(node.GetSegmentation().GetNthSegment(0), row["volume_mm3"])
        self.assertAlmostEqual(numbers["VolumeHighMm3"], row["volume_interval_mm3"][1], places=3)
        self.assertFalse(self.labels_drawn(), "they are in the segments now; the uncertainty stays over them")
        self.ui.useThreshold.checked = True
        self.settle()
        self.assertTrue(self.labels_drawn(), "put together anew")
        self.ui.useThreshold.checked = False
        self.ui.cancel.click()
        self.assertEqual(self.props(), [])
        self.editor.undo()
        self.assertEqual(self.segments(), {})
        self.assertIsNone(node.GetAttribute("MedSegDiff.Model"), "there is nothing of a model in it")
        self.editor.redo()
        self.assertEqual(len(self.segments()), 2)
        self.assertEqual(node.GetAttribute("MedSegDiff.Model"), MODEL)

    def test_scale_tells_what_the_colours_of_the_map_mean(self):
        self.assertEqual(self.ui.scale.text, "")
        self.run_and_wait(2)
        turn_until(lambda: self.ui.scale.text == "0 - 1.1 nats")
        self.ui.measure.currentText = "variance"
        turn_until(lambda: self.ui.scale.text.startswith("0 - 0.") and "or more" in self.ui.scale.text)
        area = self.ui.scale
        while not isinstance(area, qt.QScrollArea):
            area = area.parent()
        area.ensureWidgetVisible(self.ui.scale)
        screenshot("effect-scale")
        self.ui.measure.setCurrentIndex(0)
        turn_until(lambda: self.ui.scale.text == "")
        self.ui.measure.currentText = "entropy"
        turn_until(lambda: self.ui.scale.text == "0 - 1.1 nats")
        self.ui.cancel.click()
        turn_until(lambda: self.ui.scale.text == "")

    def test_rules_are_redrawn_at_once(self):
        self.run_and_wait(8)
        self.ui.useThreshold.checked = True
        self.settle()
        before = self.session.labelmap
        seconds = {"fusion": [], "threshold": []}
        for fusion in ("majority", "staple", "multilabel-staple", "mean"):
            seconds["fusion"].append(self.redrawn(lambda: setattr(self.ui.fusion, "currentText", fusion)))
            for threshold in (0.2, 0.5, 0.8):
                seconds["threshold"].append(self.redrawn(lambda: setattr(self.ui.threshold, "value", threshold)))
                expected = self.session.result.refuse(fusion, threshold).labelmap
                self.assertTrue(np.array_equal(self.session.labelmap, expected))
        for what, times in seconds.items():
            print(f"MEASURED effect: another {what} drawn after {1000 * np.median(times):.0f} ms (median), "
                  f"{1000 * max(times):.0f} ms (longest)")  # fmt: skip
        self.assertIsNot(self.session.labelmap, before)
        screenshot("effect-threshold")

    def redrawn(self, change) -> float:
        """Seconds from a change of the rule until all slice views show it."""
        began = time.perf_counter()
        change()
        self.settle()
        for name in ("Red", "Green", "Yellow"):
            slicer.app.layoutManager().sliceWidget(name).sliceView().forceRender()
        return time.perf_counter() - began

    def test_undo_and_redo_of_apply_are_told(self):
        # one is there, one is made
        self.segmentation.GetSegmentation().AddEmptySegment("mine", "posterior hippocampus")
        self.run_and_wait(2)
        self.ui.apply.click()
        self.assertIn("2 segment(s) written", self.ui.message.text)
        self.assertFalse(self.labels_drawn())
        self.editor.undo()
        turn_until(lambda: "taken back" in self.ui.message.text)
        turn_until(self.labels_drawn)  # what can be applied is seen again
        self.assertTrue(self.ui.apply.enabled and self.ui.cancel.enabled)
        self.assertFalse(self.ui.review.enabled)
        self.editor.redo()
        turn_until(lambda: "2 segment(s) written" in self.ui.message.text)
        self.assertFalse(self.labels_drawn())

    def test_what_was_applied_can_be_applied_elsewhere(self):
        self.run_and_wait(2)
        self.ui.apply.click()
        was = self.segments()
        self.controller.onApply()  # by the key
        self.assertEqual(set(self.segments()), set(was))
        self.segmentation.GetSegmentation().AddEmptySegment("mine", "mine")
        self.editor.setCurrentSegmentID("mine")
        self.ui.applyTo.setCurrentIndex(1)
        self.assertTrue(self.ui.apply.enabled, "to the selected segment")
        self.ui.apply.click()
        self.assertTrue(self.segments()["mine"].any())
        self.assertFalse(self.ui.apply.enabled)
        node = self.editor.mrmlSegmentEditorNode()
        node.SetOverwriteMode(node.OverwriteNone)
        turn_until(lambda: self.ui.apply.enabled)  # under another rule
        node.SetOverwriteMode(node.OverwriteAllSegments)
        turn_until(lambda: not self.ui.apply.enabled)

    def test_apply_is_of_use_again_once_it_would_write_something_else(self):
        self.run_and_wait(2)
        self.ui.apply.click()
        was = self.segments()
        self.assertFalse(self.ui.apply.enabled)
        segment_id = next(iter(was))
        empty = np.zeros(was[segment_id].shape, np.uint8)  # as Islands may leave it
        slicer.util.updateSegmentBinaryLabelmapFromArray(empty, self.segmentation, segment_id, self.volume)
        turn_until(lambda: self.ui.apply.enabled and "1 segment(s) written" in self.ui.message.text)
        self.ui.apply.click()
        self.assertTrue(all((array == was[id]).all() for id, array in self.segments().items()))
        self.assertFalse(self.ui.apply.enabled)
        self.segmentation.GetDisplayNode().SetSegmentVisibility(segment_id, False)  # the masking may be about it
        turn_until(lambda: self.ui.apply.enabled)
        self.ui.apply.click()
        self.assertTrue(self.segmentation.GetDisplayNode().GetSegmentVisibility(segment_id), "it is to be seen")
        self.assertFalse(self.ui.apply.enabled)

    def test_what_the_masking_lets_through_is_told(self):
        self.run_and_wait(2)
        node = self.editor.mrmlSegmentEditorNode()
        self.addCleanup(node.SetSourceVolumeIntensityMask, False)
        node.SetSourceVolumeIntensityMaskRange(1e6, 2e6)
        node.SetSourceVolumeIntensityMask(True)
        self.ui.apply.click()
        self.assertIn("the masking let nothing through", self.ui.message.text)
        self.assertEqual(self.segments(), {})
        self.assertFalse(self.ui.review.enabled)
        node.SetSourceVolumeIntensityMask(False)
        turn_until(lambda: self.ui.apply.enabled)
        self.ui.apply.click()
        self.assertIn("2 segment(s) written", self.ui.message.text)
        self.segmentation.GetSegmentation().RemoveSegment(self.segmentation.GetSegmentation().GetNthSegmentID(0))
        turn_until(lambda: "1 segment(s) written" in self.ui.message.text)

    def test_apply_into_the_selected_segment(self):
        segment_id = self.segmentation.GetSegmentation().AddEmptySegment("mine", "mine")
        self.editor.setCurrentSegmentID(segment_id)
        self.run_and_wait()
        labelmap = self.session.labelmap
        self.ui.applyTo.setCurrentIndex(1)
        self.ui.apply.click()
        self.assertFalse(self.ui.review.enabled, "places are those of one structure")
        self.assertTrue(np.array_equal(self.segments()[segment_id].transpose(2, 1, 0), labelmap > 0))
        self.ui.applyTo.setCurrentIndex(0)

    def test_long_warnings_leave_room_for_the_controls(self):
        self.run_and_wait(2)
        said, whole = self.ui.message.text, self.session.result.report["warnings"][-1][1:]  # it begins with a capital
        self.assertTrue(said.startswith("2 opinions") and said.endswith(" ...") and len(said) < 160, said)
        self.assertIn(whole, self.ui.message.toolTip)
        self.ui.more.click()
        self.assertIn(whole, self.ui.message.text)
        screenshot("effect-more")
        self.ui.more.click()
        self.assertEqual(self.ui.message.text, said)
        self.ui.apply.click()
        self.assertFalse(self.ui.more.visible)

    def test_review_of_a_second_apply_ends_with_its_undo(self):
        for samples in (1, 2):
            self.run_and_wait(samples)
            self.ui.apply.click()
        self.review()
        self.editor.undo()
        turn_until(lambda: not self.review_is_open())
        end = time.monotonic() + 1
        turn_until(lambda: time.monotonic() > end)  # the panel looks for results of others after a while
        parameters = slicer.util.getModuleLogic("MedSegDiffSlicer").getParameterNode()
        self.assertIsNone(parameters.resultSegmentation, "there is no result any more whose places it could show")
        self.assertIsNone(slicer.util.getModuleWidget("MedSegDiffSlicer").panel._result._shown)
        self.assertTrue(self.ui.review.enabled, "the first one is there again")
        self.assertIn("taken back", self.ui.message.text)
        self.review()

    def test_verdicts_are_not_lost_unasked_and_come_back_with_undo(self):
        from MedSegDiffSlicerLib.review.table import verdicts_of

        self.run_and_wait(2)
        self.ui.apply.click()
        self.review()
        slicer.util.findChild(slicer.util.mainWindow(), "keyK").click()
        self.run_and_wait(4)
        was = self.segments()
        with patch("slicer.util.confirmOkCancelDisplay", return_value=False) as asked:
            self.ui.apply.click()
        self.assertIn("1 verdict(s)", asked.call_args[0][0])
        self.assertTrue(all((array == was[id]).all() for id, array in self.segments().items()))
        self.assertTrue(self.review_is_open() and self.ui.apply.enabled)
        with patch("slicer.util.confirmOkCancelDisplay", return_value=True):
            self.ui.apply.click()
        turn_until(lambda: not self.review_is_open())
        self.assertIn("2 segment(s) written", self.ui.message.text)
        self.assertEqual([row for row in range(self.review().rowCount) if self.mark(row)], [])
        self.editor.undo()
        self.assertTrue(all((array == was[id]).all() for id, array in self.segments().items()))
        turn_until(lambda: not self.review_is_open())
        turn_until(lambda: verdicts_of(slicer.mrmlScene, self.segmentation)[:2] == ["accept", ""])  # to be saved
        self.assertFalse(self.review_is_open())
        self.assertEqual([row for row in range(self.review().rowCount) if self.mark(row)], [0])

    def test_a_review_belongs_to_its_segmentation(self):
        self.run_and_wait(2)
        self.ui.apply.click()
        self.review()
        slicer.util.findChild(slicer.util.mainWindow(), "keyK").click()
        was, first = self.segments(), self.segmentation
        other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "other")
        other.CreateDefaultDisplayNodes()
        self.choose(other)
        self.assertFalse(self.ui.review.enabled, "nothing was written here")
        with patch("slicer.util.confirmOkCancelDisplay", return_value=False) as asked:
            self.ui.apply.click()
        asked.assert_not_called()
        self.assertEqual(other.GetSegmentation().GetNumberOfSegments(), 2)
        self.assertTrue(self.ui.review.enabled and not self.ui.apply.enabled)
        self.ui.review.click()
        turn_until(lambda: self.review_is_open() and self.judged() == [])
        self.choose(first)
        self.assertTrue(self.ui.review.enabled and not self.ui.apply.enabled, "it holds what is shown, still")
        self.assertTrue(all((array == was[id]).all() for id, array in self.segments().items()))
        with patch("slicer.util.confirmOkCancelDisplay", return_value=False) as asked:
            self.ui.review.click()
            turn_until(lambda: self.judged() == [0])
        asked.assert_not_called()
        self.run_and_wait(4)
        with patch("slicer.util.confirmOkCancelDisplay", return_value=True) as asked:
            self.ui.apply.click()
        self.assertIn("1 verdict(s)", asked.call_args[0][0])
        turn_until(lambda: not self.review_is_open())
        self.editor.undo()
        turn_until(lambda: self.ui.review.enabled)
        self.assertEqual([row for row in range(self.review().rowCount) if self.mark(row)], [0])

    def judged(self) -> list[int]:
        """Rows of the review with a verdict."""
        tables = slicer.util.findChildren(slicer.util.mainWindow(), name="placeTable")
        return [row for row in range(tables[0].rowCount) if self.mark(row)] if tables else []

    def choose(self, segmentation) -> None:
        """In the Segment Editor, with the effect."""
        self.editor.setSegmentationNode(segmentation)
        self.editor.setSourceVolumeNode(self.volume)
        self.editor.setActiveEffectByName("MedSegDiff")
        slicer.app.processEvents()

    def test_what_was_applied_by_another_rule_is_not_told_to_be_edited(self):
        self.run_and_wait(4)
        self.ui.useThreshold.checked = True
        self.ui.threshold.value = 0.3
        self.settle()
        self.ui.apply.click()
        self.review()
        slicer.util.selectModule("MedSegDiffSlicer")
        table = slicer.util.getModuleWidget("MedSegDiffSlicer").ui.resultTable
        turn_until(lambda: table.rowCount == 2)
        for row in range(2):
            self.assertIn(" ?)", table.item(row, 1).text())
        slicer.util.selectModule("SegmentEditor")

    def test_map_of_a_result_makes_room_for_the_preview(self):
        result = slicer.util.getModuleLogic("MedSegDiffSlicer").segment(self.volume, model=MODEL, samples=2)
        slicer.util.selectModule("MedSegDiffSlicer")
        panel = slicer.util.getModuleWidget("MedSegDiffSlicer")
        turn_until(lambda: panel.logic.getParameterNode().resultSegmentation is result.segmentationNode)
        if not panel.ui.overlayButton.checked:
            panel.ui.overlayButton.click()
        (laid,) = result.uncertaintyVolumeNodes
        turn_until(lambda: self.laid() == {laid.GetID()})
        slicer.util.selectModule("SegmentEditor")
        self.editor.setActiveEffectByName("MedSegDiff")
        self.assertEqual(self.laid(), {laid.GetID()})
        for leave in (self.ui.cancel.click, lambda: self.editor.setActiveEffectByName("Paint")):
            self.run_and_wait(2)
            turn_until(lambda: self.laid() == {None})
            screenshot("effect-over-a-result")
            leave()
            turn_until(lambda: self.laid() == {laid.GetID()})

    def test_what_is_applied_to_a_segmentation_that_a_later_result_hid_is_seen(self):
        logic = slicer.util.getModuleLogic("MedSegDiffSlicer")
        nodes = [logic.segment(self.volume, model=MODEL, samples=1).segmentationNode for _ in range(2)]
        self.assertEqual([node.GetDisplayNode().GetVisibility() for node in nodes], [0, 1])
        self.editor.setSegmentationNode(nodes[0])
        self.editor.setActiveEffectByName("MedSegDiff")
        self.run_and_wait(2)
        self.ui.apply.click()
        self.assertEqual([node.GetDisplayNode().GetVisibility() for node in nodes], [1, 0])

    def test_apply_asks_where_the_segmentation_was_reviewed_in_the_module(self):
        from MedSegDiffSlicerLib.review.review import ACCEPTED
        from MedSegDiffSlicerLib.review.table import set_verdict, start

        result = slicer.util.getModuleLogic("MedSegDiffSlicer").segment(self.volume, model=MODEL, samples=2)
        set_verdict(start(slicer.mrmlScene, result), 0, ACCEPTED)
        self.segmentation = result.segmentationNode
        self.editor.setSegmentationNode(self.segmentation)
        self.editor.setActiveEffectByName("MedSegDiff")
        self.run_and_wait(1)
        before = self.segments()
        for answer in (False, True):
            with patch("slicer.util.confirmOkCancelDisplay", return_value=answer) as asked:
                self.ui.apply.click()
            self.assertIn("Its 1 verdict(s) stay", asked.call_args[0][0])
            now = self.segments()
            self.assertEqual(all(np.array_equal(now[id], before[id]) for id in before), not answer)

    def laid(self) -> set:
        """The IDs of the maps over the scan."""
        return {view.GetForegroundVolumeID() for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}

    def test_preview_is_aside_while_the_segments_are_reviewed(self):
        self.run_and_wait(4)
        self.ui.apply.click()
        self.ui.useThreshold.checked = True
        self.ui.threshold.value = 0.3
        self.settle()
        self.assertTrue(self.labels_drawn(), "put together anew")
        self.review()
        turn_until(lambda: not self.labels_drawn())
        screenshot("effect-review-preview-aside")
        self.ui.threshold.value = 0.8
        self.settle()
        turn_until(self.labels_drawn)
        self.ui.threshold.value = 0.3
        self.settle()
        turn_until(self.labels_drawn)
        slicer.util.findChild(slicer.util.mainWindow(), "leaveButton").click()
        turn_until(self.labels_drawn)

    def mark(self, row: int) -> str:
        """What the review's list says of the verdict on a place."""
        return slicer.util.findChild(slicer.util.mainWindow(), "placeTable").item(row, 2).text()

    def test_review_after_apply_and_its_undo(self):
        self.segmentation.GetSegmentation().AddEmptySegment("mine", "posterior hippocampus")
        self.run_and_wait(4)
        before = node_ids()
        self.assertFalse(self.ui.review.enabled)
        self.ui.apply.click()
        self.assertEqual(node_ids(), before, "nothing of the review before it is asked for")
        table = self.review()
        count = table.rowCount
        self.assertGreater(count, 3)
        screenshot("effect-review")
        added = [slicer.mrmlScene.GetNodeByID(id) for id in node_ids() - before]
        names = {node.GetName() for node in added}
        title = self.volume.GetName()
        self.assertLessEqual({f"{title} {part}" for part in ("samples", "entropy", "statistics", "review")}, names)
        samples = slicer.util.getNode(f"{title} samples")
        self.assertEqual(samples.GetNumberOfDataNodes(), 4)
        self.assertTrue(
            np.array_equal(slicer.util.arrayFromVolume(samples.GetNthDataNode(2)).T, self.session.result.samples[2])
        )
        was = self.segments()
        slicer.util.findChild(slicer.util.mainWindow(), "keyL").click()
        now = self.segments()
        self.assertEqual(set(now), set(was))
        self.assertTrue(any((now[id] != was[id]).any() for id in was), "the other opinion is in the segments")
        slicer.util.findChild(slicer.util.mainWindow(), "keyU").click()
        self.assertTrue(all((array == was[id]).all() for id, array in self.segments().items()))
        for _ in range(3):  # the two verdicts' changes, and Apply
            self.editor.undo()
        turn_until(lambda: not self.review_is_open())
        stays = {"vtkMRMLColorTableNodeMedSegDiffOverlay"}  # a singleton, which an earlier test may have left
        self.assertEqual(node_ids() - stays, before - stays)
        self.assertFalse(self.segments()["mine"].any())
        turn_until(lambda: "taken back" in self.ui.message.text)
        for _ in range(3):
            self.editor.redo()
        turn_until(lambda: self.ui.review.enabled)
        self.assertEqual(self.review().rowCount, count)
        self.editor.setActiveEffectByName("Paint")
        self.assertTrue(self.review_is_open(), "it goes on beside other effects")
        slicer.mrmlScene.Clear(0)
        self.assertFalse(self.review_is_open())

    def test_removing_a_reviewed_result_leaves_the_segments(self):
        self.segmentation.GetSegmentation().AddEmptySegment("mine", "posterior hippocampus")
        self.run_and_wait(2)
        before = node_ids()
        self.ui.apply.click()
        was = self.segments()
        self.assertTrue(all(array.any() for array in was.values()))
        self.review()
        ui = slicer.util.getModuleWidget("MedSegDiffSlicer").ui
        ui.removeButton.click()
        self.assertFalse(self.review_is_open())
        now = self.segments()
        self.assertEqual(set(now), set(was))
        self.assertTrue(all((now[id] == was[id]).all() for id in was))
        stays = {"vtkMRMLColorTableNodeMedSegDiffOverlay"}
        self.assertEqual(node_ids() - stays, before - stays)
        self.assertIn("Kept in", ui.messageLabel.text)
        self.review()  # once more
        self.editor.undo()
        turn_until(lambda: not self.review_is_open())
        self.assertFalse(self.segments()["mine"].any())
