"""Where the Segment Editor effect writes: masking, boxes, transforms, sequences, in the real application."""

from __future__ import annotations

import re

import numpy as np
import slicer
import vtk
from effect_case import EffectCase, voxels
from in_slicer import OTHER_SAMPLE, load_sample, node_ids, screenshot, turn_until
from MedSegDiffSlicerLib.view.slice_views import is_in_a_view


class MedSegDiffEffectGeometryTest(EffectCase):
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

    def test_another_scan_beyond_the_segmentation_is_refused_and_costs_nothing(self):
        self.run_and_wait(2)
        self.ui.apply.click()
        was, before, numbers = self.segments(), node_ids(), self.numbers()
        away = slicer.modules.volumes.logic().CloneVolume(self.volume, "away")
        away.SetOrigin(*(np.array(self.volume.GetOrigin()) + (60, 0, 0)))
        self.editor.setSourceVolumeNode(away)
        self.run_and_wait(2)
        self.ui.apply.click()
        self.assertIn("does not reach all that was found in 'away'", self.ui.message.text)
        self.assertTrue(all((array == was[id]).all() for id, array in self.segments().items()))
        self.assertEqual(self.numbers(), numbers)
        self.assertLessEqual(before, node_ids())
        self.assertTrue(self.ui.apply.enabled, "for another segmentation")

    def test_a_run_shows_its_scan_and_an_empty_segmentation_of_another_one_takes_what_was_found(self):
        other = load_sample(OTHER_SAMPLE)  # which takes the views
        for volume in (self.volume, other):
            self.editor.setSourceVolumeNode(volume)
            slicer.util.setSliceViewerLayers(background=other if volume is self.volume else self.volume)
            self.run_and_wait(2)
            self.assertTrue(is_in_a_view(volume))
        screenshot("effect-scan-elsewhere")
        self.ui.apply.click()
        self.assertIn("2 segment(s) written", self.ui.message.text)
        labelmap = self.session.labelmap.transpose(2, 1, 0)
        for value, segment_id in enumerate(self.segmentation.GetSegmentation().GetSegmentIDs(), 1):
            self.assertTrue(np.array_equal(voxels(self.segmentation, segment_id, other), labelmap == value))
        self.editor.undo()
        self.assertEqual(self.segments(), {})

    def numbers(self) -> list[str]:
        """What the segments tell of their volumes."""
        told, segmentation = vtk.reference(""), self.segmentation.GetSegmentation()
        segments = [segmentation.GetSegment(id) for id in segmentation.GetSegmentIDs()]
        return [str(told) for segment in segments if segment.GetTag("MedSegDiff.VolumeMm3", told)]

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

    def test_review_of_a_part_of_the_volume(self):
        self.ui.region.setCurrentIndex(1)
        roi = self.ui.box.addNode()
        roi.SetSize(*(1.3 * np.array(roi.GetSize())))
        self.run_and_wait(4)
        self.ui.applyTo.setCurrentIndex(2)  # one of the structures only
        self.segmentation.GetSegmentation().AddEmptySegment("mine", "mine")
        self.editor.setCurrentSegmentID("mine")
        self.ui.apply.click()
        box, table = self.session.box, self.review()
        self.assertEqual({re.split("\n|: ", table.item(row, 0).text())[0] for row in range(table.rowCount)}, {"mine"})
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
