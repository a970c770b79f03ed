"""Review and Segment Editor's undo, with its real logic: what was undone, or is to be redone, stays whole."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from segment_editor import LogicEditor

SHAPE = (24, 20, 16)


class Later:
    """A background whose answers come when `deliver` is called."""

    def __init__(self):
        self.asked = {}

    def forget(self, *topics):
        for topic in topics:
            self.asked.pop(topic, None)

    def ask(self, topic, work, done, _failed):
        self.asked[topic] = work, done

    def deliver(self, between=lambda: None) -> None:
        """between(): after each step."""
        while self.asked:
            work, done = self.asked.pop(next(iter(self.asked)))
            for _step in done(work()) or ():
                between()


@pytest.fixture
def editing(scene, make_volume, make_result, monkeypatch):
    """A panel's result (seed 3) in the Segment Editor, and the effect: apply(seed) gives what it wrote."""
    for name in ("qt", "ctk"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    for name in ("view.gui_background", "effect.reviewing"):
        monkeypatch.delitem(sys.modules, f"MedSegDiffSlicerLib.{name}", raising=False)
    import slicer
    from MedSegDiffSlicerLib.effect import applying
    from MedSegDiffSlicerLib.effect.reviewing import EffectReview
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_asked: True, raising=False)
    volume = make_volume(np.zeros(SHAPE, np.int16))
    node = add_result(scene, make_result(SHAPE, seed=3), volume).segmentationNode
    editor, background = LogicEditor(scene, node, volume), Later()
    editor.node.SetAndObserveSegmentationNode(node)
    monkeypatch.setattr(applying, "EffectEditor", lambda _effect: editor)
    effect = SimpleNamespace(parameterSetNode=lambda: editor.node)

    def apply(seed: int):
        result = make_result(SHAPE, seed=seed)
        moved = np.asfortranarray(np.roll(result.labelmap, seed, 1))
        result = replace(result, labelmap=moved).with_statistics()
        session = SimpleNamespace(
            labelmap=result.labelmap, volume=volume, result=result, fusion="mean", threshold=None, box=whole(volume),
            check_current=lambda: None,
        )  # fmt: skip
        return applying.apply(effect, session, SimpleNamespace(target=lambda: applying.EACH), None)

    review = EffectReview(lambda: MagicMock(), background, print, print)
    yield SimpleNamespace(scene=scene, node=node, logic=editor.logic, apply=apply, background=background, review=review)
    for name in ("view.gui_background", "effect.reviewing"):
        sys.modules.pop(f"MedSegDiffSlicerLib.{name}", None)


def state(editing) -> tuple:
    """What the node tells, its segments, and what belongs to it."""
    from MedSegDiffSlicerLib.nodes.segment_numbers import voxels_in
    from MedSegDiffSlicerLib.nodes.slicer_result import nodes_of_run

    segmentation = editing.node.GetSegmentation()
    segments = [segmentation.GetSegment(id) for id in segmentation.GetSegmentIDs()]
    told = [editing.node.GetAttribute(f"MedSegDiff.{name}") for name in ("Model", "Seed", "Run")]
    left = sorted(node.GetName() for node in nodes_of_run(editing.scene, editing.node))
    return told, [(segment.GetName(), voxels_in(segment)) for segment in segments], left


def test_what_is_undone_while_the_review_is_worked_out_changes_nothing(editing):
    for steps in (0, 1, 2):
        before = state(editing)
        editing.review.begin(editing.apply(9))
        undo = iter([*[lambda: None] * (steps - 1), editing.logic.Undo, *[lambda: None] * 99])
        if steps == 0:
            editing.logic.Undo()
            undo = iter([lambda: None] * 99)
        editing.background.deliver(between=lambda undo=undo: next(undo)())
        editing.review._look()
        assert state(editing) == before
        editing.logic.Redo()
        assert state(editing)[1] != before[1], "it can be redone"
        editing.logic.Undo()


def test_verdicts_that_undo_brings_back_leave_what_can_be_redone(editing):
    from MedSegDiffSlicerLib.review.table import add, find_review, findings, set_verdict, verdicts_of

    editing.review.begin(editing.apply(9))
    editing.background.deliver()
    added = editing.review._handed[editing.node][1]
    set_verdict(add(editing.scene, added, findings(added)()), 0, "accept")
    first = state(editing)
    editing.apply(11)
    editing.review._look()
    second = state(editing)
    assert find_review(editing.scene, editing.node) is None and second[1] != first[1]
    for _ in range(2):
        editing.logic.Undo()
        editing.review._look()
        editing.background.deliver()
        assert verdicts_of(editing.scene, editing.node)[0] == "accept" and state(editing) == first
        editing.logic.Redo()
        editing.review._look()
        assert state(editing)[1] == second[1] and find_review(editing.scene, editing.node) is None
    editing.logic.Undo()
    editing.review._look()
    editing.logic.Undo()  # before it is brought back: the panel's segments
    editing.background.deliver()
    editing.review._look()
    assert find_review(editing.scene, editing.node) is None and state(editing)[0][1] == "3"
    editing.logic.Redo()
    editing.review._look()
    editing.background.deliver()
    assert verdicts_of(editing.scene, editing.node)[0] == "accept" and state(editing)[1] == first[1]
