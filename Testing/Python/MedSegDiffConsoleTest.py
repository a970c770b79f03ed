"""What a script does: slicer.util.getModuleLogic("MedSegDiffSlicer") in the real application."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
import unittest
from unittest.mock import patch

import numpy as np
import slicer
from in_slicer import LONG, MODEL, EventLoopGaps, ObserverErrors, load_sample, node_ids, turn_until

from medsegdiff.errors import Cancelled, JobError, RequestError


def made_by_us() -> list:
    """The nodes of the scene that tell of a model."""
    return [node for node in slicer.mrmlScene.GetNodes() if node.GetAttribute("MedSegDiff.Model")]


class MedSegDiffConsoleTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear(0)
        self.logic = slicer.util.getModuleLogic("MedSegDiffSlicer")
        self.volume = load_sample()
        self.errors = self.enterContext(ObserverErrors())

    def tearDown(self):
        self.assertEqual(self.errors, [])

    def test_loading_the_module_imports_no_torch(self):
        path = slicer.util.modulePath("MedSegDiffSlicer")
        ours = [name for name in sys.modules if name.startswith(("medsegdiff", "MedSegDiff"))]
        kept = {name: sys.modules.pop(name) for name in ours}
        try:
            began = time.perf_counter()
            spec = importlib.util.spec_from_file_location("MedSegDiffSlicer", path)
            module = importlib.util.module_from_spec(spec)
            sys.modules["MedSegDiffSlicer"] = module
            spec.loader.exec_module(module)
            loaded = time.perf_counter()
            module.registerSampleData()
            print(f"MEASURED module import {loaded - began:.3f} s, sample data {time.perf_counter() - loaded:.3f} s")
        finally:
            sys.modules.update(kept)
        self.assertNotIn("torch", sys.modules)
        self.assertIn(MODEL, [package.name for package in self.logic.models()])

    def test_segment_leaves_nodes_and_the_event_loop_turns(self):
        self.logic.segment(self.volume, model=MODEL, samples=1, steps=1)  # the worker starts, the model is loaded
        with EventLoopGaps() as gaps:
            began = time.perf_counter()
            result = self.logic.segment(self.volume, model=MODEL, samples=8, steps=4, seed=0)
        seconds = time.perf_counter() - began
        print(f"MEASURED console: {seconds:.2f} s, {gaps}")
        self.assertGreater(gaps.turns, 20)
        self.assertNotIn("torch", sys.modules)
        report = result.report
        self.assertEqual((report["model"], report["samples"], report["seed"]), (MODEL, 8, 0))
        self.assertEqual(report["inputs"], [self.volume.GetName()])
        segmentation = result.segmentationNode.GetSegmentation()
        self.assertEqual([segmentation.GetNthSegment(i).GetName() for i in range(segmentation.GetNumberOfSegments())],
                         [entry["name"] for entry in report["segments"]])  # fmt: skip
        for i, entry in enumerate(report["segments"]):
            voxels = slicer.util.arrayFromSegmentBinaryLabelmap(
                result.segmentationNode, segmentation.GetNthSegmentID(i), self.volume
            )
            print(f"MEASURED {entry['name']}: {entry['volume_mm3']:.0f} mm3, interval {entry['volume_interval_mm3']}")
            self.assertAlmostEqual(float(np.count_nonzero(voxels)), entry["volume_mm3"], places=3)
            self.assertGreater(entry["volume_mm3"], 0)
        hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
        parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(self.volume))
        nodes = result.nodes()
        self.assertEqual(len(nodes), 3 + len(result.uncertaintyVolumeNodes) + len(result.probabilityVolumeNodes))
        for node in nodes:
            self.assertEqual(node.GetAttribute("MedSegDiff.Model"), MODEL)
            place = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
            folder = parent if node is result.segmentationNode else hierarchy.GetItemParent(place)
            self.assertEqual((folder, place == parent), (parent, node is result.segmentationNode))
        self.assertEqual(result.samplesSequenceNode.GetNumberOfDataNodes(), 8)

    def test_refuse_makes_new_segments_without_the_worker(self):
        result = self.logic.segment(self.volume, model=MODEL, samples=4)
        self.logic.close()
        for fusion in ("mean", "majority", "staple"):
            again = self.logic.refuse(result, fusion=fusion, threshold=0.4 if fusion == "mean" else None)
            self.assertIsNot(again.segmentationNode, result.segmentationNode)
            self.assertEqual(again.report["fusion"], fusion)
            self.assertGreater(again.report["segments"][0]["volume_mm3"], 0)

    def test_callbacks_and_same_seed_same_result(self):
        told, ended = [], []
        jobs = [
            self.logic.startSegmentation(
                [self.volume], model=MODEL, samples=2, seed=5, onProgress=lambda *progress: told.append(progress),
                onFinished=ended.append,
            )
            for _ in range(2)
        ]
        one, two = (job.wait(120) for job in jobs)
        self.assertEqual(ended, jobs)
        self.assertTrue(np.array_equal(one.result.packed_samples, two.result.packed_samples))
        fractions = [fraction for fraction, _message, _left in told]
        self.assertTrue(all(0 <= fraction <= 1 for fraction in fractions) and fractions)

    def test_cancel_within_a_second_leaves_the_scene_untouched(self):
        before = node_ids()
        told = []
        job = self.logic.startSegmentation(
            self.volume, model=MODEL, samples=LONG, onProgress=lambda *p: told.append(p) if p[0] > 0 else None
        )
        turn_until(lambda: told)
        job.cancel()
        print(f"MEASURED cancellation took {turn_until(lambda: job.finished):.2f} s")
        self.assertTrue(job.cancelled)
        with self.assertRaises(Cancelled):
            job.wait()
        self.assertEqual(node_ids(), before)

    def test_killed_worker_is_an_error_and_leaves_the_scene_untouched(self):
        before = node_ids()
        told = []
        job = self.logic.startSegmentation(
            self.volume, model=MODEL, samples=LONG, onProgress=lambda *p: told.append(p) if p[0] > 0 else None
        )
        turn_until(lambda: told)
        os.killpg(self.logic.workerPid, signal.SIGKILL)
        turn_until(lambda: job.finished)
        self.assertIsInstance(job.error, JobError)
        self.assertIn("ended unexpectedly", str(job.error))
        self.assertEqual(node_ids(), before)
        self.assertIsNotNone(self.logic.segment(self.volume, model=MODEL, samples=1).segmentationNode)

    def test_deleting_the_volume_midway_stops_the_run(self):
        told = []
        job = self.logic.startSegmentation(
            self.volume, model=MODEL, samples=LONG, onProgress=lambda *p: told.append(p) if p[0] > 0 else None
        )
        turn_until(lambda: told)
        slicer.mrmlScene.RemoveNode(self.volume)
        turn_until(lambda: job.finished)
        self.assertIn("removed meanwhile", str(job.error))
        self.assertIsNone(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode"))

    def test_closing_ends_what_is_under_way_and_starts_no_worker_anew(self):
        from MedSegDiffSlicerLib.jobs import controller

        with patch.object(controller, "SHARE", 0):  # the nodes come one a turn of the event loop
            job = self.logic.startSegmentation(self.volume, model=MODEL, samples=2)
            turn_until(lambda: made_by_us())
            self.assertFalse(job.finished)
            self.logic.close()
        self.assertTrue(job.cancelled)
        self.assertEqual(made_by_us(), [])
        batch = self.logic.startBatch([self.volume, self.volume], model=MODEL, samples=LONG)
        turn_until(lambda: batch.cases[0].fraction > 0)
        self.logic.close()
        self.assertEqual([case.state for case in batch.cases], ["cancelled", "cancelled"])
        self.assertIsNone(self.logic.workerPid)
        self.assertFalse(self.logic._timer.isActive())

    def test_several_models_are_asked(self):
        result = self.logic.segment(
            self.volume, model=[MODEL, "hippocampus-unet"], samples=[2, 1], steps=1, weights="quality"
        )
        told = result.report["models"]
        self.assertEqual([(x["name"], x["samples"]) for x in told], [(MODEL, 2), ("hippocampus-unet", 1)])
        self.assertEqual(result.segmentationNode.GetAttribute("MedSegDiff.Model"), MODEL)
        self.assertEqual(result.segmentationNode.GetAttribute("MedSegDiff.Samples"), "3")

    def test_unusable_requests_are_refused_at_once(self):
        before = node_ids()
        with self.assertRaisesRegex(RequestError, "is not known; installed"):
            self.logic.segment(self.volume, model="no-such-model")
        with self.assertRaisesRegex(RequestError, "samples must be"):
            self.logic.segment(self.volume, model=MODEL, samples=0)
        with self.assertRaisesRegex(RequestError, "give a list of names"):
            self.logic.startSegmentation(self.volume, model=MODEL, measures="entropy")
        with self.assertRaisesRegex(RequestError, "channel"):
            self.logic.segment([self.volume, self.volume], model=MODEL)
        self.assertEqual(node_ids(), before)

    def test_later_results_hide_earlier_ones_of_the_scan(self):
        results = [self.logic.segment(self.volume, model=MODEL, samples=2, steps=1, seed=seed) for seed in (1, 2)]
        results.append(self.logic.refuse(results[1], fusion="majority"))
        shown = [result.segmentationNode.GetDisplayNode().GetVisibility() for result in results]
        self.assertEqual(shown, [0, 0, 1])
        self.assertEqual(results[1].hidden, [results[0].segmentationNode.GetName()])

    def test_model_given_by_a_relative_folder_is_found_by_a_worker_that_runs_elsewhere(self):
        folder = {package.name: package.folder for package in self.logic.models()}[MODEL]
        self.logic.segment(self.volume, model=MODEL, samples=1, steps=1)  # starts the worker
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder.parent)
        self.assertIsNotNone(self.logic.segment(self.volume, model=f"./{folder.name}", samples=1, steps=1))

    def test_reload_and_test_runs_the_short_test(self):
        slicer.selfTests["MedSegDiffSlicer"]()
        (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.assertEqual(node.GetAttribute("MedSegDiff.Samples"), "2")
