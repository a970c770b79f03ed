"""Slicer is not blocked by results of large scans: everything a user does with one, in the real application.

MEDSEGDIFF_LARGE: size of the scan in voxels ("256,256,100").
"""

from __future__ import annotations

import os
import time
import unittest
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import slicer
from in_slicer import EventLoopGaps, ObserverErrors, turn_until
from large_result import SPACING, StandInWorker, large_result

SHAPE = tuple(int(n) for n in os.environ.get("MEDSEGDIFF_LARGE", "256,256,100").split(","))


def review_is_open() -> bool:
    return bool(slicer.util.findChildren(slicer.util.mainWindow(), name="MedSegDiffReview"))


class MedSegDiffLargeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.result = large_result(SHAPE)

    def setUp(self):
        slicer.util.mainWindow().resize(1500, 940)
        slicer.mrmlScene.Clear(0)
        self.errors = self.enterContext(ObserverErrors())
        slicer.util.selectModule("MedSegDiffSlicer")
        scan = np.random.default_rng(0).integers(0, 100, SHAPE[::-1]).astype(np.int16)
        self.volume = slicer.util.addVolumeFromArray(scan, nodeClassName="vtkMRMLScalarVolumeNode")
        self.volume.SetSpacing(*SPACING)
        slicer.util.setSliceViewerLayers(background=self.volume, fit=True)
        self.turn(0.5)

    def tearDown(self):
        self.assertEqual(self.errors, [])

    def turn(self, seconds: float) -> None:
        """Lets the application live for a while."""
        end = time.monotonic() + seconds
        turn_until(lambda: time.monotonic() > end)

    def measured(self, what: str, action, done=lambda: True) -> float:
        """Does it, waits for its end and prints what it took; the longest stretch in s without a turn of the event
        loop."""
        self.turn(0.2)
        with EventLoopGaps() as gaps:
            began, used = time.perf_counter(), time.process_time()
            action()
            turn_until(done, 120)
            took, used = time.perf_counter() - began, time.process_time() - used
            self.turn(0.3)
        print(
            f"MEASURED {'x'.join(map(str, SHAPE))}, {what}: {took:.2f} s ({used:.2f} s of a processor), {gaps}",
            flush=True,
        )
        return gaps.longest

    def test_effect(self):
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.util.getModuleWidget("SegmentEditor").editor
        editor.setSourceVolumeNode(self.volume)
        editor.setActiveEffectByName("MedSegDiff")
        self.addCleanup(editor.setActiveEffect, None)
        controller = editor.activeEffect().self().controller
        ui, session, started = controller.options, controller.session, []

        def start(image, request, onProgress, onPreview, onFinished, volumes):
            job = SimpleNamespace(error=None, result=self.result, seconds=1.0, cancel=lambda: None)
            job.preview, job.end = onPreview, lambda: onFinished(job)
            started.append(job)
            return job

        session._start = start
        ui.measure.currentText = "entropy"
        ready = lambda: not controller.computing  # noqa: E731
        self.measured("Run", ui.run.click)
        self.measured("a preview comes", lambda: started[0].preview(self.result.labelmap.copy(), 1), ready)
        self.measured("the opinions come", started[0].end, lambda: session.result is not None and ready())
        for measure in ("expected-entropy", "mutual-information", "variance", "entropy"):
            self.measured(f"measure {measure}", lambda m=measure: setattr(ui.measure, "currentText", m), ready)
        self.measured("threshold on", lambda: setattr(ui.useThreshold, "checked", True), ready)
        self.measured("threshold 0.3", lambda: setattr(ui.threshold, "value", 0.3), ready)
        for fusion in ("majority", "staple", "multilabel-staple", "mean"):
            self.measured(f"fusion {fusion}", lambda f=fusion: setattr(ui.fusion, "currentText", f), ready)
        self.assertTrue(np.array_equal(session.labelmap, self.result.refuse("mean", 0.3).labelmap))
        controller.options.useThreshold.checked = False
        place = [n / 2 * mm for n, mm in zip(SHAPE, SPACING)]
        drawn = lambda: not controller._background.busy  # noqa: E731
        for what, act, label in (
            ("a click", lambda: session.add_clicks([(*place, 2)]), 2), ("click undone", session.undo_click, 1),
        ):  # fmt: skip
            self.measured(f"{what}: seen", act, drawn)
            self.assertEqual(session.labelmap[tuple(n // 2 for n in SHAPE)], label)
            self.measured(f"{what}: its numbers", lambda: None, ready)
        started.clear()
        self.measured("Apply", ui.apply.click, ready)
        self.measured("Review", ui.review.click, lambda: review_is_open() and ready())
        self.measured("next place", lambda: slicer.util.findChild(slicer.util.mainWindow(), "keyN").click())
        self.measured("Apply undone", editor.undo, lambda: not review_is_open())
        self.measured("other effect", lambda: editor.setActiveEffect(None))

    def test_panel(self):
        module = slicer.util.getModuleWidget("MedSegDiffSlicer")
        ui, logic, panel = module.ui, module.logic, module.panel
        turn_until(lambda: ui.runButton.enabled)
        with patch.object(logic, "_client", StandInWorker(self.result)):
            self.measured("panel, a run", ui.runButton.click, lambda: not ui.cancelButton.enabled)
        view, review = panel._result.view, panel._result.review
        segmentation = logic.getParameterNode().resultSegmentation
        self.assertEqual(segmentation.GetSegmentation().GetNumberOfSegments(), len(np.unique(self.result.labelmap)) - 1)
        ready = lambda: not view.computing  # noqa: E731
        for measure in ("mutual-information", "variance", "entropy"):
            self.measured(f"panel, {measure}", lambda m=measure: setattr(view.measureBox, "currentText", m), ready)
        self.measured("outlines of all opinions", view.opinions.fanBox.click, ready)
        self.measured("outlines hidden", view.opinions.fanBox.click, ready)
        self.measured("first alternative", view.opinions.nextButton.click, ready)
        self.measured("second alternative", view.opinions.nextButton.click, ready)
        self.measured("alternatives hidden", view.opinions.hideButton.click, ready)
        self.measured("review starts", review.startButton.click, lambda: review.isActive)
        self.measured("next place", review._dock._controller.next)
        self.measured("other opinion taken", lambda: review._dock._controller.verdict("alternative"))
        self.measured("review ends", review.stop)
        self.assertFalse(review.isActive)
        folder = slicer.app.temporaryPath
        slicer.util.saveNode(segmentation, f"{folder}/large.seg.nrrd")
        self.measured("removed", ui.removeButton.click)
        self.assertTrue(slicer.mrmlScene.IsNodePresent(segmentation), "it was reviewed")
        self.slicers_own(f"{folder}/large.seg.nrrd")

    def slicers_own(self, path: str) -> None:
        """What Slicer itself needs for the like of it, without a line of ours: how much of a stretch is its own."""
        values = np.zeros(SHAPE[::-1], np.float32)
        self.measured("Slicer's own loading of that segmentation", lambda: slicer.util.loadSegmentation(path))
        made = []

        def add() -> None:
            made.append(slicer.util.addVolumeFromArray(values, nodeClassName="vtkMRMLScalarVolumeNode"))

        self.measured("Slicer's own adding of a map", add)
        (node,) = made
        node.SetSpacing(*SPACING)
        self.measured("Slicer's own foreground in all views",
                      lambda: slicer.util.setSliceViewerLayers(foreground=node, foregroundOpacity=0.5))  # fmt: skip
        self.measured("Slicer's own jump to a place",
                      lambda: slicer.modules.markups.logic().JumpSlicesToLocation(60, 60, 60, True))  # fmt: skip
        self.measured("Slicer's own removal of a node", lambda: slicer.mrmlScene.RemoveNode(node))
