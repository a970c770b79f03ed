"""The section 'Batch' of the panel, its widgets being stand-ins: what it tells the log, and which buttons it offers."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from medsegdiff.errors import RequestError


@pytest.fixture
def section(scene, monkeypatch):
    """The section; `told` holds what it gave for the log, `logic` starts its batches."""
    import slicer

    monkeypatch.setitem(sys.modules, "qt", MagicMock())
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda _text: None)
    monkeypatch.setattr(slicer, "app", SimpleNamespace(layoutManager=lambda: None), raising=False)
    for name in ("view.slice_views", "view.volume_table", "view.timers"):
        monkeypatch.setitem(sys.modules, f"MedSegDiffSlicerLib.{name}", MagicMock())
    for name in ("batch", "fitting_label"):
        monkeypatch.delitem(sys.modules, f"MedSegDiffSlicerLib.panel.{name}", raising=False)
    from MedSegDiffSlicerLib.panel.batch import SCANS, BatchSection

    monkeypatch.setattr(sys.modules[BatchSection.__module__], "batch_call", lambda *_asked: "logic.startBatch()")
    told, logic, ui = [], MagicMock(), MagicMock()
    ui.batchKindComboBox.itemData.side_effect = lambda _index: SCANS
    ui.batchTable.rowCount = 0
    made = BatchSection(
        ui, logic, lambda: ("m", {}, (), []), lambda then: then(), told.append, told.append, lambda: None, None
    )
    made._listed = None, [], ""
    made._cases = [("one", [None]), ("two", [None])]
    monkeypatch.setattr(made, "_ticked", lambda: [0, 1])
    yield SimpleNamespace(it=made, ui=ui, told=told, logic=logic)
    for name in ("batch", "fitting_label"):
        sys.modules.pop(f"MedSegDiffSlicerLib.panel.{name}", None)


def batch_of(*states):
    """A batch whose cases have these states."""
    from MedSegDiffSlicerLib.jobs.batch import FAILED, Batch, Case

    cases = [Case(f"case {number}", None, state) for number, state in enumerate(states, 1)]
    for case in cases:
        case.error = RequestError("no brain") if case.state == FAILED else None
    return Batch(cases)


def test_log_is_told_of_every_case(section):
    section.logic.startBatch.return_value = batch_of("done", "failed")
    section.it._run()
    assert "startBatch" in section.told[0] and section.told[-1] == "case 1: done\ncase 2: failed (no brain)"
    section.it.batch = batch_of("failed", "cancelled")
    section.it._on_finished(section.it.batch)
    assert section.told[-1] == "case 1: failed (no brain)\ncase 2: cancelled"


def test_log_is_told_why_a_batch_did_not_begin(section):
    section.logic.startBatch.side_effect = RequestError("no such model")
    section.it._run()
    assert "startBatch" in section.told[0] and section.told[-1] == "refused: no such model"


@pytest.mark.parametrize(("rows", "possible"), [([0, None], False), ([None, 0], True), ([None, None], False)])
def test_batch_is_resumed_where_a_case_that_failed_is_listed(section, rows, possible):
    section.it.batch, section.it._rows = batch_of("done", "failed"), rows
    section.it._update_buttons()
    assert section.ui.batchResumeButton.enabled is possible
    section.it._ticked = lambda: []
    section.it._update_buttons()
    assert section.ui.batchResumeButton.enabled is False


def test_a_closed_scene_leaves_nothing_of_its_batch(section):
    batch = section.it.batch = batch_of("done", "running")
    section.it._cases, told = [("a", ["its volume"])], list(section.told)
    section.it.forget()
    assert section.it._cases == []
    assert section.it.batch is None and not section.it.is_running and batch._cancel_asked
    table = section.ui.batchTable
    table.resizeRowsToContents.reset_mock()
    section.it._on_finished(batch)
    table.resizeRowsToContents.assert_not_called()
    assert section.told == told, "the log is of what was begun since"


def test_renamed_volumes_keep_their_states_and_stay_unticked(section, monkeypatch, make_volume):
    import numpy as np
    import slicer
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    channels = [{"name": "T1"}]
    volumes = [make_volume(np.zeros((2, 2, 2), np.int16), name=name) for name in ("one", "two")]
    section.it._asked = lambda: ("m", {}, channels, [])
    section.ui.batchCollapsibleButton.collapsed = False
    section.it._cases = possible_cases(slicer.mrmlScene, channels)
    section.it._listed, section.it._begun = (None, section.it._cases, ""), (None, section.it._cases)
    section.it.batch, section.it._rows, ticks = batch_of("failed", "done"), [0, 1], []
    monkeypatch.setattr(section.it, "_ticked", lambda: [0])
    monkeypatch.setattr(section.it, "_list", lambda given, _why: ticks.append(given))
    volumes[1].SetName("two, better")
    section.it.update()
    assert ticks == [[True, False]] and section.it._rows == [0, 1]
    assert section.it._cases[1][0] == "two, better" and section.ui.batchResumeButton.enabled


def test_a_case_that_waits_for_another_run_is_told_to_wait(section, monkeypatch):
    shown, batch = {}, batch_of("done", "running")

    def set_text(_table, row: int, column: int, text: str, _more: str = "") -> None:
        shown[row, column] = text

    monkeypatch.setattr(sys.modules[type(section.it).__module__], "_set_text", set_text)
    section.it.batch, section.it._rows = batch, [0, 1]
    for fraction, told in ((0.0, "waiting"), (0.25, "running 25 %")):
        batch.cases[1].fraction = fraction
        section.it._show_states(batch)
        assert shown[1, 1] == told and shown[0, 1] == "done"
