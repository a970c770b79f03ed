"""A job's events become callbacks and nodes; deleting the input, or closing the scene, ends it without harm."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.errors import Cancelled, JobError, RequestError
from medsegdiff.worker.client import Event

SHAPE = (24, 20, 16)


class ScriptedJob:
    """A worker's job whose events a test gives one by one."""

    def __init__(self):
        self.events, self.cancelled = [], False

    def poll(self):
        events, self.events = self.events, []
        return events

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def run(scene, make_volume, make_result):
    """The volume, the scripted job, its controller, and the lists of what its callbacks were told."""
    from types import SimpleNamespace

    from MedSegDiffSlicerLib.jobs.controller import SegmentationJob
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    volume, worker_job, progress, ends = make_volume(np.zeros(SHAPE, np.int16)), ScriptedJob(), [], []
    controller = SegmentationJob(
        worker_job, [volume], lambda result: add_result(scene, result, volume),
        lambda *told: progress.append(told), ends.append,
    )  # fmt: skip
    return SimpleNamespace(
        volume=volume, job=worker_job, controller=controller, progress=progress, ends=ends, result=make_result(SHAPE)
    )


def test_progress_then_result(run):
    run.job.events = [Event("progress", 0.25, "sample 2 of 8", 6.0), Event("result", result=run.result)]
    run.controller.pump()
    assert run.progress == [(0.25, "sample 2 of 8", 6.0)]
    assert run.ends == [run.controller] and run.controller.finished
    assert run.controller.wait() is run.controller.result
    assert run.controller.result.report["model"] == "toy"
    assert run.controller.result.segmentationNode.GetSegmentation().GetNumberOfSegments() == 3


def test_waiting_for_another_run_is_told_until_it_begins(run):
    run.controller.tell_waiting()
    run.controller.pump()
    assert run.progress == [(0.0, "Waiting for the run before...", None)]
    run.job.events = [Event("progress", 0.1, "Loading the model")]
    run.controller.pump()
    assert run.progress[1:] == [(0.1, "Loading the model", None)]


@pytest.mark.parametrize(
    ("event", "kind", "cancelled"),
    [
        (Event("cancelled"), Cancelled, True),
        (Event("died", message="it died"), JobError, False),
        (Event("error", message="it failed"), JobError, False),
        (Event("error", message="two channels", unusable=True), RequestError, False),
    ],
)
def test_other_ends_leave_the_scene_untouched(run, scene, ids, event, kind, cancelled):
    before = ids(scene)
    run.job.events = [event]
    with pytest.raises(kind, match=event.message or "cancelled"):
        run.controller.wait()
    assert ids(scene) == before
    assert run.controller.cancelled is cancelled and run.ends == [run.controller]


@pytest.mark.parametrize("unusable", [True, False])
def test_a_refused_request_leaves_no_traceback_in_the_log(run, caplog, unusable):
    run.job.events = [Event("error", message="no", details="Traceback ...", unusable=unusable)]
    with pytest.raises(RequestError if unusable else JobError, match="no"):
        run.controller.wait()
    assert ("Traceback" in caplog.text) is not unusable


def test_result_that_comes_after_cancel_was_pressed_is_dropped(run, scene, ids):
    before = ids(scene)
    run.job.events = [Event("result", result=run.result)]
    run.controller.cancel()
    run.controller.pump()
    assert run.controller.cancelled and run.ends == [run.controller]
    assert ids(scene) == before


def test_nodes_that_come_little_by_little(run, scene, ids):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import ResultAdding

    run.controller._add_nodes = lambda result: ResultAdding(scene, result, run.volume, ahead=True)
    run.job.events = [Event("result", result=run.result)]
    added = run.controller.wait(20)
    assert run.ends == [run.controller] and len(added.nodes()) == 3 + 1 + 3


@pytest.mark.parametrize("end", ["cancel", "remove", "fail"])
def test_ends_while_nodes_are_added_leave_the_scene_as_it_was(run, scene, ids, monkeypatch, end):
    from MedSegDiffSlicerLib.jobs import controller
    from MedSegDiffSlicerLib.nodes import nodes_from_result
    from MedSegDiffSlicerLib.nodes.overlay import color_table

    color_table(scene)
    before = ids(scene)
    monkeypatch.setattr(controller, "SHARE", 0)  # one step a pump
    run.controller._add_nodes = lambda result: nodes_from_result.ResultAdding(scene, result, run.volume)
    run.job.events = [Event("result", result=run.result)]
    for _ in range(3):
        run.controller.pump()
    assert len(ids(scene)) > len(before) and not run.controller.finished
    if end == "cancel":
        run.controller.cancel()
    elif end == "remove":
        scene.RemoveNode(run.volume)
    else:
        monkeypatch.setattr(nodes_from_result, "write_segments", lambda *_: 1 / 0)
    while not run.controller.finished:
        run.controller.pump()
    assert run.controller.cancelled is (end == "cancel") and run.ends == [run.controller]
    left = [node.GetID() for node in scene.GetNodes() if node.GetAttribute("MedSegDiff.Model")]
    assert left == []
    if end != "remove":
        assert ids(scene) == before


@pytest.mark.parametrize("end", ["cancel", "remove"])
def test_an_earlier_result_is_replaced_completely_or_not_at_all(run, scene, ids, monkeypatch, end):
    """Whenever the run that goes into its segmentation is ended."""
    from MedSegDiffSlicerLib.jobs import controller
    from MedSegDiffSlicerLib.nodes.nodes_from_result import ResultAdding, add_result

    monkeypatch.setattr(controller, "SHARE", 0)  # one step a pump
    earlier = add_result(scene, run.result, run.volume)
    before, table, turns, replaced = ids(scene), earlier.statisticsTableNode, 0, False
    while not replaced:
        turns, run.job.events = turns + 1, [Event("result", result=run.result)]
        job = controller.SegmentationJob(
            run.job, [run.volume], lambda result: ResultAdding(scene, result, run.volume, earlier.segmentationNode)
        )
        for _ in range(turns):
            job.pump()
        gone = not scene.IsNodePresent(table)
        job.cancel() if end == "cancel" else run.volume.GetScene().RemoveNode(run.volume)
        while not job.finished:
            job.pump()
        replaced = job.result is not None
        assert replaced == gone
        if end == "cancel":
            assert replaced or (job.cancelled and ids(scene) == before)
        else:
            scene.AddNode(run.volume)
    assert turns > 5


@pytest.mark.parametrize("turns", [0, 3])
def test_volume_that_changes_before_or_while_nodes_are_added_gets_none(run, scene, ids, monkeypatch, turns):
    import slicer
    from MedSegDiffSlicerLib.jobs import controller
    from MedSegDiffSlicerLib.nodes.nodes_from_result import ResultAdding
    from MedSegDiffSlicerLib.nodes.overlay import color_table
    from MedSegDiffSlicerLib.nodes.unchanged import Unchanged

    color_table(scene)
    before = ids(scene)
    monkeypatch.setattr(controller, "SHARE", 0)  # one step a pump
    job = controller.SegmentationJob(
        run.job, [run.volume], lambda result: ResultAdding(scene, result, run.volume),
        check=Unchanged([run.volume]).check,
    )  # fmt: skip
    run.job.events = [Event("result", result=run.result)]
    for _ in range(turns):
        job.pump()
    slicer.util.updateVolumeFromArray(run.volume, np.ones(SHAPE[::-1], np.int16))
    job.pump()
    assert isinstance(job.error, RequestError) and "'scan' has changed since the run" in str(job.error)
    assert ids(scene) == before


def test_result_that_cannot_be_added_is_an_error(run, scene, ids):
    before = ids(scene)
    run.job.events = [Event("result", result=object())]
    run.controller.pump()
    assert isinstance(run.controller.error, JobError) and "could not be added" in str(run.controller.error)
    assert ids(scene) == before


def test_previews_reach_their_callback_until_cancel_is_pressed(run):
    seen = []
    run.controller._onPreview = lambda *told: seen.append(told)
    labelmap = np.ones(SHAPE, np.uint8)
    two = [Event("preview", labelmap=labelmap, opinions=number) for number in (1, 2)]
    run.job.events = [Event("progress", 0.2, "first"), *two, Event("progress", 0.5, "half")]
    run.controller.pump()
    assert seen == [(labelmap, 1)] and len(run.progress) == 1, "a picture a turn of the event loop"
    run.controller.pump()
    assert seen == [(labelmap, 1), (labelmap, 2)] and not run.controller.finished
    run.controller.pump()
    assert len(run.progress) == 2
    run.controller.cancel()
    run.job.events = [Event("preview", labelmap=labelmap, opinions=3), Event("cancelled")]
    run.controller.pump()
    assert len(seen) == 2 and run.controller.cancelled


@pytest.mark.parametrize("close", [False, True])
def test_removing_the_input_stops_the_job(run, scene, close):
    if close:
        scene.Clear(0)
    else:
        scene.RemoveNode(run.volume)
    run.job.events = [Event("result", result=run.result)]
    run.controller.pump()
    assert run.job.cancelled
    assert isinstance(run.controller.error, JobError) and "removed meanwhile" in str(run.controller.error)
    assert scene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None


def test_faulty_callback_does_not_stop_the_job(run, caplog):
    run.controller._onProgress = lambda *_: 1 / 0
    run.job.events = [Event("progress", 0.5, "half"), Event("result", result=run.result)]
    run.controller.pump()
    assert run.controller.result is not None
    assert "callback failed" in caplog.text


def test_wait_keeps_the_application_alive_and_gives_up_in_time(run):
    turns = []
    run.controller.process_events = lambda: turns.append(1)
    with pytest.raises(TimeoutError):
        run.controller.wait(timeout=0.05)
    assert turns and not run.controller.finished


def test_scene_may_be_closed_in_the_last_turn(run, scene):
    from MedSegDiffSlicerLib.jobs.controller import SegmentationJob
    from MedSegDiffSlicerLib.nodes.nodes_from_result import ResultAdding

    run.job.events = [Event("result", result=run.result)]
    job = SegmentationJob(run.job, [run.volume], lambda result: ResultAdding(scene, result, run.volume))
    while job._complete is None:
        job.pump()
    scene.Clear(0)
    job.pump()
    assert job.result is None and "was removed meanwhile" in str(job.error)
