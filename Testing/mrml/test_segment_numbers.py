"""A segment remembers what its run measured, until it is edited."""

from __future__ import annotations

import numpy as np
import pytest

SHAPE = (24, 20, 16)


@pytest.fixture
def added(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    return add_result(scene, make_result(SHAPE), make_volume(np.zeros(SHAPE, np.int16)))


def numbers(segmentation_node, index: int, volume: float) -> dict:
    from MedSegDiffSlicerLib.nodes.segment_numbers import numbers_of

    return numbers_of(segmentation_node.GetSegmentation().GetNthSegment(index), volume)


def test_numbers_are_those_of_the_statistics(added):
    for index, row in enumerate(added.result.statistics):
        found = numbers(added.segmentationNode, index, row["volume_mm3"])
        assert found["VolumeLowMm3"] == pytest.approx(row["volume_interval_mm3"][0])
        assert found["VolumeHighMm3"] == pytest.approx(row["volume_interval_mm3"][1])
        for tag, key in (("SampleAgreement", "sample_agreement"), ("ExpectedDice", "expected_dice"),
                         ("MeanUncertainty", "mean_uncertainty"), ("WorstUncertainty", "worst_uncertainty")):  # fmt: skip
            assert found.get(tag) == (None if row[key] is None else pytest.approx(row[key]))


def test_numbers_of_an_edited_segment_are_left_out(added):
    row = added.result.statistics[0]
    assert numbers(added.segmentationNode, 0, row["volume_mm3"] + 1) == {}


def test_segment_of_the_user_has_none(scene, added):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.GetSegmentation().AddEmptySegment("mine")
    assert numbers(node, 0, 0.0) == {}


def test_numbers_are_saved_with_the_segmentation(scene, added, tmp_path):
    import slicer

    path, row = str(tmp_path / "out.seg.nrrd"), added.result.statistics[0]
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(path)
    assert storage.WriteData(added.segmentationNode)
    again = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    reader = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    reader.SetFileName(path)
    assert reader.ReadData(again)
    assert numbers(again, 0, row["volume_mm3"])["VolumeLowMm3"] == pytest.approx(row["volume_interval_mm3"][0])
