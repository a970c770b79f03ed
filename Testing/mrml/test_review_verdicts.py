"""Verdicts of the review: the status that they give a segment, and that they come and go with what is undone."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.errors import RequestError
from review_case import GRID, SHAPE, added, controller, labels_of, lib, opinions_at, status_of  # noqa: F401


def test_editor_undo_and_redo_hold(added, controller):
    before = labels_of(added)
    controller.go(0)
    controller.verdict("alternative")
    one = labels_of(added)
    controller.go(1)
    controller.verdict("alternative")
    two = labels_of(added)
    logic = controller.writer.logic
    logic.Undo()
    assert np.array_equal(labels_of(added), one)
    logic.Undo()
    assert np.array_equal(labels_of(added), before)
    logic.Redo()
    logic.Redo()
    assert np.array_equal(labels_of(added), two)


def test_verdict_goes_with_what_the_segment_editor_undid(added, controller):
    controller.go(0)
    controller.verdict("accept")
    controller.verdict("alternative")
    assert [place.verdict for place in controller.places[:2]] == ["accept", "alternative"]
    controller.writer.logic.Undo()
    controller.next()
    assert [place.verdict for place in controller.places[:2]] == ["accept", ""] and controller.judged == 1
    for _ in range(4):
        controller.verdict("alternative")
    controller.writer.logic.Undo()
    controller.go(0)
    assert controller.places[2].verdict == "alternative", "the one before holds"
    controller.writer.logic.Undo()
    assert "undone" in controller.take_back()
    assert controller.places[2].verdict == "alternative", "one verdict goes, not two"


def test_a_users_copy_of_the_table_is_no_review(scene, added, controller):
    from MedSegDiffSlicerLib.nodes.verdicts import judged_labels
    from MedSegDiffSlicerLib.review.table import find_review

    controller.go(0)
    controller.verdict("accept")
    copy = scene.AddNewNodeByClass("vtkMRMLTableNode")
    copy.Copy(controller.table)
    assert find_review(scene, added.segmentationNode) is controller.table
    scene.RemoveNode(controller.table)
    assert find_review(scene, added.segmentationNode) is None and judged_labels(added.segmentationNode) == set()


def test_verdict_comes_back_with_what_the_segment_editor_brings_back(added, controller):
    logic, verdicts = controller.writer.logic, lambda: [place.verdict for place in controller.places[:2]]
    controller.go(0)
    controller.verdict("alternative")
    controller.take_back()
    assert verdicts() == ["", ""]
    logic.Undo()  # of what take_back did
    assert "there again" in controller.notice_undo() and verdicts() == ["alternative", ""]
    logic.Undo()
    assert "was undone" in controller.notice_undo() and verdicts() == ["", ""]
    logic.Redo()
    assert "there again" in controller.notice_undo() and verdicts() == ["alternative", ""]
    assert controller.notice_undo() == ""
    controller.take_back()
    assert verdicts() == ["", ""]
    with pytest.raises(RequestError, match="no verdict to take back"):
        controller.take_back()
    logic.Undo()
    controller.verdict("accept")
    controller.go(0)
    assert verdicts() == ["accept", ""], "a verdict given since is the one that holds"


def test_verdicts_of_before_are_taken_back_where_they_were_given(lib, added, controller):
    controller.go(0)
    controller.verdict("alternative")
    taken = labels_of(added)
    again = lib[0].ReviewController(controller.table, added.result)
    again.go(1)
    with pytest.raises(RequestError, match="this place has no verdict"):
        again.take_back()
    again.verdict("accept")
    again.take_back()
    again.go(0)
    assert "what it changed stays" in again.take_back() and [place.verdict for place in again.places][:2] == ["", ""]
    assert np.array_equal(labels_of(added), taken)


def test_a_change_of_segments_in_progress_is_undone_and_redone(added, controller):
    import slicer

    logic, segmentation = controller.writer.logic, added.segmentationNode.GetSegmentation()
    states = slicer.vtkSlicerSegmentationsModuleLogic
    for number in range(segmentation.GetNumberOfSegments()):  # as Slicer's own effects leave them
        states.SetSegmentStatus(segmentation.GetNthSegment(number), states.InProgress)
    before = labels_of(added)
    controller.go(0)
    controller.verdict("alternative")
    taken = labels_of(added)
    for move, expected in ((logic.Undo, before), (logic.Redo, taken), (logic.Undo, before)):
        move()
        controller.notice_undo()
        assert np.array_equal(labels_of(added), expected)


def test_what_was_accepted_goes_and_comes_with_the_change_that_was_accepted(added, controller):
    logic, before = controller.writer.logic, labels_of(added)
    for key in ("alternative", "accept"):
        controller.go(0)
        controller.verdict(key)
    taken = labels_of(added)
    logic.Undo()
    assert "was undone" in controller.notice_undo() and controller.places[0].verdict == ""
    assert np.array_equal(labels_of(added), before) and controller.judged == 0
    logic.Redo()
    assert "there again" in controller.notice_undo() and controller.places[0].verdict == "accept"
    assert np.array_equal(labels_of(added), taken)
    controller.take_back()
    assert controller.places[0].verdict == "alternative" and np.array_equal(labels_of(added), taken)
    logic.Undo()
    controller.notice_undo()
    logic.Redo()
    controller.notice_undo()
    assert controller.places[0].verdict == "alternative", "what was taken back by itself does not come with it"


def test_several_undos_at_once_take_as_many_verdicts_back(added, controller):
    before, logic = labels_of(added), controller.writer.logic
    controller.go(0)
    for _ in range(2):
        controller.verdict("alternative")
    logic.Undo()
    logic.Undo()
    assert "was undone" in controller.notice_undo() and controller.places[0].verdict == ""
    with pytest.raises(RequestError, match="no verdict to take back"):
        controller.take_back()
    assert np.array_equal(labels_of(added), before)
    logic.Redo()
    logic.Redo()
    assert "there again" in controller.notice_undo() and controller.places[0].verdict == "alternative"
    controller.take_back()
    assert controller.places[0].verdict == "alternative"
    controller.take_back()
    assert controller.places[0].verdict == "" and np.array_equal(labels_of(added), before)


@pytest.mark.parametrize("is_open", [False, True])
def test_reviewed_segments_are_a_users_also_after_undo(added, controller, is_open):
    """The Segment Editor's undo takes the status of a segment away with a stroke of before."""
    import slicer
    from MedSegDiffSlicerLib.nodes.result_nodes import kept_segments

    node, logic = added.segmentationNode, controller.writer.logic
    logic.SetSegmentationNode(node)
    logic.SaveStateForUndo()
    first = node.GetSegmentation().GetNthSegmentID(0)
    painted = slicer.util.arrayFromSegmentBinaryLabelmap(node, first, added.volumeNode).copy()
    painted[0, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(painted, node, first, added.volumeNode)
    for row in range(len(controller.places)):
        controller.go(row)
        controller.verdict("accept")
    completed = slicer.vtkSlicerSegmentationsModuleLogic.Completed
    assert status_of(node) == [completed] * 2
    logic.Undo()
    if is_open:
        controller.notice_undo()
        assert status_of(node) == [completed] * 2
    assert {first, node.GetSegmentation().GetNthSegmentID(1)} <= set(kept_segments(node))


def test_taking_back_restores_segments_and_verdict(added, controller):
    before = labels_of(added)
    controller.go(0)
    controller.verdict("accept")
    assert controller.current == 1
    controller.verdict("alternative")
    one = labels_of(added)
    if len(opinions_at(added, np.ones(SHAPE, bool))) > 1:
        controller.verdict("alternative")
        controller.take_back()
    assert np.array_equal(labels_of(added), one) and controller.places[1].verdict == "alternative"
    controller.take_back()
    assert np.array_equal(labels_of(added), before) and controller.places[1].verdict == ""
    controller.next()
    controller.take_back()
    assert (controller.current, controller.places[0].verdict) == (0, "")
    with pytest.raises(RequestError, match="no verdict to take back"):
        controller.take_back()


def test_what_masking_does_not_let_be_taken_back_keeps_its_verdict(added, controller):
    from MedSegDiffSlicerLib.nodes.segment_writer import editor_node

    before, settings = labels_of(added), editor_node(added.segmentationNode.GetScene())
    controller.go(0)
    controller.verdict("alternative")
    settings.SetSourceVolumeIntensityMask(True)
    settings.SetSourceVolumeIntensityMaskRange(50, 100)  # none of the scan's
    with pytest.raises(RequestError, match="masking"):
        controller.take_back()
    assert controller.places[0].verdict == "alternative" and (labels_of(added) != before).any()
    settings.SetSourceVolumeIntensityMask(False)
    controller.take_back()
    assert controller.places[0].verdict == "" and np.array_equal(labels_of(added), before)


def test_status_follows_the_verdicts(lib, added, controller):
    import slicer

    logic = slicer.vtkSlicerSegmentationsModuleLogic
    node = added.segmentationNode
    rows = {label: [r for r, p in enumerate(controller.places) if p.label == label] for label in (1, 2)}
    assert status_of(node) == [logic.NotStarted, logic.NotStarted] and min(map(len, rows.values())) > 1
    controller.go(rows[1][0])
    controller.verdict("accept")
    assert status_of(node) == [logic.InProgress, logic.NotStarted]
    for row in rows[1][1:]:
        controller.go(row)
        controller.verdict("accept")
    assert status_of(node) == [logic.Completed, logic.NotStarted]
    for row in rows[2]:
        controller.go(row)
        controller.verdict("repaint")
    assert status_of(node) == [logic.Completed, logic.Flagged]
    for row in rows[2]:
        controller.go(row)
        text = controller.verdict("accept")
    assert status_of(node) == [logic.Completed, logic.Completed]
    assert text == f"All {len(controller.places)} places are judged."


def test_status_that_the_user_set_stays(lib, scene, added, controller, make_result):
    import slicer
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    logic, node = slicer.vtkSlicerSegmentationsModuleLogic, added.segmentationNode
    first, second = (node.GetSegmentation().GetNthSegment(number) for number in range(2))
    for segment in (first, second):
        logic.SetSegmentStatus(segment, logic.Completed)
    controller.go_on()
    assert status_of(node) == [logic.Completed] * 2
    for row, place in enumerate(controller.places):
        if place.label == 1:
            controller.go(row)
            controller.verdict("accept")
    logic.SetSegmentStatus(first, logic.Flagged)
    logic.SetSegmentStatus(second, logic.InProgress)
    controller.notice_undo()
    assert status_of(node) == [logic.Flagged, logic.InProgress]
    again = add_result(scene, make_result(SHAPE, GRID), added.volumeNode, segmentation_node=node)
    assert again.kept == ["alpha (kept)", "beta (kept)"]


def test_what_was_judged_last_is_taken_back_first_after_undo_and_redo(controller):
    logic = controller.writer.logic
    for row in (1, 0):
        controller.go(row)
        controller.verdict("alternative")
    for move in (logic.Undo, logic.Redo):
        move()
        move()
        controller.notice_undo()
    controller.take_back()
    assert [place.verdict for place in controller.places[:2]] == ["", "alternative"]


def test_what_is_to_be_repainted_is_not_judged_yet(controller):
    count = len(controller.places)
    for row in range(count):
        controller.go(row)
        text = controller.verdict("repaint" if row in (1, 3) else "accept")
    assert controller.judged == count - 2 and controller.current == 1 and text == "Accepted."
    controller.verdict("accept")
    assert controller.current == 3
    assert controller.verdict("accept") == f"All {count} places are judged." and controller.judged == count
