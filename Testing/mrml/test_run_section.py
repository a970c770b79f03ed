"""A run of the panel, its widgets being stand-ins."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from medsegdiff.errors import RequestError


@pytest.fixture
def make(scene, monkeypatch):
    """A section of a logic, with a support section, and what tells the user."""
    for name in ("view.slice_views", "view.timers", "panel.result", "panel.support"):
        monkeypatch.setitem(sys.modules, f"MedSegDiffSlicerLib.{name}", MagicMock())
    monkeypatch.delitem(sys.modules, "MedSegDiffSlicerLib.panel.run", raising=False)
    from MedSegDiffSlicerLib.panel.run import RunSection

    def make(logic, support, tell, volume=None, **arguments):
        result, asked = SimpleNamespace(stages=lambda _result: [], told=[]), ("m", arguments, (), [volume])
        return RunSection(MagicMock(), logic, lambda: asked, support, result, tell, lambda: None)

    yield make
    sys.modules.pop("MedSegDiffSlicerLib.panel.run")


def test_log_is_told_why_a_run_did_not_begin(make):
    logic, support, tell = MagicMock(), SimpleNamespace(call="", outcome=""), MagicMock()
    logic.startSegmentation.side_effect = RequestError("no such model")
    make(logic, support, tell).start()
    assert "model='m'" in support.call and support.outcome == "refused: no such model"
    tell.assert_called_once_with("no such model", isError=True)


def test_a_result_tells_the_call_of_its_own_run(make, scene):
    """Whatever result or batch the user looked at meanwhile."""
    logic, support, node = MagicMock(), SimpleNamespace(call="", outcome=""), MagicMock()
    make(logic, support, MagicMock(), scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")).start()
    support.call = "of another result"
    finished = logic.startSegmentation.call_args.kwargs["onFinished"]
    finished(SimpleNamespace(error=None, result=SimpleNamespace(segmentationNode=node)))
    (name, call), _named = node.SetAttribute.call_args
    assert name == "MedSegDiff.Call" and "model='m'" in call


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_result_that_came_into_another_segmentation_says_so(make, scene, elsewhere):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    mine, other = (scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name) for name in ("mine", "other"))
    logic, tell = MagicMock(), MagicMock()
    section = make(logic, SimpleNamespace(call="", outcome=""), tell, volume, segmentationNode=mine)
    section.start()
    result = SimpleNamespace(
        segmentationNode=other if elsewhere else mine, report={"device": "cpu", "warnings": [], "segments": []}
    )
    job = SimpleNamespace(error=None, result=result, seconds=1.0)
    logic.startSegmentation.call_args.kwargs["onFinished"](job)
    section._do_stage()
    told = tell.call_args[0][0]
    assert told.startswith("Done in 1.0 s")
    assert ("It is in 'other': 'mine' was reviewed or edited meanwhile." in told) is elsewhere
