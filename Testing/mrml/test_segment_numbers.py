"""A segment remembers what its run measured, until it is edited."""

from __future__ import annotations

import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

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


def test_an_expected_dice_of_an_earlier_run_goes(added):
    from MedSegDiffSlicerLib.nodes.segment_numbers import keep_numbers
    from MedSegDiffSlicerLib.nodes.segments import segment_ids

    row, node = added.result.statistics[0], added.segmentationNode
    for dice in (0.93, None):
        keep_numbers(node, told([{**row, "expected_dice": dice}]), segment_ids(node))
        assert numbers(node, 0, row["volume_mm3"]).get("ExpectedDice") == dice


TOLD = [(604_200, "604.20"), (2469.4, "2.47"), (100, "0.10"), (4.24, "0.0042"), (0, "0.00")]


@pytest.mark.parametrize(("volume", "told"), TOLD)
def test_volumes_are_told_in_ml(volume, told):
    from MedSegDiffSlicerLib.nodes.segment_numbers import in_ml

    assert in_ml(volume) == told


def test_a_segment_is_numbered_in_one_event(added):
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_numbers import keep_numbers
    from MedSegDiffSlicerLib.nodes.segments import segment_ids

    node, events = added.segmentationNode, []
    names = [segment.GetName() for segment in map(node.GetSegmentation().GetNthSegment, range(2))]
    node.AddObserver(slicer.vtkSegmentation.SegmentModified, lambda *_told: events.append(1))
    rows = [{**row, "mean_uncertainty": 0.125} for row in added.result.statistics]
    keep_numbers(node, told(rows), segment_ids(node))
    assert len(events) == len(rows)
    assert numbers(node, 0, rows[0]["volume_mm3"])["MeanUncertainty"] == 0.125
    assert [segment.GetName() for segment in map(node.GetSegmentation().GetNthSegment, range(2))] == names


def test_numbers_of_an_edited_segment_are_left_out(added):
    row = added.result.statistics[0]
    assert numbers(added.segmentationNode, 0, row["volume_mm3"] + 1) == {}


@pytest.mark.parametrize("moved", [False, True])
def test_what_nobody_edited_is_not_told_to_be_edited_and_a_voxel_more_is(
    scene, make_volume, make_result, make_transform, moved
):
    """Also under an affine transform, which scales: a run measures in the world."""
    import slicer
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.segment_numbers import volume_of, was_edited

    volume, grid = make_volume(np.zeros(SHAPE, np.int16), np.diag([0.7, 0.7, 1.3, 1.0])), np.diag([0.7, 0.7, 1.3, 1.0])
    if moved:
        scaled = np.array([[1.3, 0.2, 0, 4], [0, 0.9, 0.1, -3], [0, 0, 1.1, 9], [0, 0, 0, 1.0]])
        make_transform(volume, scaled)
        grid = scaled @ grid
    node = add_result(scene, make_result(SHAPE, grid), volume).segmentationNode
    segment_id = node.GetSegmentation().GetNthSegmentID(0)
    segment = node.GetSegmentation().GetSegment(segment_id)
    now = volume_of(node, segment_id)
    assert not was_edited(segment, now) and numbers(node, 0, now)
    assert was_edited(segment, now * (1 + 1e-6)), "one voxel of a million"
    voxels = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, segment_id)
    voxels[tuple(np.argwhere(voxels == segment.GetLabelValue())[0])] = 0
    segment.GetRepresentation(slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()).Modified()
    assert was_edited(segment, volume_of(node, segment_id))


def test_memory_does_not_grow_with_the_label(scene, make_volume):
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_numbers import volume_of

    labels, array = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode"), np.full(SHAPE[::-1], -3, np.int32)
    array[2:5, 2:5, 2:5] = 30_000_000
    slicer.util.updateVolumeFromArray(labels, array)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, node)
    (large,) = [one for one in map(node.GetSegmentation().GetSegment, node.GetSegmentation().GetSegmentIDs())
                if one.GetLabelValue() == array.max()]  # fmt: skip
    tracemalloc.start()
    assert volume_of(node, node.GetSegmentation().GetSegmentIdBySegment(large)) == 27
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**20


def test_segment_of_the_user_has_none(scene, added):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.GetSegmentation().AddEmptySegment("mine")
    assert numbers(node, 0, 0.0) == {}


def test_numbers_are_saved_with_the_segmentation(scene, make_volume, make_result, affine, tmp_path):
    import slicer
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.segment_numbers import volume_of

    affine = affine @ np.diag([1 / 3, 0.123456789, 1, 1])  # no short decimals
    added = add_result(scene, make_result(SHAPE, affine), make_volume(np.zeros(SHAPE, np.int16), affine))
    path, row = str(tmp_path / "out.seg.nrrd"), added.result.statistics[0]
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(path)
    assert storage.WriteData(added.segmentationNode)
    again = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    reader = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    reader.SetFileName(path)
    assert reader.ReadData(again)
    now = volume_of(again, again.GetSegmentation().GetNthSegmentID(0))
    assert numbers(again, 0, now)["VolumeLowMm3"] == pytest.approx(row["volume_interval_mm3"][0])


def test_a_transform_that_scales_a_segment_makes_nobodys_work_of_it(added, make_transform):
    from MedSegDiffSlicerLib.nodes.result_nodes import kept_segments

    make_transform(added.segmentationNode, np.diag([1.5, 1, 1, 1]))
    assert kept_segments(added.segmentationNode) == []


def test_only_the_segments_that_were_written_are_numbered(added):
    """Those of another run, with the same label values, keep what is known of them."""
    from MedSegDiffSlicerLib.nodes.segment_numbers import keep_numbers

    node, rows = added.segmentationNode, added.result.statistics
    written = node.GetSegmentation().AddEmptySegment("written", "written")
    keep_numbers(node, told([{**row, "volume_mm3": 1.0} for row in rows]), {rows[0]["label"]: written})
    assert numbers(node, 0, rows[0]["volume_mm3"]) and not numbers(node, 0, 1.0)
    assert node.GetSegmentation().GetSegment(written).HasTag("MedSegDiff.VolumeMm3")
