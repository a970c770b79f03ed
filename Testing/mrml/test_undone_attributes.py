"""What a segmentation tells of its run goes and comes with the segments when the Segment Editor undoes and redoes
them."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from medsegdiff.models.package import Label
from segment_editor import LogicEditor

SHAPE = (12, 10, 8)
LABELS = (Label(1, "one"), Label(2, "two"))


@pytest.fixture
def case(scene, make_volume):
    """apply(model): as the effect's Apply.  told(): what the segmentation tells.  undo(), redo()."""
    from MedSegDiffSlicerLib.nodes.modifier_labelmap import write
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole
    from MedSegDiffSlicerLib.nodes.segments import APPLIED
    from MedSegDiffSlicerLib.nodes.slicer_result import CALL, describe
    from MedSegDiffSlicerLib.nodes.target_segments import one_each
    from MedSegDiffSlicerLib.nodes.undone_attributes import attributes_of, follow_undo

    class Case:
        def __init__(self):
            self.volume = make_volume(np.zeros(SHAPE, np.int16))
            self.node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
            self.node.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
            self.editor = LogicEditor(scene, self.node, self.volume)
            self.undo, self.redo = self.editor.logic.Undo, self.editor.logic.Redo

        def apply(self, model: str, value: int = 1) -> None:
            before, labelmap = attributes_of(self.node), np.zeros(SHAPE, np.uint8)
            labelmap[len(model) : len(model) + 3, 2:6, 1:5] = value
            ids = write(self.editor, labelmap, whole(self.volume), self.volume, one_each(self.node, LABELS))
            for segment_id in ids:
                self.node.GetSegmentation().GetSegment(segment_id).SetTag(APPLIED, model)
            describe(self.node, {"model": model, "seed": len(model)})
            self.node.RemoveAttribute(CALL)
            follow_undo(self.node, model, ids, before)

        def told(self) -> tuple:
            return self.node.GetAttribute("MedSegDiff.Model"), self.node.GetAttribute(CALL)

    return Case()


@pytest.mark.parametrize("second", [1, 2])
def test_attributes_are_undone_and_redone(case, second):
    from MedSegDiffSlicerLib.nodes.slicer_result import CALL

    case.apply("first")
    case.apply("the second", second)
    assert case.told() == ("the second", None)
    for _ in range(2):
        case.undo()
        assert case.told() == ("first", None)
        case.undo()
        assert case.told() == (None, None) and case.node.GetAttribute("MedSegDiff.Seed") is None
        case.redo()
        assert case.told() == ("first", None)
        case.redo()
        assert case.told() == ("the second", None)
    case.node.SetAttribute(CALL, "of another run")
    case.node.GetSegmentation().AddEmptySegment("by hand")
    assert case.told() == ("the second", "of another run"), "other changes are nobody's undo"


def test_the_call_of_the_run_before_comes_back(case):
    from MedSegDiffSlicerLib.nodes.slicer_result import CALL, describe

    describe(case.node, {"model": "of the panel"})
    case.node.SetAttribute(CALL, "logic.segment(...)")
    case.apply("effect")
    assert case.told() == ("effect", None)
    case.undo()
    assert case.told() == ("of the panel", "logic.segment(...)")


def test_what_another_run_told_since_stays_whatever_becomes_of_the_segments(case, scene, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.slicer_result import CALL

    case.apply("effect")
    case.node.SetAttribute(CALL, "of a run of the panel")
    added = add_result(scene, make_result(SHAPE), case.volume, case.node)
    assert added.kept and case.told() == ("toy", None), "nobody has told the call of this run"
    segmentation = case.node.GetSegmentation()
    for name in added.kept:
        segmentation.RemoveSegment(segmentation.GetSegmentIdBySegmentName(name))
    assert case.told() == ("toy", None)


def test_the_node_is_not_kept_alive(case):
    case.apply("first")
    gone = weakref.ref(case.node)
    case.node.GetScene().RemoveNode(case.node)
    case.editor.logic.SetSegmentationNode(None)
    case.node = case.editor = case.undo = case.redo = None
    gc.collect()
    assert gone() is None


def test_many_applies_are_followed_by_the_same_observers(scene, monkeypatch):
    from MedSegDiffSlicerLib.nodes import undone_attributes
    from MedSegDiffSlicerLib.nodes.segments import APPLIED

    node, looked = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine"), []
    marks = undone_attributes._marks
    monkeypatch.setattr(undone_attributes, "_marks", lambda *where: looked.append(where[1]) or marks(*where))
    segmentation = node.GetSegmentation()
    ids = [segmentation.AddEmptySegment(f"s{number}") for number in range(4)]
    for apply in range(2 * undone_attributes.KEPT):
        segmentation.GetSegment(ids[0]).SetTag(APPLIED, f"mark {apply}")
        undone_attributes.follow_undo(node, f"mark {apply}", ids[:1], undone_attributes.attributes_of(node))
    del looked[:]
    segmentation.GetSegment(ids[3]).SetTag("any", "value")
    assert looked == [{ids[0]}], "one look, at what was written"
    (followed,) = [each for each in undone_attributes._followed.values() if each[-1].ids == {ids[0]}]
    assert len(followed) == undone_attributes.KEPT
