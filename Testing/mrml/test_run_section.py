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

    def make(logic, support, tell, volume=None):
        result = SimpleNamespace(stages=lambda _result: [], told=[])
        return RunSection(MagicMock(), logic, lambda: ("m", {}, (), [volume]), support, result, tell, lambda: None)

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
