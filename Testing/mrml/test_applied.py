"""What the effect's Apply wrote, as the segments tell of it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

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


def test_what_was_written_goes_with_its_segmentation(applied, scene):
    """Also where it was an empty label map."""
    nothing = type(applied).__new__(type(applied))
    nothing.__dict__ = {**applied.__dict__, "_ids": []}
    assert applied.holds and nothing.holds
    scene.RemoveNode(applied.segmentation)
    assert not applied.holds and not nothing.holds


def test_apply_over_another_frame_tells_that_frame_until_it_is_undone(scene, beating, make_result, monkeypatch):
    for name in ("qt", "ctk"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    from MedSegDiffSlicerLib.effect import applying
    from MedSegDiffSlicerLib.nodes.frame import told_of_frame
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole

    def turn_to(frame: int) -> str:
        beating.browser.SetSelectedItemNumber(frame)
        beating.logic.UpdateAllProxyNodes()
        return told_of_frame(node)

    volume, result = beating.proxy, make_result(SHAPE)
    beating.browser.SetSelectedItemNumber(0)
    node = add_result(scene, result, volume).segmentationNode
    editor = LogicEditor(scene, node, volume)
    turn_to(1)
    session = SimpleNamespace(
        labelmap=result.labelmap[::-1], volume=volume, result=result, fusion="mean", threshold=None, box=whole(volume),
        check_current=lambda: None,
    )  # fmt: skip
    monkeypatch.setattr(applying, "EffectEditor", lambda _effect: editor)
    editor.node.SetAndObserveSegmentationNode(node)
    effect = SimpleNamespace(parameterSetNode=lambda: editor.node)
    assert applying.apply(effect, session, SimpleNamespace(target=lambda: applying.EACH), None)
    assert turn_to(1) == "" and turn_to(0) == "The result is of time 40 ms; 'heart' shows time 0 ms."
    editor.logic.Undo()
    assert turn_to(0) == "" and turn_to(1) == "The result is of time 0 ms; 'heart' shows time 40 ms."


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
