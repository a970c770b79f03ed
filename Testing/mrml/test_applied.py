"""What the effect's Apply wrote, as the segments tell of it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from segment_editor import LogicEditor

SHAPE = (24, 20, 16)


@pytest.fixture
def applied(scene, make_volume, make_result):
    """Three labels, each in a segment of its own."""
    from MedSegDiffSlicerLib.effect.applied import Applied
    from MedSegDiffSlicerLib.nodes.modifier_labelmap import write
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole
    from MedSegDiffSlicerLib.nodes.target_segments import one_each

    volume, result = make_volume(np.zeros(SHAPE, np.int16)), make_result(SHAPE)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    targets = one_each(node, result.labels[:2])
    ids = write(LogicEditor(scene, node, volume), result.labelmap, whole(volume), volume, targets)
    session = SimpleNamespace(
        labelmap=result.labelmap, volume=volume, result=result, fusion="mean", threshold=None, box=whole(volume)
    )
    return Applied(session, node, targets, ids)


def test_a_segment_that_was_deleted_is_no_longer_of_it(applied):
    """The others are still there to be reviewed."""
    assert set(applied.labels) == {1, 2} and applied.holds and applied.count == 2
    applied.segmentation.GetSegmentation().RemoveSegment(applied.labels[1])
    assert set(applied.labels) == {2} and applied.holds and applied.count == 1
    applied.stand_for_labels()
    places = applied.result(frozenset(applied.labels)).regions()
    assert places and {place.label for place in places} == {2}


def test_what_was_done_to_it_since_is_noticed(applied):
    import slicer

    assert applied.is_untouched and not applied.turned()
    node, segment_id = applied.segmentation, applied.labels[1]
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, applied.volume).copy()
    for changed, count in ((np.zeros_like(voxels), 1), (voxels, 2)):
        slicer.util.updateSegmentBinaryLabelmapFromArray(changed, node, segment_id, applied.volume)
        assert (applied.is_untouched, applied.count, applied.turned(), applied.holds) == (count == 2, count, True, True)
    applied.segmentation.GetSegmentation().RemoveSegment(segment_id)
    assert not applied.is_untouched
