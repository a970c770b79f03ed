"""The numbers of a run in Slicer's own Segment Statistics, and as a chart."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
import vtk
from in_slicer import MODEL, ObserverErrors, load_sample, screenshot, turn_until
from SegmentStatistics import SegmentStatisticsLogic

PLUGIN = "MedSegDiffSegmentStatisticsPlugin"


class MedSegDiffStatisticsTest(unittest.TestCase):
    def setUp(self):
        slicer.util.mainWindow().resize(1500, 940)
        slicer.mrmlScene.Clear(0)
        self.logic = slicer.util.getModuleLogic("MedSegDiffSlicer")
        self.volume = load_sample()
        self.errors = self.enterContext(ObserverErrors())
        self.result = self.logic.segment(self.volume, model=MODEL, samples=8, seed=0)

    def tearDown(self):
        self.assertEqual(self.errors, [])

    def statistics(self) -> SegmentStatisticsLogic:
        logic = SegmentStatisticsLogic()
        logic.getParameterNode().SetParameter("Segmentation", self.result.segmentationNode.GetID())
        logic.computeStatistics()
        return logic

    def test_segment_statistics_tells_intervals_agreement_and_uncertainty(self):
        segmentation = self.result.segmentationNode.GetSegmentation()
        found = self.statistics().getStatistics()
        for index in range(2):  # the template is unlike a scan: neither is to be relied on
            for key in ("VolumeLowMm3", "VolumeHighMm3", "ExpectedDice"):
                self.assertNotIn((segmentation.GetNthSegmentID(index), f"{PLUGIN}.{key}"), found)
            segmentation.GetNthSegment(index).RemoveTag("MedSegDiff.Withheld")  # as if it were like one
        logic = self.statistics()
        found = logic.getStatistics()
        for index, row in enumerate(self.result.report["segments"]):
            segment = segmentation.GetNthSegmentID(index)
            low, high = row["volume_interval_mm3"]
            wanted = {"VolumeLowMm3": low, "VolumeHighMm3": high, "SampleAgreement": row["sample_agreement"],
                      "SurfaceAreaMm2": row["surface_area_mm2"],
                      "WorstUncertainty": row["worst_uncertainty"]}  # fmt: skip
            for key, value in wanted.items():
                self.assertAlmostEqual(found[segment, f"{PLUGIN}.{key}"], value, places=4)
            volume = found[segment, "LabelmapSegmentStatisticsPlugin.volume_mm3"]
            self.assertTrue(low <= volume <= high, (low, volume, high))
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "Segment statistics")
        logic.exportToTable(table)
        names = [table.GetColumnName(i) for i in range(table.GetNumberOfColumns())]
        self.assertLessEqual({"Volume low mm3", "Sample agreement", "Worst uncertainty nats"}, set(names))
        logic.showTable(table)
        screenshot("segment-statistics")

    def test_numbers_of_an_edited_segment_are_left_out(self):
        node = self.result.segmentationNode
        segment = node.GetSegmentation().GetNthSegmentID(0)
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, self.volume).copy()
        voxels[tuple(np.argwhere(voxels)[0])] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment, self.volume)
        found = self.statistics().getStatistics()
        self.assertNotIn((segment, f"{PLUGIN}.SampleAgreement"), found)
        self.assertIn((node.GetSegmentation().GetNthSegmentID(1), f"{PLUGIN}.SampleAgreement"), found)

    def test_chart_of_the_volumes_is_shown(self):
        chart = self.logic.plotVolumes(self.result)
        turn_until(lambda: slicer.app.layoutManager().plotViewCount > 0)
        view = slicer.app.layoutManager().plotWidget(0).mrmlPlotViewNode()
        self.assertEqual(view.GetPlotChartNodeID(), chart.GetID())
        axis = slicer.app.layoutManager().plotWidget(0).plotView().chart().GetAxis(vtk.vtkAxis.LEFT)
        names = [axis.GetTickLabels().GetValue(number) for number in range(2)]
        self.assertEqual(names, ["posterior hippocampus ?", "anterior hippocampus ?"])
        screenshot("volume-chart")
        view.SetPlotChartNodeID(None)
        axis.Update()
        left = axis.GetTickLabels()
        self.assertNotIn("posterior hippocampus", [left.GetValue(n) for n in range(left.GetNumberOfValues())])
