"""What a user finds on coming back to the Segment Editor effect, and what it says first, in the real application."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import slicer
from effect_case import EffectCase
from in_slicer import MODEL, screenshot, turn_until
from MedSegDiffSlicerLib.jobs.run_request import BOX, WHOLE


class MedSegDiffEffectReturnTest(EffectCase):
    def leave_for(self, effect: str) -> None:
        """Another effect of the Segment Editor; nothing of ours is drawn then, nor later."""
        self.editor.setActiveEffectByName(effect)
        self.assertEqual(self.props(), [])
        end = time.monotonic() + 1
        turn_until(lambda: time.monotonic() > end)
        self.assertEqual(self.props(), [])

    def come_back(self) -> None:
        slicer.util.selectModule("SegmentEditor")
        self.editor.setActiveEffectByName("MedSegDiff")
        self.settle()

    def test_opinions_are_there_again(self):
        self.run_and_wait(4)
        labelmap = self.session.labelmap
        for leave in (lambda: self.leave_for("Paint"), lambda: slicer.util.selectModule("Data")):
            leave()
            self.come_back()
            self.assertIs(self.session.labelmap, labelmap)
            self.assertTrue(self.labels_drawn())
            self.assertIn("4 opinions", self.ui.message.text)
            self.assertTrue(self.ui.apply.enabled and self.ui.cancel.enabled)
        screenshot("effect-return")

    def test_what_was_applied_can_be_reviewed_after_painting(self):
        self.run_and_wait(2)
        self.ui.apply.click()
        self.leave_for("Paint")
        self.come_back()
        self.assertIn("2 segment(s) written", self.ui.message.text)
        self.assertTrue(self.ui.review.enabled and not self.ui.apply.enabled)

    def test_clicks_can_be_taken_back(self):
        self.run_and_wait(4)
        missing = np.argwhere((self.session.labelmap == 0) & (self.session.result.probability[1] > 0.02))[0]
        self.click_into(self.place_of(missing))
        turn_until(lambda: not self.session.computing)
        self.leave_for("Paint")
        self.assertFalse(self.session.running, "the model is not asked again")
        self.come_back()
        self.assertEqual(self.session.labelmap[tuple(missing)], 1)
        self.ui.undoClick.click()
        self.assertEqual(self.session.clicks, ())

    def test_closing_the_scene_meanwhile_discards_them(self):
        self.run_and_wait(2)
        self.leave_for("Paint")
        self.assertIsNotNone(self.session.result)
        slicer.mrmlScene.Clear(0)
        self.assertIsNone(self.session.result)

    def test_closing_the_scene_discards_them_also_where_the_effect_is_active(self):
        self.run_and_wait(2)
        self.ui.apply.click()
        slicer.mrmlScene.Clear(0)
        turn_until(lambda: self.session.result is None)
        self.assertFalse(self.ui.review.enabled)

    def test_another_segmentation_has_nothing_written_yet(self):
        self.run_and_wait(2)
        self.ui.apply.click()
        second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        second.CreateDefaultDisplayNodes()
        self.editor.setSegmentationNode(second)
        self.editor.setSourceVolumeNode(self.volume)
        self.come_back()
        self.assertIn("2 opinions", self.ui.message.text)
        self.assertTrue(self.labels_drawn())
        self.assertTrue(self.ui.apply.enabled and self.ui.cancel.enabled and not self.ui.review.enabled)
        self.ui.apply.click()
        self.assertEqual(second.GetSegmentation().GetNumberOfSegments(), 2)

    def test_an_error_of_before_makes_room_for_what_is_to_be_done_now(self):
        self.start_long_run()
        os.killpg(slicer.util.getModuleLogic("MedSegDiffSlicer").workerPid, signal.SIGKILL)
        turn_until(lambda: self.session.error is not None)
        self.assertIn("ended unexpectedly", self.ui.message.text)
        self.leave_for("Paint")
        self.come_back()
        self.assertIn("Press Run", self.ui.message.text)

    def test_a_scan_that_changed_meanwhile_discards_them(self):
        self.run_and_wait(2)
        self.leave_for("Paint")
        slicer.util.arrayFromVolume(self.volume)[:] += 1
        slicer.util.arrayFromVolumeModified(self.volume)
        self.come_back()
        self.assertIsNone(self.session.result)
        self.assertIn("has changed since the run", self.ui.message.text)

    def test_another_source_volume_meanwhile_discards_them(self):
        self.run_and_wait(2)
        self.leave_for("Paint")
        self.editor.setSourceVolumeNode(slicer.modules.volumes.logic().CloneVolume(self.volume, "other"))
        self.come_back()
        self.assertIsNone(self.session.result)
        self.assertIn("Press Run", self.ui.message.text)

    def test_what_the_opinions_are_of_is_told_where_another_model_is_chosen(self):
        self.run_and_wait(2)
        self.ui.model.currentText = "hippocampus-unet"
        self.assertIn("2 opinions of hippocampus-medsegdiff", self.ui.message.text)
        self.ui.model.currentText = MODEL
        self.assertNotIn(" of hippocampus", self.ui.message.text)

    def test_what_was_refused_is_told_until_it_is_mended(self):
        self.run_and_wait(2)
        self.ui.region.currentIndex = self.ui.region.findData(BOX)
        self.ui.run.click()
        self.assertIn("There is no box", self.ui.message.text)
        self.ui.region.currentIndex = self.ui.region.findData(WHOLE)
        self.assertIn("2 opinions", self.ui.message.text)

    def test_a_whole_head_is_doubted_before_it_is_run(self):
        head = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "head")
        slicer.util.updateVolumeFromArray(head, np.zeros((170, 220, 180), np.int16))
        self.editor.setSourceVolumeNode(head)
        self.assertIn("180 x 220 x 170 mm", self.ui.message.text)
        screenshot("effect-whole-head")
        for region, said in ((BOX, "Press Run"), (WHOLE, "Choose a box")):
            self.ui.region.currentIndex = self.ui.region.findData(region)
            self.assertIn(said, self.ui.message.text)
        self.editor.setSourceVolumeNode(self.volume)
        self.assertIn("Press Run", self.ui.message.text)
