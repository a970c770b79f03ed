"""The opinions between Run and Apply: run, preview, rules, cancellation, errors; what is late is not heard."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from medsegdiff.errors import JobError, RequestError
from medsegdiff.inference.request import SegmentRequest

SHAPE = (24, 20, 16)


class ScriptedStart:
    """A module logic's startOpinions whose jobs a test ends by hand."""

    def __init__(self):
        self.jobs = []

    def __call__(self, image, request, progress, preview, finished, volumes):
        job = SimpleNamespace(
            image=image, request=request, progress=progress, preview=preview, error=None, result=None, seconds=1.5,
            cancelled=False, volumes=volumes,
        )  # fmt: skip

        def end(result=None, error=None):
            job.result, job.error = result, error
            finished(job)

        job.end, job.cancel = end, lambda: setattr(job, "cancelled", True)
        self.jobs.append(job)
        return job


@pytest.fixture
def case(make_volume):
    """A session, its scripted start, a volume, and the number of times that a change was told."""
    from MedSegDiffSlicerLib.jobs.background import Background
    from MedSegDiffSlicerLib.jobs.opinions_session import OpinionsSession

    start, told = ScriptedStart(), []
    scan = np.random.default_rng(0).integers(0, 99, SHAPE).astype(np.int16)
    session = OpinionsSession(start, lambda: told.append(1), Background(patience=60), Background(patience=60))
    return SimpleNamespace(session=session, start=start, volume=make_volume(scan), told=told, scan=scan)


REQUEST = SegmentRequest("any", samples=4)


def run(case, box=None):
    from MedSegDiffSlicerLib.nodes.region_of_interest import whole

    case.session.run([case.volume], box or whole(case.volume), REQUEST)
    return case.start.jobs[-1]


def test_preview_then_result(case, make_result):
    job = run(case)
    assert case.session.running and case.session.labelmap is None and case.told
    job.progress(0.25, "sampling", 3.0)
    assert (case.session.fraction, case.session.message, case.session.seconds_left) == (0.25, "sampling", 3.0)
    first = np.ones(SHAPE, np.uint8)
    job.preview(first, 1)
    assert case.session.labelmap is first and case.session.opinions == 1
    result = make_result(SHAPE)
    job.end(result)
    assert not case.session.running and case.session.result is result and case.session.opinions == 4
    assert np.array_equal(case.session.labelmap, result.labelmap)
    case.session.check_current()


def test_only_the_region_is_sent_at_its_place(case):
    from MedSegDiffSlicerLib.nodes.region_of_interest import Box

    job = run(case, Box((3, 4, 5), (13, 20, 9)))
    assert np.array_equal(job.image.array[0], case.scan[3:13, 4:20, 5:9])
    assert job.image.affine[:3, 3].tolist() == [3, 4, 5]
    assert case.session.box.start == (3, 4, 5)


@pytest.mark.parametrize("fusion", ["mean", "majority", "staple", "multilabel-staple"])
@pytest.mark.parametrize("threshold", [None, 0.2, 0.8])
def test_rules_act_on_stored_opinions(case, make_result, fusion, threshold):
    result = make_result(SHAPE)
    run(case).end(result)
    case.session.set_rule(fusion, threshold)
    assert np.array_equal(case.session.labelmap, result.refuse(fusion, threshold).labelmap)
    assert len(case.start.jobs) == 1


def test_rule_chosen_before_the_run_holds_for_its_result(case, make_result):
    case.session.set_rule("majority", 0.3)
    result = make_result(SHAPE)
    run(case).end(result)
    assert np.array_equal(case.session.labelmap, result.refuse("majority", 0.3).labelmap)


def test_rule_that_there_is_not_changes_nothing(case, make_result):
    run(case).end(make_result(SHAPE))
    before = case.session.labelmap
    with pytest.raises(RequestError, match="threshold"):
        case.session.set_rule("mean", 2.0)
    assert case.session.labelmap is before and (case.session.fusion, case.session.threshold) == ("mean", None)


def test_cancel_leaves_nothing_and_late_answers_are_not_heard(case, make_result):
    job = run(case)
    job.preview(np.ones(SHAPE, np.uint8), 1)
    case.session.cancel()
    assert job.cancelled and not case.session.running and case.session.labelmap is None
    told = len(case.told)
    job.preview(np.ones(SHAPE, np.uint8), 2)
    job.end(make_result(SHAPE))
    assert case.session.labelmap is None and case.session.result is None and len(case.told) == told


def test_new_run_takes_the_place_of_the_one_under_way(case, make_result):
    first = run(case)
    second = run(case)
    assert first.cancelled and not second.cancelled
    first.end(make_result(SHAPE))
    assert case.session.running and case.session.result is None
    second.end(make_result(SHAPE))
    assert case.session.result is second.result


def test_run_that_cannot_begin_leaves_what_was_there(case, make_result, make_volume):
    run(case).end(make_result(SHAPE))
    result, before = case.session.result, case.volume
    before.GetScene().RemoveNode(case.volume)
    with pytest.raises(RequestError, match="no longer in the scene"):
        run(SimpleNamespace(session=case.session, start=case.start, volume=before), case.session.box)
    assert case.session.result is result


def test_failure_is_told_and_leaves_nothing(case):
    job = run(case)
    job.preview(np.ones(SHAPE, np.uint8), 1)
    job.end(error=JobError("it died"))
    assert str(case.session.error) == "it died" and case.session.labelmap is None and not case.session.running
    run(case)
    assert case.session.error is None


@pytest.mark.parametrize("what", ["none", "removed", "changed", "other image"])
def test_opinions_about_other_voxels_are_not_current(case, make_result, what):
    import slicer

    job = run(case)
    message = {"none": "no opinions yet", "removed": "removed meanwhile"}.get(what, "'scan' has changed since the run")
    if what != "none":
        job.end(make_result(SHAPE))
        case.session.check_current()
    if what == "removed":
        case.volume.GetScene().RemoveNode(case.volume)
    elif what == "changed":
        slicer.util.arrayFromVolume(case.volume)[0, 0, 0] += 1
        slicer.util.arrayFromVolumeModified(case.volume)
    elif what == "other image":
        slicer.util.updateVolumeFromArray(case.volume, np.zeros((3, 4, 5), np.int16))
    with pytest.raises(RequestError, match=message):
        case.session.check_current()


def test_a_run_knows_whether_its_volume_changes_meanwhile(case):
    import slicer

    case.session.check_unchanged()
    run(case)
    case.session.check_unchanged()
    slicer.util.arrayFromVolume(case.volume)[0, 0, 0] += 1
    slicer.util.arrayFromVolumeModified(case.volume)
    with pytest.raises(RequestError, match="'scan' has changed since the run"):
        case.session.check_unchanged()
    case.volume.GetScene().RemoveNode(case.volume)
    case.session.check_unchanged()


def test_moving_the_volume_keeps_its_opinions(case, make_result, make_transform):
    run(case).end(make_result(SHAPE))
    make_transform(case.volume, np.diag([1, 1, 2, 1.0]))
    case.session.check_current()
    with pytest.raises(RequestError, match="was moved since the run"):
        case.session.add_clicks(CLICKS)


CLICKS = [(4.0, 10.0, 8.0, 2), (1.0, 1.0, 1.0, 1), (12.0, 8.0, 6.0, 0)]


def voxel(click) -> tuple[int, ...]:
    return tuple(int(x) for x in click[:3])


def test_clicks_count_at_once_and_then_in_a_new_run(case, make_result):
    run(case).end(make_result(SHAPE))
    case.session.add_clicks(CLICKS[:1])
    assert case.session.labelmap[voxel(CLICKS[0])] == 2, "before the new run says anything"
    again = case.start.jobs[-1]
    assert len(case.start.jobs) == 2 and again.request.clicks == (CLICKS[0],) and again.request.samples == 4
    again.preview(np.zeros(SHAPE, np.uint8), 1)
    assert case.session.labelmap[voxel(CLICKS[0])] == 2, "previews of that run are no better"
    result = make_result(SHAPE).with_clicks(CLICKS[:1])
    again.end(result)
    assert case.session.result is result and not case.session.running


def test_clicks_during_a_run_wait_for_the_next_one(case, make_result):
    run(case).end(make_result(SHAPE))
    case.session.add_clicks(CLICKS[:1])
    case.session.add_clicks(CLICKS[1:2])
    assert len(case.start.jobs) == 2
    case.start.jobs[1].end(make_result(SHAPE).with_clicks(CLICKS[:1]))
    assert case.session.labelmap[voxel(CLICKS[1])] == 1, "the later click is not forgotten"
    assert len(case.start.jobs) == 3 and case.start.jobs[2].request.clicks == tuple(CLICKS[:2])


def test_clicks_are_taken_back(case, make_result):
    first = make_result(SHAPE)
    run(case).end(first)
    case.session.add_clicks(CLICKS)
    case.start.jobs[-1].end(make_result(SHAPE).with_clicks(CLICKS))
    case.session.undo_click(2)
    assert case.session.clicks == tuple(CLICKS[:1])
    assert np.array_equal(case.session.labelmap, first.with_clicks(CLICKS[:1]).labelmap)
    assert case.start.jobs[-1].request.clicks == tuple(CLICKS[:1])
    case.session.undo_click()
    case.start.jobs[-1].end(make_result(SHAPE).with_clicks(CLICKS[:1]))
    assert case.session.result is first and not case.session.running, "the first run's opinions are still there"
    case.session.undo_click()
    assert case.session.result is first


def test_new_run_that_fails_or_is_cancelled_leaves_what_the_clicks_gave(case, make_result):
    run(case).end(make_result(SHAPE))
    case.session.add_clicks(CLICKS[:1])
    shown = case.session.labelmap
    case.start.jobs[-1].end(error=JobError("it died"))
    assert case.session.labelmap is shown and str(case.session.error) == "it died"
    case.session.add_clicks(CLICKS[1:2])
    case.session.cancel()
    assert case.start.jobs[-1].cancelled and case.session.labelmap[voxel(CLICKS[1])] == 1


def test_clicks_that_a_new_run_does_not_respect_hold_all_the_same(case, make_result):
    run(case).end(make_result(SHAPE))
    case.session.add_clicks(CLICKS)
    case.start.jobs[-1].end(make_result(SHAPE))
    assert [case.session.labelmap[voxel(click)] for click in CLICKS] == [2, 1, 0]


def test_clicks_that_mean_nothing_change_nothing(case, make_result):
    with pytest.raises(RequestError, match="press Run first"):
        case.session.add_clicks(CLICKS)
    run(case).end(make_result(SHAPE))
    shown = case.session.labelmap
    with pytest.raises(RequestError):
        case.session.add_clicks([(1000.0, 0.0, 0.0, 1)])
    assert case.session.labelmap is shown and case.session.clicks == () and len(case.start.jobs) == 1
    assert case.session.add_clicks([CLICKS[0], (1000.0, 0.0, 0.0, 1)]) == 1, "a stroke that leaves the scan"
    assert case.session.clicks == (CLICKS[0],)


def settle(*backgrounds) -> None:
    while any(background.busy for background in backgrounds):
        for background in backgrounds:
            background.deliver()
        time.sleep(0.001)


@pytest.fixture
def patient(make_volume, make_result):
    """As `case`, after a run; nothing is answered at once."""
    from MedSegDiffSlicerLib.jobs.background import Background
    from MedSegDiffSlicerLib.jobs.opinions_session import OpinionsSession

    start, background, thorough = ScriptedStart(), Background(patience=0), Background(patience=0)
    session = OpinionsSession(start, lambda: None, background, thorough)
    case = SimpleNamespace(session=session, start=start, volume=make_volume(np.zeros(SHAPE, np.int16)))
    case.background, case.thorough, case.result = background, thorough, make_result(SHAPE)
    run(case).end(case.result)
    assert session.running and session.computing and session.result is None
    settle(background, thorough)
    assert session.result is case.result and not session.running and not session.computing
    return case


def test_what_takes_long_comes_later_and_nothing_after_the_end(patient, make_result):
    session, start, both = patient.session, patient.start, (patient.background, patient.thorough)
    shown = session.labelmap
    session.set_rule("majority", 0.3)
    session.add_clicks(CLICKS[:1])
    session.add_clicks(CLICKS[1:2])
    assert session.computing and session.labelmap is shown and session.clicks == tuple(CLICKS[:2])
    settle(*both)
    assert [session.labelmap[voxel(click)] for click in CLICKS[:2]] == [2, 1]
    start.jobs[-1].end(make_result(SHAPE).with_clicks(CLICKS[:1]))
    session.set_rule("mean", None)
    settle(*both)
    assert session.opinions == 4 and start.jobs[-1].request.clicks == tuple(CLICKS[:2])
    session.undo_click()
    session.clear()
    assert not any(background.busy for background in both) and not session.computing
    settle(*both)
    assert session.labelmap is None and session.result is None


def test_label_map_of_clicks_comes_before_their_numbers(patient):
    session, gate = patient.session, threading.Event()
    patient.thorough.ask("something else", lambda: gate.wait(10), lambda _answer: None)
    for number, click in enumerate(CLICKS, start=1):
        session.add_clicks([click])
        settle(patient.background)
        assert np.array_equal(session.labelmap, patient.result.with_clicks(CLICKS[:number]).labelmap)
    session.set_rule("majority", None)
    settle(patient.background)
    expected = patient.result.with_clicks(CLICKS).refuse("majority").labelmap
    assert np.array_equal(session.labelmap, expected)
    assert session.result is patient.result and session.computing and session.running and len(patient.start.jobs) == 1
    shown = session.labelmap
    gate.set()
    settle(patient.thorough)
    assert len(session.result.report["clicks"]) == len(CLICKS) and not session.computing
    assert session.labelmap is shown, "nothing is to be drawn again"
    assert patient.start.jobs[-1].request.clicks == tuple(CLICKS)


def test_undone_click_is_seen_before_its_numbers(patient):
    session, gate = patient.session, threading.Event()
    session.add_clicks(CLICKS)
    settle(patient.background, patient.thorough)
    patient.thorough.ask("something else", lambda: gate.wait(10), lambda _answer: None)
    session.undo_click(2)
    settle(patient.background)
    expected = patient.result.with_clicks(CLICKS[:1]).labelmap
    assert np.array_equal(session.labelmap, expected) and len(session.result.report["clicks"]) == len(CLICKS)
    session.cancel()
    gate.set()
    settle(patient.background, patient.thorough)
    assert np.array_equal(session.labelmap, expected) and len(session.result.report["clicks"]) == 1
    assert len(patient.start.jobs) == 2, "a run that was cancelled before it began does not begin"


def test_opinions_that_cannot_be_put_together_are_told(case, make_result):
    job, result = run(case), make_result(SHAPE)
    job.end(replace(result, packed_samples=None, probability=None))
    assert case.session.error is not None and not case.session.running and not case.session.computing
    assert case.session.result is None


class HandBackground:
    """A background whose questions a test answers by hand, in any order: asked holds (work, done, failed)."""

    busy = False

    def __init__(self):
        self.asked = []

    def ask(self, _topic, *question) -> None:
        self.asked.append(question)

    def forget(self, _topic) -> None:
        self.asked.clear()


def test_old_question_that_fails_after_a_newer_answer_is_not_heard(case, make_result):
    from MedSegDiffSlicerLib.jobs.opinions_session import OpinionsSession

    quick, thorough = HandBackground(), HandBackground()
    session = OpinionsSession(case.start, lambda: None, quick, thorough)

    def answer() -> None:
        work, done, _failed = thorough.asked.pop(0)
        done(work())

    run(SimpleNamespace(session=session, start=case.start, volume=case.volume)).end(make_result(SHAPE))
    answer()
    session.set_rule("staple", None)
    _work, _done, failed = quick.asked.pop(0)
    session.add_clicks(CLICKS[:1])
    answer()
    assert not session.computing and session.running
    failed(MemoryError("no memory"))
    assert not session.computing and session.running and session.error is None
