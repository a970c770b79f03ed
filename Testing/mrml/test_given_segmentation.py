"""Results that go into a segmentation that is there already: what users made in it stays."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.errors import RequestError
from result_case import MOVE, SHAPE, check_segments, lib, volume  # noqa: F401


def test_existing_segmentation_keeps_what_the_user_made(lib, scene, volume, make_result, ids, monkeypatch):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.GetSegmentation().AddEmptySegment("old", "old")
    with monkeypatch.context() as patch:
        patch.setattr(lib[0], "add_statistics", lambda *_: 1 / 0)
        before = ids(scene)
        with pytest.raises(ZeroDivisionError):
            lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=node)
        assert ids(scene) == before
        assert node.GetSegmentation().GetSegmentIDs() == ("old",)
    result = make_result(SHAPE)
    assert lib[0].add_result(scene, result, volume, segmentation_node=node).segmentationNode is node
    check_segments(node, result, np.eye(4))
    assert node.GetSegmentation().GetSegmentIDs()[0] == "old"
    assert node.GetSegmentation().GetNumberOfSegments() == 4
    count = scene.GetNumberOfNodes()
    again = lib[0].add_result(scene, result, volume, segmentation_node=node)
    assert scene.GetNumberOfNodes() == count
    assert node.GetSegmentation().GetNumberOfSegments() == 4
    assert all(n.GetScene() is scene for n in again.nodes())


def test_segments_that_the_effect_wrote_stay_beside_those_of_a_run(lib, scene, volume, make_result):
    from MedSegDiffSlicerLib.nodes.segments import APPLIED, LABEL_TAG, segment_ids
    from MedSegDiffSlicerLib.nodes.slicer_result import RUN

    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.SetAttribute(RUN, "scan")
    for name in ("applied", "of a run"):
        node.GetSegmentation().AddEmptySegment(name, name)
        node.GetSegmentation().GetSegment(name).SetTag(LABEL_TAG, "1")
    node.GetSegmentation().GetSegment("applied").SetTag(APPLIED, "some Apply")  # the user's own, maybe
    lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=node)
    assert node.GetSegmentation().GetSegmentIDs()[0] == "applied" and node.GetSegmentation().GetNumberOfSegments() == 4
    assert node.GetSegmentation().GetSegment(segment_ids(node)[1]).GetName() == "alpha"


def test_edited_and_reviewed_segments_stay_beside_those_of_a_new_run(lib, scene, volume, make_result):
    import slicer

    first = lib[0].add_result(scene, make_result(SHAPE), volume)
    node, ids = first.segmentationNode, first.segmentationNode.GetSegmentation().GetSegmentIDs()
    edited = np.ones(SHAPE[::-1], np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(edited, node, ids[0], volume)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(node.GetSegmentation().GetSegment(ids[1]), logic.Completed)
    again = lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=node)
    assert again.kept == ["alpha (kept)", "beta (kept)"]
    assert [node.GetDisplayNode().GetSegmentVisibility2DFill(id) for id in node.GetSegmentation().GetSegmentIDs()] == [
        False, False, True, True, True,
    ]  # fmt: skip
    assert node.GetSegmentation().GetSegmentIDs()[:2] == ids[:2] and node.GetSegmentation().GetNumberOfSegments() == 5
    assert (slicer.util.arrayFromSegmentBinaryLabelmap(node, ids[0], volume) == edited).all()
    newer = node.GetSegmentation().GetSegmentIdBySegmentName("alpha")
    logic.SetSegmentStatus(node.GetSegmentation().GetSegment(newer), logic.Completed)
    third = lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=node)
    assert third.kept == ["alpha (kept)", "beta (kept)", "alpha (kept 2)"]


def test_nodes_are_called_after_the_volume_that_they_are_of(lib, scene, make_volume, make_result):
    left, right = (make_volume(np.zeros(SHAPE, np.int16), name=name) for name in ("left", "right"))
    node = lib[0].add_result(scene, make_result(SHAPE), left, samples=True).segmentationNode
    added = lib[0].add_result(scene, make_result(SHAPE), right, segmentation_node=node, samples=True)
    assert added.segmentationNode is node
    assert all(each.GetName().startswith("right ") for each in added.nodes())
    node.SetName("mine")
    added = lib[0].add_result(scene, make_result(SHAPE), left, segmentation_node=node)
    assert node.GetName() == "mine" and added.statisticsTableNode.GetName().startswith("left ")


def test_another_volume_of_the_name_makes_no_second_run(lib, scene, make_volume, make_result):
    first = make_volume(np.zeros(SHAPE, np.int16))
    node = lib[0].add_result(scene, make_result(SHAPE), first).segmentationNode
    scene.RemoveNode(first)
    again = make_volume(np.zeros(SHAPE, np.int16))
    added = lib[0].add_result(scene, make_result(SHAPE), again, segmentation_node=node)
    assert added.statisticsTableNode.GetName() == "scan statistics"


def test_a_segment_copied_from_a_run_is_the_users(lib, scene, volume, make_result):
    run = lib[0].add_result(scene, make_result(SHAPE), volume).segmentationNode
    final = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "final")
    final.GetSegmentation().CopySegmentFromSegmentation(run.GetSegmentation(), run.GetSegmentation().GetNthSegmentID(0))
    copy = final.GetSegmentation().GetNthSegmentID(0)
    final.GetSegmentation().GetSegment(copy).SetName("my own")
    added = lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=final)
    assert added.kept == ["my own"] and final.GetSegmentation().GetSegment(copy).GetName() == "my own"


def test_segmentation_with_segments_of_the_user_elsewhere_is_refused(
    lib, scene, volume, make_transform, make_result, ids
):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.GetSegmentation().AddEmptySegment("old", "old")
    make_transform(node, MOVE)
    before = ids(scene)
    with pytest.raises(RequestError, match="another transform"):
        lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=node)
    assert ids(scene) == before and node.GetSegmentation().GetSegmentIDs() == ("old",)


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_segments_on_another_grid_are_not_joined(lib, scene, volume, make_volume, make_result, ids, shift):
    """Slicer saves all segments of a node on one grid: those of the run would be others after loading."""
    import slicer
    from MedSegDiffSlicerLib.nodes.nodes_from_result import check_segmentation

    matrix = np.diag([0.5, 0.5, 0.5, 1]) if not shift else np.eye(4)
    matrix[0, 3] = shift
    other = make_volume(np.zeros((48, 40, 32), np.int16), matrix, "other")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.SetReferenceImageGeometryParameterFromVolumeNode(other)
    node.GetSegmentation().AddEmptySegment("user", "user")
    check_segmentation(node, volume)  # there is nothing in it yet
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones((32, 40, 48), np.uint8), node, "user", other)
    before = ids(scene)
    with pytest.raises(RequestError, match="on a grid other than that of 'scan'; choose another segmentation"):
        lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=node)
    assert ids(scene) == before and node.GetSegmentation().GetSegmentIDs() == ("user",)
    node.GetSegmentation().RemoveSegment("user")
    node.GetSegmentation().AddEmptySegment("empty")
    lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=node)
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume


def test_segments_on_the_same_grid_are_joined_wherever_it_begins(
    lib, scene, volume, make_volume, make_result, tmp_path
):
    import slicer

    matrix = np.eye(4)
    matrix[:3, 3] = -2, 3, 1
    wider = make_volume(np.zeros((40, 30, 30), np.int16), matrix, "wider")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.SetReferenceImageGeometryParameterFromVolumeNode(wider)
    node.GetSegmentation().AddEmptySegment("user", "user")
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones((30, 30, 40), np.uint8), node, "user", wider)
    lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=node)
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    check_segments(scene.GetFirstNodeByName("mine"), make_result(SHAPE), np.eye(4))


@pytest.mark.parametrize("broken", ["write_segments", "add_statistics", "place_in_hierarchy"])
def test_failure_midway_leaves_a_given_segmentation_as_it_was(
    lib, scene, volume, make_volume, make_transform, make_result, monkeypatch, broken
):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.CreateDefaultDisplayNodes()
    node.GetSegmentation().AddEmptySegment("old", "old")
    node.GetSegmentation().GetSegment("old").SetTag("MedSegDiff.Label", "1")
    node.GetDisplayNode().SetSegmentVisibility("old", False)
    node.SetReferenceImageGeometryParameterFromVolumeNode(make_volume(np.zeros((5, 6, 7), np.int16), name="other"))
    node.SetAttribute("MedSegDiff.Model", "earlier")
    node.SetAttribute("MedSegDiff.Run", "earlier")
    make_transform(node, MOVE)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "folder")
    hierarchy.CreateItem(folder, node)

    def state():
        segmentation = node.GetSegmentation()
        names = ("MedSegDiff.Model", "MedSegDiff.Seed")
        return (
            segmentation.GetSegmentIDs(), segmentation.GetConversionParameter("Reference image geometry"),
            node.GetDisplayNode().GetSegmentVisibility("old"), node.GetNodeReferenceID("referenceImageGeometryRef"),
            node.GetTransformNodeID(), hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)),
            node.GetNumberOfDisplayNodes(), node.GetID(), node.GetName(), [node.GetAttribute(name) for name in names],
        )  # fmt: skip

    def work_then_fail(*arguments, **options):
        original(*arguments, **options)
        raise ValueError("on purpose")

    before, original = state(), getattr(lib[0], broken)
    monkeypatch.setattr(lib[0], broken, work_then_fail)
    with pytest.raises(ValueError, match="on purpose"):
        lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=node)
    assert state() == before
    monkeypatch.undo()
    lib[0].add_result(scene, make_result(SHAPE), volume, segmentation_node=node)
    assert all(one != other for one, other in zip(state()[:2], before))
    check_segments(node, make_result(SHAPE), np.eye(4))
