"""What a user does with the Segment Editor effect, in the real application, by its widgets and mouse events."""

from __future__ import annotations

import os
import signal
import time
import unittest
from types import SimpleNamespace
from unittest.mock import Mock, patch

import numpy as np
import qt
import slicer
import vtk
from in_slicer import LONG, MODEL, EventLoopGaps, ObserverErrors, load_sample, node_ids, screenshot, turn_until
from medsegdiff.models.package import Label
from MedSegDiffSlicerLib.nodes.segment_numbers import numbers_of
from MedSegDiffSlicerLib.view.shortcuts import Shortcuts
from real_keys import Keyboard


def voxels(segmentation_node, segment_id: str, volume) -> np.ndarray:
    """(K, J, I) bool of a segment on the volume's grid."""
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume)
    return np.zeros(slicer.util.arrayFromVolume(volume).shape, bool) if array is None else array > 0


class MedSegDiffEffectTest(unittest.TestCase):
    def setUp(self):
        slicer.util.mainWindow().resize(1500, 940)
        slicer.mrmlScene.Clear(0)
        slicer.util.getModuleLogic("MedSegDiffSlicer").getParameterNode()  # the module's, made when it is first used
        self.volume = load_sample()
        slicer.util.selectModule("Data")  # so that the Segment Editor is entered anew, and makes a segmentation
        slicer.util.selectModule("SegmentEditor")
        self.editor = slicer.util.getModuleWidget("SegmentEditor").editor
        self.segmentation = self.editor.segmentationNode()
        self.editor.setSourceVolumeNode(self.volume)
        self.errors = self.enterContext(ObserverErrors())
        self.editor.setActiveEffectByName("MedSegDiff")
        self.controller = self.editor.activeEffect().self().controller
        self.ui, self.session = self.controller.options, self.controller.session
        self.ui.model.currentText = MODEL

    def tearDown(self):
        self.editor.setActiveEffect(None)
        self.assertEqual(self.errors, [])
        self.assertEqual(self.props(), [])

    def props(self) -> list:
        """What is drawn in the slice views beside Slicer's own."""
        return list(self.controller.views._previews.values())

    def labels_drawn(self) -> bool:
        return any(preview._labels.actor.GetVisibility() for preview in self.props())

    def run_and_wait(self, samples: int = 4) -> None:
        self.ui.samples.value = samples
        self.ui.run.click()
        turn_until(lambda: not self.session.running, 100)
        self.settle()
        self.assertIsNone(self.session.error)

    def settle(self) -> None:
        """Waits for what is computed beside the GUI."""
        turn_until(lambda: not self.controller.computing)

    def segments(self) -> dict:
        """Voxels by segment ID."""
        ids = self.segmentation.GetSegmentation().GetSegmentIDs()
        return {id: voxels(self.segmentation, id, self.volume) for id in ids}

    def click_into(self, ras, shift: bool = False) -> None:
        """A real mouse click into the red slice view, at a place in its slice."""
        view = slicer.app.layoutManager().sliceWidget("Red")
        node = view.mrmlSliceNode()
        node.JumpSliceByOffsetting(*ras)
        to_xy = np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()))
        x, y = (int(round(n)) for n in (to_xy @ [*ras, 1])[:2])
        interactor = view.sliceView().interactor()
        interactor.SetEventInformation(x, y, 0, int(shift))
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonPressEvent)
        interactor.InvokeEvent(vtk.vtkCommand.LeftButtonReleaseEvent)

    def place_of(self, ijk) -> np.ndarray:
        matrix = vtk.vtkMatrix4x4()
        self.volume.GetIJKToRASMatrix(matrix)
        return (slicer.util.arrayFromVTKMatrix(matrix) @ [*ijk, 1])[:3]

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

    def test_rules_are_redrawn_at_once(self):
        self.run_and_wait(8)
        self.ui.useThreshold.checked = True
        times, before = [], self.session.labelmap
        for fusion in ("mean", "majority", "staple", "multilabel-staple"):
            self.ui.fusion.currentText = fusion
            self.settle()
            for threshold in (0.2, 0.5, 0.8):
                began = time.perf_counter()
                self.ui.threshold.value = threshold
                self.settle()
                for name in ("Red", "Green", "Yellow"):
                    slicer.app.layoutManager().sliceWidget(name).sliceView().forceRender()
                times.append(time.perf_counter() - began)
                expected = self.session.result.refuse(fusion, threshold).labelmap
                self.assertTrue(np.array_equal(self.session.labelmap, expected))
        print(f"MEASURED effect: another rule drawn after {1000 * np.median(times):.0f} ms (median), "
              f"{1000 * max(times):.0f} ms (longest)")  # fmt: skip
        self.assertIsNot(self.session.labelmap, before)
        screenshot("effect-threshold")

    def test_click_is_answered_and_steers_a_new_run(self):
        self.run_and_wait()
        missing = np.argwhere((self.session.labelmap == 0) & (self.session.result.probability[1] > 0.02))[0]
        place = self.place_of(missing)
        self.ui.structure.currentText = self.session.result.labels[0].name
        began = time.perf_counter()
        self.click_into(place)
        turn_until(lambda: not self.session.computing)
        print(f"MEASURED effect: click answered after {1000 * (time.perf_counter() - began):.0f} ms")
        self.assertEqual(self.session.labelmap[tuple(missing)], 1)
        self.assertEqual(len(self.session.clicks), 1)
        self.assertLess(np.linalg.norm(self.session.clicks[0][:3] - place), 1.0)
        turn_until(lambda: not self.session.running)
        self.assertEqual(self.session.labelmap[tuple(missing)], 1)
        self.click_into(place, shift=True)
        self.settle()
        self.assertEqual(self.session.labelmap[tuple(missing)], 0)
        screenshot("effect-clicks")
        self.ui.undoClick.click()
        self.settle()
        self.assertEqual(self.session.labelmap[tuple(missing)], 1)
        turn_until(lambda: not self.session.running)
        self.ui.cancel.click()
        self.assertEqual(self.session.clicks, ())

    def test_masking_overwriting_and_undo_as_slicers_threshold(self):
        """The same label map through Slicer's Threshold effect and through ours, in the widget's own masking."""
        from MedSegDiffSlicerLib.effect.editor import EffectEditor
        from MedSegDiffSlicerLib.nodes.modifier_labelmap import write
        from MedSegDiffSlicerLib.nodes.region_of_interest import whole
        from MedSegDiffSlicerLib.nodes.target_segments import Target

        scan = slicer.util.arrayFromVolume(self.volume)
        low, high = np.percentile(scan, [40, 70])
        rng, node = np.random.default_rng(0), self.editor.mrmlSegmentEditorNode()
        owner = rng.integers(0, 4, [n // 4 + 1 for n in scan.shape]).repeat(4, 0).repeat(4, 1).repeat(4, 2)
        owner = owner[tuple(slice(n) for n in scan.shape)]
        for number, name in enumerate(("target", "other", "third"), start=1):
            self.segmentation.GetSegmentation().AddEmptySegment(name, name)
            mask = np.ascontiguousarray((owner == number).astype(np.uint8))
            slicer.util.updateSegmentBinaryLabelmapFromArray(mask, self.segmentation, name, self.volume)
        self.editor.setCurrentSegmentID("target")
        before = self.segments()
        kinds = slicer.vtkMRMLSegmentationNode
        for mode in (kinds.EditAllowedEverywhere, kinds.EditAllowedOutsideAllSegments,
                     kinds.EditAllowedInsideAllSegments, kinds.EditAllowedInsideSingleSegment):  # fmt: skip
            for overwrite in (node.OverwriteAllSegments, node.OverwriteNone):
                for intensity in (False, True):
                    node.SetMaskMode(mode)
                    node.SetMaskSegmentID("other")
                    node.SetOverwriteMode(overwrite)
                    node.SetSourceVolumeIntensityMask(intensity)
                    node.SetSourceVolumeIntensityMaskRange(*np.percentile(scan, [30, 60]))
                    self.editor.setActiveEffectByName("Threshold")
                    threshold = self.editor.activeEffect()
                    threshold.setParameter("MinimumThreshold", float(low))
                    threshold.setParameter("MaximumThreshold", float(high))
                    threshold.self().onApply()
                    theirs = self.segments()
                    self.editor.undo()
                    self.editor.setActiveEffectByName("MedSegDiff")
                    labelmap = ((scan >= low) & (scan <= high)).astype(np.uint8).transpose(2, 1, 0)
                    editor = EffectEditor(self.editor.activeEffect())
                    write(editor, labelmap, whole(self.volume), self.volume, [Target((1,), "target")])
                    ours = self.segments()
                    for name in before:
                        self.assertTrue(np.array_equal(ours[name], theirs[name]), (mode, overwrite, intensity, name))
                    self.editor.undo()
                    for name, array in self.segments().items():
                        self.assertTrue(np.array_equal(array, before[name]), name)

    def review(self) -> qt.QTableWidget:
        """Asks for the review; the list of its places."""
        for _ in range(2):  # impatient
            self.ui.review.click()
        turn_until(lambda: slicer.util.findChildren(slicer.util.mainWindow(), name="placeTable"))
        self.assertFalse(self.controller.computing, "what is shown is what was asked for last")
        return slicer.util.findChild(slicer.util.mainWindow(), "placeTable")

    def review_is_open(self) -> bool:
        return bool(slicer.util.findChildren(slicer.util.mainWindow(), name="MedSegDiffReview"))

    def test_undo_and_redo_of_apply_are_told(self):
        self.segmentation.GetSegmentation().AddEmptySegment("mine", "posterior hippocampus")  # one is there, one is made
        self.run_and_wait(2)
        self.ui.apply.click()
        self.assertIn("2 segment(s) written", self.ui.message.text)
        self.assertFalse(self.labels_drawn())
        self.editor.undo()
        turn_until(lambda: "taken back" in self.ui.message.text)
        self.assertTrue(self.labels_drawn(), "what can be applied is seen again")
        self.assertTrue(self.ui.apply.enabled and self.ui.cancel.enabled)
        self.assertFalse(self.ui.review.enabled)
        self.editor.redo()
        turn_until(lambda: "2 segment(s) written" in self.ui.message.text)
        self.assertFalse(self.labels_drawn())
        self.editor.setActiveEffectByName("Erase")
        self.editor.setActiveEffectByName("MedSegDiff")
        self.assertIn("Press Run", self.ui.message.text)

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
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(samples.GetNthDataNode(2)).T, self.session.result.samples[2]))
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

    def test_review_of_a_part_of_the_volume(self):
        self.ui.region.setCurrentIndex(1)
        roi = self.ui.box.addNode()
        roi.SetSize(*(1.3 * np.array(roi.GetSize())))
        self.run_and_wait(4)
        self.ui.applyTo.setCurrentIndex(2)  # one of the structures only
        self.segmentation.GetSegmentation().AddEmptySegment("mine", "mine")
        self.editor.setCurrentSegmentID("mine")
        self.ui.apply.click()
        box, label = self.session.box, self.session.result.labels[0]
        table = self.review()
        self.assertEqual({table.item(row, 0).text() for row in range(table.rowCount)}, {label.name})
        places = slicer.util.arrayFromVolume(slicer.util.getNode(f"{self.volume.GetName()} doubtful places")).T
        self.assertEqual(places.shape, self.volume.GetImageData().GetDimensions())
        inside = np.zeros(places.shape, bool)
        inside[box.slices] = True
        self.assertTrue(places.any() and not places[~inside].any())
        doubtful = self.session.result.probability[1][places[box.slices] > 0]
        self.assertTrue(((doubtful > 0.1) & (doubtful < 0.9)).mean() > 0.9, "at its place in the volume")
        screenshot("effect-review-box")
        before = self.segments()["mine"]
        slicer.util.findChild(slicer.util.mainWindow(), "keyL").click()
        self.assertTrue((self.segments()["mine"] != before).any())
        slicer.util.findChild(slicer.util.mainWindow(), "leaveButton").click()
        self.ui.applyTo.setCurrentIndex(0)
        self.ui.region.setCurrentIndex(0)

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

    def test_box_and_surroundings_of_a_segment(self):
        self.ui.region.setCurrentIndex(1)
        roi = self.ui.box.addNode()
        roi.SetSize(*(1.6 * np.array(roi.GetSize())))
        screenshot("effect-box")
        self.run_and_wait(2)
        self.assertTrue(all(low > 0 for low in self.session.box.start))
        self.ui.apply.click()
        (first, *_rest) = self.segments()
        self.editor.setCurrentSegmentID(first)
        self.ui.region.setCurrentIndex(2)
        self.ui.margin.value = 5
        self.run_and_wait(2)
        self.assertNotEqual(self.session.box.shape, self.volume.GetImageData().GetDimensions())
        self.ui.cancel.click()
        self.ui.region.setCurrentIndex(0)

    def start_long_run(self) -> None:
        self.ui.samples.value = LONG
        self.ui.run.click()
        turn_until(lambda: self.session.labelmap is not None)

    def test_cancel_leaves_nothing(self):
        before = node_ids()
        self.start_long_run()
        screenshot("effect-running")
        self.ui.cancel.click()
        self.assertFalse(self.session.running)
        self.assertEqual(self.props(), [])
        self.assertEqual(node_ids(), before)
        self.assertTrue(self.ui.run.enabled and not self.ui.apply.enabled)

    def test_one_installation_at_a_time_and_cancel_ends_it(self):
        from MedSegDiffSlicerLib.setup import dependencies, packages_gate

        programs = []
        self.addCleanup(slicer.app.userSettings().remove, "MedSegDiff/UnfinishedInstallation")
        with (
            patch.object(dependencies, "missing", lambda: ["monai"]),
            patch.object(packages_gate, "Program", lambda *told: programs.append(Mock(ended=False)) or programs[-1]),
            patch("slicer.util.confirmOkCancelDisplay", return_value=True),
        ):
            self.ui.run.click()
            self.assertEqual((len(programs), self.ui.run.enabled, self.ui.cancel.enabled), (1, False, True))
            self.controller.onRun()
            other = packages_gate.PackagesGate(lambda text, isError=False: told.append(text), lambda: None)
            told = []
            other.ensure(lambda: told.append("done"))
            self.assertEqual((len(programs), len(told)), (1, 1))
            self.assertIn("wait until that has ended", told[0])
            self.ui.cancel.click()
            programs[0].kill.assert_called_once()
            self.assertEqual((self.ui.run.enabled, self.ui.cancel.enabled), (True, False))
            self.assertIn("when you press Run again", self.ui.message.text)
            programs[0].ended = True
            slicer.app.processEvents()

    def kill_worker(self) -> None:
        os.killpg(slicer.util.getModuleLogic("MedSegDiffSlicer").workerPid, signal.SIGKILL)
        turn_until(lambda: self.session.error is not None)
        self.assertIn("ended unexpectedly", self.ui.message.text)

    def test_error_of_a_new_run_is_over_once_the_opinions_are_applied(self):
        self.run_and_wait(2)
        self.session.add_clicks([(*self.place_of(np.argwhere(self.session.labelmap == 0)[0]), 1)])
        self.settle()  # the new run begins once the click is answered
        self.kill_worker()
        self.ui.apply.click()
        self.assertIn("2 segment(s) written", self.ui.message.text)

    def test_structures_of_a_run_that_failed_are_not_offered_for_another_model(self):
        self.start_long_run()
        self.kill_worker()
        self.ui.listModels([SimpleNamespace(name="other", foreground=[Label(1, "liver", (1, 2, 3))], sampling={})])
        self.ui.keepParameters()
        self.assertEqual([self.ui.structure.itemText(n) for n in range(self.ui.structure.count)], ["liver"])

    def test_other_effect_midway_leaves_nothing(self):
        before = node_ids()
        self.start_long_run()
        self.editor.setActiveEffectByName("Paint")
        self.assertFalse(self.session.running)
        self.assertEqual(self.props(), [])
        self.assertEqual(node_ids(), before)
        self.editor.setActiveEffectByName("MedSegDiff")
        self.run_and_wait(2)

    def test_deleting_the_volume_midway(self):
        self.start_long_run()
        slicer.mrmlScene.RemoveNode(self.volume)
        turn_until(lambda: not self.session.running)
        self.assertEqual(self.props(), [])

    def test_deleting_the_segmentation_midway(self):
        self.start_long_run()
        slicer.mrmlScene.RemoveNode(self.segmentation)
        self.ui.cancel.click()
        turn_until(lambda: not self.session.running)
        self.assertEqual(self.props(), [])

    def test_closing_the_scene_midway(self):
        self.start_long_run()
        slicer.mrmlScene.Clear(0)
        turn_until(lambda: not self.session.running)
        self.assertEqual(self.props(), [])

    def test_changing_the_voxels_discards_the_opinions(self):
        self.run_and_wait(2)
        slicer.util.arrayFromVolume(self.volume)[:] += 1
        slicer.util.arrayFromVolumeModified(self.volume)
        turn_until(lambda: self.session.result is None)
        self.assertIn("has changed since the run", self.ui.message.text)

    def test_another_source_volume_discards_the_opinions(self):
        self.run_and_wait(2)
        other = slicer.modules.volumes.logic().CloneVolume(self.volume, "other")
        self.editor.setSourceVolumeNode(other)
        self.assertIsNone(self.session.result)
        self.assertEqual(self.props(), [])

    def test_volume_of_a_sequence(self):
        """Opinions are about the frame they were asked on; on the next one they are asked anew."""
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "frames")
        for index in range(2):
            frame = slicer.modules.volumes.logic().CloneVolume(self.volume, f"frame {index}")
            slicer.util.arrayFromVolume(frame)[:] += index
            sequence.SetDataNodeAtValue(frame, str(index))
            slicer.mrmlScene.RemoveNode(frame)
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        slicer.app.processEvents()
        proxy = browser.GetProxyNode(sequence)
        self.editor.setSourceVolumeNode(proxy)
        self.run_and_wait(2)
        browser.SetSelectedItemNumber(1)
        turn_until(lambda: self.session.result is None)
        self.assertIn("has changed since the run", self.ui.message.text)
        self.run_and_wait(2)
        labelmap = self.session.labelmap
        self.ui.apply.click()
        for array, value in zip(self.segments().values(), (1, 2)):
            self.assertTrue(np.array_equal(array.transpose(2, 1, 0), labelmap == value))

    def test_segment_with_overlap_keeps_its_voxels(self):
        mine = self.segmentation.GetSegmentation().AddEmptySegment("mine", "mine")
        half = np.zeros(slicer.util.arrayFromVolume(self.volume).shape, np.uint8)
        half[: len(half) // 2] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(half, self.segmentation, mine, self.volume)
        node = self.editor.mrmlSegmentEditorNode()
        node.SetOverwriteMode(node.OverwriteNone)
        self.run_and_wait(2)
        labelmap = self.session.labelmap.transpose(2, 1, 0)
        self.assertTrue((labelmap * half).any())
        self.ui.apply.click()
        now = self.segments()
        self.assertTrue(np.array_equal(now.pop(mine), half > 0))
        for array, value in zip(now.values(), (1, 2)):
            self.assertTrue(np.array_equal(array, labelmap == value))
        node.SetOverwriteMode(node.OverwriteAllSegments)

    def test_second_segmentation_gets_what_is_applied_to_it(self):
        self.run_and_wait(2)
        second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "second")
        second.CreateDefaultDisplayNodes()
        second.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)  # else the Segment Editor has no source
        self.editor.setSegmentationNode(second)  # the Segment Editor leaves any effect then
        self.assertEqual(self.props(), [])
        self.editor.setActiveEffectByName("MedSegDiff")
        self.run_and_wait(2)
        self.ui.apply.click()
        self.assertEqual(second.GetSegmentation().GetNumberOfSegments(), 2)
        self.assertEqual(self.segments(), {})

    def test_volume_and_segmentation_under_a_turned_transform(self):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        turn = vtk.vtkTransform()
        turn.RotateX(20)
        turn.RotateZ(10)
        turn.Translate(5, 3, -8)
        transform.SetMatrixTransformToParent(turn.GetMatrix())
        self.volume.SetAndObserveTransformNodeID(transform.GetID())
        slicer.util.resetSliceViews()
        self.run_and_wait()
        screenshot("effect-turned")
        labelmap = self.session.labelmap
        self.segmentation.SetAndObserveTransformNodeID(transform.GetID())
        self.ui.apply.click()
        screenshot("effect-turned-applied")
        self.assertTrue(labelmap.any())
        for array, value in zip(self.segments().values(), (1, 2)):
            self.assertTrue(np.array_equal(array.transpose(2, 1, 0), labelmap == value))

    def test_shortcuts_are_there_only_while_the_effect_is(self):
        def keys():
            found = slicer.util.findChildren(slicer.util.mainWindow(), className="QShortcut")
            return sorted(shortcut.key.toString() for shortcut in found)

        active = keys()
        self.editor.setActiveEffect(None)
        slicer.app.processEvents()
        idle = keys()
        self.assertIn("Ctrl+Return", active)
        self.assertNotIn("Ctrl+Return", idle)
        self.assertEqual(len(active) - len(idle), 4)

    def test_a_key_of_two_editors_is_that_of_the_last_one(self):
        keyboard = Keyboard()
        self.addCleanup(keyboard.close)
        self.run_and_wait(1)
        told = []
        other = Shortcuts({"X": lambda: told.append("x")})
        other.install()
        keyboard.press("x")
        self.assertEqual((told, self.ui.notIt.checked), (["x"], False))
        other.remove()
        keyboard.press("x")
        self.assertEqual((told, self.ui.notIt.checked), (["x"], True))
        keyboard.press("x")
        self.assertFalse(self.ui.notIt.checked)

    def test_keys_of_a_keyboard_run_correct_and_apply(self):
        keyboard = Keyboard()
        self.addCleanup(keyboard.close)
        self.ui.samples.value = 2
        keyboard.press("Return", "Control_L")
        turn_until(lambda: not self.session.running, 100)
        self.settle()
        self.assertIsNotNone(self.session.result)
        keyboard.press("x")
        self.assertTrue(self.ui.notIt.checked)
        self.click_into(self.place_of(np.argwhere(self.session.labelmap)[0]))
        self.assertEqual([value for *_place, value in self.session.clicks], [0])
        keyboard.press("x")
        self.assertFalse(self.ui.notIt.checked)
        keyboard.press("BackSpace", "Control_L")
        self.assertEqual(self.session.clicks, ())
        turn_until(lambda: not self.session.running, 100)
        self.settle()
        keyboard.press("Return", "Shift_L")
        self.assertEqual(len(self.segments()), 2)
        keyboard.press("x")
        self.editor.setActiveEffect(None)
        self.assertFalse(self.ui.notIt.checked, "the next clicks are not about these opinions")
        keyboard.press("Return", "Control_L")
        self.assertFalse(self.session.running)
