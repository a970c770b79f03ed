"""A segment remembers what its run measured, until it is edited."""

from __future__ import annotations

import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from medsegdiff.errors import RequestError

SHAPE = (24, 20, 16)


@pytest.fixture
def added(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    return add_result(scene, make_result(SHAPE), make_volume(np.zeros(SHAPE, np.int16)))


def told(statistics: list[dict]):
    """Of a result what is kept."""
    return SimpleNamespace(statistics=statistics, voxel_volume=1.0)


def numbers(segmentation_node, index: int, volume: float) -> dict:
    from MedSegDiffSlicerLib.nodes.segment_numbers import numbers_of

    return numbers_of(segmentation_node.GetSegmentation().GetNthSegment(index), volume)


def test_numbers_are_those_of_the_statistics(added):
    for index, row in enumerate(added.result.statistics):
        found = numbers(added.segmentationNode, index, row["volume_mm3"])
        assert found["VolumeLowMm3"] == pytest.approx(row["volume_interval_mm3"][0])
        assert found["VolumeHighMm3"] == pytest.approx(row["volume_interval_mm3"][1])
        for tag, key in (
            ("SurfaceAreaMm2", "surface_area_mm2"),
            ("SampleAgreement", "sample_agreement"),
            ("ExpectedDice", "expected_dice"),
            ("MeanUncertainty", "mean_uncertainty"),
            ("WorstUncertainty", "worst_uncertainty"),
        ):
            assert found.get(tag) == (None if row[key] is None else pytest.approx(row[key]))


def test_segment_statistics_names_every_number(scene, monkeypatch):
    from MedSegDiffSlicerLib.nodes.segment_numbers import NUMBERS

    base = type("SegmentStatisticsPluginBase", (), {"createMeasurementInfo": lambda _self, *told: told})
    monkeypatch.setitem(sys.modules, "SegmentStatisticsPlugins", SimpleNamespace(SegmentStatisticsPluginBase=base))
    monkeypatch.delitem(sys.modules, "MedSegDiffSlicerLib.nodes.segment_statistics_plugin", raising=False)
    from MedSegDiffSlicerLib.nodes.segment_statistics_plugin import MedSegDiffSegmentStatisticsPlugin

    del sys.modules["MedSegDiffSlicerLib.nodes.segment_statistics_plugin"]  # it has the stand-in in it
    plugin = MedSegDiffSegmentStatisticsPlugin()
    named = {key: plugin.getMeasurementInfo(key) for key in plugin.keys}
    assert set(named) == set(NUMBERS) and all(title and text for _key, title, text, _units in named.values())
    assert named["SurfaceAreaMm2"][3] == "mm2" and plugin.getMeasurementInfo("Volume") is None
    assert named["VolumeLowMm3"][0] == "Volume low mm3"


def test_an_expected_dice_of_an_earlier_run_goes(added):
    from MedSegDiffSlicerLib.nodes.segment_numbers import keep_numbers
    from MedSegDiffSlicerLib.nodes.segments import segment_ids

    row, node = added.result.statistics[0], added.segmentationNode
    for dice in (0.93, None):
        keep_numbers(node, told([{**row, "expected_dice": dice}]), segment_ids(node))
        assert numbers(node, 0, row["volume_mm3"]).get("ExpectedDice") == dice


def test_an_edit_that_keeps_the_number_of_voxels_is_an_edit(added, scene):
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_numbers import volume_of, was_painted

    node, row = added.segmentationNode, added.result.statistics[0]
    segment_id = node.GetSegmentation().GetNthSegmentID(0)
    volume = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume).copy()
    assert numbers(node, 0, row["volume_mm3"]) and not was_painted(node, segment_id)
    inside, outside = np.argwhere(voxels > 0)[0], np.argwhere(voxels == 0)[0]
    voxels[tuple(inside)], voxels[tuple(outside)] = 0, 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment_id, volume)
    assert volume_of(node, segment_id) == pytest.approx(row["volume_mm3"])
    assert was_painted(node, segment_id) and numbers(node, 0, row["volume_mm3"]) == {}
    voxels[tuple(inside)], voxels[tuple(outside)] = 1, 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, segment_id, volume)
    assert numbers(node, 0, row["volume_mm3"]) and not was_painted(node, segment_id)
    node.GetSegmentation().GetSegment(segment_id).RemoveTag("MedSegDiff.VoxelsSpread")
    assert not was_painted(node, segment_id), "a scene of an earlier version does not tell"


def test_segments_of_a_sheared_scan_are_not_edited(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.segment_numbers import volume_of, was_edited

    sheared = np.eye(4)
    sheared[0, 1], sheared[2, 2] = 0.4, 2.0  # as of a tilted gantry: a voxel has 2 mm3, its edges are longer
    volume = make_volume(np.zeros(SHAPE, np.int16), sheared)
    result = make_result(SHAPE, affine=sheared)
    node = add_result(scene, result, volume).segmentationNode
    for index, row in enumerate(result.statistics):
        segment_id = node.GetSegmentation().GetNthSegmentID(index)
        assert volume_of(node, segment_id) == pytest.approx(row["volume_mm3"])
        assert not was_edited(node.GetSegmentation().GetSegment(segment_id), row["volume_mm3"])


def test_voxels_are_the_same_wherever_their_image_begins():
    from MedSegDiffSlicerLib.nodes.segment_numbers import _count

    labels = np.random.default_rng(0).integers(0, 3, (5, 6, 7)) * 1_000_000_007
    padded = np.pad(labels, ((1, 0), (2, 3), (4, 1)))
    assert _count(labels) == _count(padded) and len(_count(labels)) == 2
    assert _count(labels) != _count(labels[:, ::-1])


def test_an_interval_that_was_not_calibrated_for_the_scan_is_told_to_be_unreliable(added):
    from MedSegDiffSlicerLib.nodes.segment_numbers import is_reliable, keep_numbers
    from MedSegDiffSlicerLib.nodes.segments import segment_ids

    row, node = added.result.statistics[0], added.segmentationNode
    for why in ("the image is unlike", None):
        keep_numbers(node, told([{**row, "expected_dice_withheld": why}]), segment_ids(node))
        assert is_reliable(node.GetSegmentation().GetNthSegment(0)) is (why is None)


def test_segments_that_are_surfaces_alone_are_not_called_empty(added):
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_numbers import has_voxels
    from MedSegDiffSlicerLib.nodes.segment_writer import SegmentWriter

    segmentation = added.segmentationNode.GetSegmentation()
    assert has_voxels(segmentation.GetNthSegment(0))
    SegmentWriter(added.segmentationNode, added.volumeNode).check()
    segmentation.SetSourceRepresentationName("Closed surface")
    added.segmentationNode.CreateClosedSurfaceRepresentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segmentation.GetNthSegment(index).RemoveRepresentation("Binary labelmap")
    assert not has_voxels(segmentation.GetNthSegment(0))
    with pytest.raises(RequestError, match="are surfaces without voxels; make 'Binary labelmap' their source"):
        SegmentWriter(added.segmentationNode, added.volumeNode).check()
    assert slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName() == "Binary labelmap"
