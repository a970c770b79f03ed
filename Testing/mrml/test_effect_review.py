"""The effect's Review, Qt and the panel being stand-ins: what it says where nothing is doubtful."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

SHAPE = (24, 20, 16)


class AtOnce:
    """A background whose answers are there at once."""

    def forget(self, *_topics): ...

    def ask(self, _topic, work, done, _failed):
        for _step in done(work()) or ():
            pass


@pytest.fixture
def review(scene, make_volume, make_result, monkeypatch):
    """A review whose panel finds the places only when `found()` is called: `sure` tells that there are none. `said` is
    what was said, `look()` what the timer does, `applied` what was written."""
    import slicer

    monkeypatch.setitem(sys.modules, "qt", MagicMock())
    for name in ("view.gui_background", "effect.reviewing"):
        monkeypatch.delitem(sys.modules, f"MedSegDiffSlicerLib.{name}", raising=False)
    from MedSegDiffSlicerLib.effect.reviewing import EffectReview
    from MedSegDiffSlicerLib.nodes.segments import LABEL_TAG
    from MedSegDiffSlicerLib.review.table import Findings, add, begun, findings

    volume, node = make_volume(np.zeros(SHAPE, np.int16)), scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.GetSegmentation().AddEmptySegment("alpha", "alpha")
    node.GetSegmentation().GetSegment("alpha").SetTag(LABEL_TAG, "1")
    given, said = [], []
    applied = SimpleNamespace(
        holds=True, frame=None, segmentation=node, volume=volume, labels={1: "alpha"}, verdicts=[],
        stand_for_labels=lambda: None, result=lambda _labels: make_result(SHAPE),
    )  # fmt: skip

    def found(sure):
        if begun(slicer.mrmlScene, given[-1]) is None:
            none = Findings([], np.zeros(SHAPE, np.uint8, order="F"))
            add(slicer.mrmlScene, given[-1], none if sure else findings(given[-1])())

    panel = SimpleNamespace(review=given.append, forget=lambda _segmentation: said.append("forgotten"))
    made = EffectReview(lambda: panel, AtOnce(), said.append, said.append)
    yield SimpleNamespace(
        begin=lambda: made.begin(applied), found=found, look=made._look, said=said, given=given, applied=applied,
        verdicts=made.verdicts, made=made,
    )  # fmt: skip
    for name in ("view.gui_background", "effect.reviewing"):
        sys.modules.pop(f"MedSegDiffSlicerLib.{name}", None)  # which have the stand-ins in them


def test_it_is_said_once_each_time_that_nothing_is_doubtful(review):
    for count in (1, 2):
        review.begin()
        assert len(review.given) == count
        if count == 1:
            review.look()
            assert review.said == [], "nobody knows yet"
        review.found(sure=True)
        for _ in range(2):
            review.look()
        assert review.said == ["No place is doubtful."] * count


def test_it_is_of_the_frame_that_was_applied(review):
    from MedSegDiffSlicerLib.nodes.frame import FRAME

    review.applied.frame = "time 0 ms"  # and the scan shows another one by now
    review.begin()
    assert review.applied.segmentation.GetAttribute(FRAME) == "time 0 ms"


def test_nothing_is_said_where_there_are_places(review):
    review.begin()
    review.found(sure=False)
    review.look()
    assert review.said == []


def test_a_review_whose_places_never_came_is_let_go(review):
    """With the result, which may be large."""
    review.begin()
    review.applied.holds = False
    review.look()
    assert review.made._begun is None and not review.made._handed


def test_undo_of_a_later_apply_brings_the_verdicts_back_into_the_scene(review, scene):
    """Where they are saved with it, also before the review is asked for again."""
    from MedSegDiffSlicerLib.review.table import find_review, set_verdict, verdicts_of

    node = review.applied.segmentation
    review.begin()
    review.found(sure=False)
    set_verdict(find_review(scene, node), 0, "accept")
    before = verdicts_of(scene, node)
    review.applied.holds = False  # another Apply
    review.look()
    assert verdicts_of(scene, node) == []
    review.applied.holds = True  # undone
    for _ in range(2):
        review.look()
    assert verdicts_of(scene, node) == before and before.count("accept") == 1
    assert len(review.given) == 1, "the review begins when it is asked for"
    review.applied.holds = False
    review.look()
    scene.RemoveNode(node)
    review.look()
    assert not review.made._undone


@pytest.mark.parametrize("of_panel", [False, True])
def test_another_run_into_the_segmentation_is_not_the_effects_to_take_back(
    review, scene, make_result, monkeypatch, of_panel
):
    import slicer
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.slicer_result import RUN, nodes_of_run

    asked = []
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, _title: asked.append(text), raising=False
    )  # fmt: skip
    review.begin()
    node = review.applied.segmentation
    if of_panel:
        add_result(scene, make_result(SHAPE, seed=9), review.applied.volume, node)
        left = nodes_of_run(scene, node)
        review.begin()
        assert len(asked) == 1 and len(review.given) == 1, "the user did not want it"
    review.applied.holds = False
    review.look()
    assert nodes_of_run(scene, node) == (left if of_panel else [])
    assert (node.GetAttribute(RUN) is not None) is of_panel
    assert review.said == ([] if of_panel else ["forgotten"])
