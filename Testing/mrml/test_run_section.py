"""A run of the panel that cannot begin, its widgets being stand-ins."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

from medsegdiff.errors import RequestError


def test_log_is_told_why_a_run_did_not_begin(scene, monkeypatch):
    for name in ("view.slice_views", "view.timers", "panel.result", "panel.support"):
        monkeypatch.setitem(sys.modules, f"MedSegDiffSlicerLib.{name}", MagicMock())
    monkeypatch.delitem(sys.modules, "MedSegDiffSlicerLib.panel.run", raising=False)
    from MedSegDiffSlicerLib.panel.run import RunSection

    logic, support, tell = MagicMock(), SimpleNamespace(call="", outcome=""), MagicMock()
    logic.startSegmentation.side_effect = RequestError("no such model")
    RunSection(MagicMock(), logic, lambda: ("m", {}, (), [None]), support, None, tell, None).start()
    sys.modules.pop("MedSegDiffSlicerLib.panel.run")
    assert "model='m'" in support.call and support.outcome == "refused: no such model"
    tell.assert_called_once_with("no such model", isError=True)
