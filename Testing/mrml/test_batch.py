"""Batches: one case after the other, failures and cancellation, cases found in the scene, sequences, the table."""

from __future__ import annotations

import gc
import types
import weakref

import numpy as np
import pytest
from medsegdiff.errors import Cancelled, RequestError

SHAPE = (24, 20, 16)


class ScriptedJob:
    """A segmentation whose end a test decides."""

    def __init__(self, onProgress, onFinished):
        self.onProgress, self._onFinished = onProgress, onFinished
        self.result = self.error = self.seconds = None
        self.cancel_asked = False

    cancelled = property(lambda self: isinstance(self.error, Cancelled))

    def cancel(self):
        self.cancel_asked = True

    def end(self, result=None, error=None):
        self.result, self.error, self.seconds = result, error, 1.5
        self._onFinished(self)


@pytest.fixture
def made(scene):
    """A batch of three cases, its jobs as they are started, and what it told."""
    from MedSegDiffSlicerLib.jobs.batch import Batch, Case

    jobs, states, ends = [], [], []

    def start(onProgress, onFinished):
        jobs.append(ScriptedJob(onProgress, onFinished))
        return jobs[-1]

    cases = [Case(name, start) for name in "abc"]
    batch = Batch(cases, lambda b: states.append([c.state for c in b.cases]), ends.append)
    return types.SimpleNamespace(batch=batch, jobs=jobs, states=states, ends=ends, cases=cases)


def test_cases_run_one_after_the_other(made):
    made.batch.begin()
    assert len(made.jobs) == 1 and made.states == [["running", "waiting", "waiting"]]
    made.jobs[0].onProgress(0.5, "sample 1 of 2", 1.0)
    assert made.batch.fraction == pytest.approx(0.5 / 3)
    for number in range(3):
        assert len(made.jobs) == number + 1
        made.jobs[number].end(result=number)
    assert [case.result for case in made.cases] == [0, 1, 2] and made.cases[0].seconds == 1.5
    assert made.batch.finished and made.batch.fraction == 1 and made.ends == [made.batch]


def test_case_that_fails_costs_itself(made):
    made.cases[1].start = lambda *_: (_ for _ in ()).throw(RequestError("volume 'b' is empty"))
    made.batch.begin()
    made.jobs[0].end(error=RequestError("one channel is expected"))
    made.jobs[1].end(result="done")
    assert [case.state for case in made.cases] == ["failed", "failed", "done"]
    assert str(made.cases[1].error) == "volume 'b' is empty" and made.ends == [made.batch]


def test_cancel_within_a_case_ends_it_and_begins_no_other(made):
    made.batch.begin()
    made.jobs[0].end(result="kept")
    made.batch.cancel()
    assert made.jobs[1].cancel_asked
    made.jobs[1].end(error=Cancelled())
    assert [case.state for case in made.cases] == ["done", "cancelled", "cancelled"]
    assert made.cases[0].result == "kept" and len(made.jobs) == 2 and made.ends == [made.batch]


def test_cancel_by_who_is_told_that_a_case_begins(made):
    made.batch._onChanged = lambda batch: batch.cancel()
    made.batch.begin()
    assert len(made.jobs) == 1 and made.jobs[0].cancel_asked


def test_cancel_between_cases(made):
    made.batch._onChanged = lambda batch: batch.cancel() if made.cases[0].state == "done" else None
    made.batch.begin()
    made.jobs[0].end(result="kept")
    assert [case.state for case in made.cases] == ["done", "cancelled", "cancelled"]
    assert len(made.jobs) == 1 and made.ends == [made.batch]


def test_job_that_was_cancelled_by_others_ends_the_batch(made):
    made.batch.begin()
    made.jobs[0].end(error=Cancelled())
    assert [case.state for case in made.cases] == ["cancelled"] * 3 and len(made.jobs) == 1


def test_resumed_batch_does_what_was_cancelled_or_failed(made):
    made.batch.begin()
    made.jobs[0].end(result="kept")
    assert not made.batch.resumable and made.batch.resume() is made.batch and len(made.jobs) == 2, "under way"
    made.jobs[1].end(error=RequestError("the worker was killed"))
    made.batch.cancel()
    made.jobs[2].end(error=Cancelled())
    assert made.batch.resumable and len(made.ends) == 1
    made.batch.resume()
    assert made.states[-1] == ["done", "running", "waiting"]
    made.jobs[3].end(result="second")
    made.jobs[4].end(result="third")
    assert [(case.result, case.error) for case in made.cases] == [("kept", None), ("second", None), ("third", None)]
    assert len(made.jobs) == 5 and len(made.ends) == 2 and not made.batch.resumable


def test_cases_that_are_not_wanted_any_more_are_not_resumed(made):
    made.batch.begin().cancel()
    made.jobs[0].end(error=Cancelled())
    made.batch.resume(made.cases[1:2])
    made.jobs[1].end(result="second")
    assert [case.state for case in made.cases] == ["cancelled", "done", "cancelled"] and len(made.ends) == 2


def test_resume_in_a_callback_runs_one_case_at_a_time(made):
    made.cases[0].start = lambda *_: (_ for _ in ()).throw(RequestError("not now"))
    made.batch._onFinished = lambda batch: batch.resume() if made.cases[0].error else None
    made.batch._onChanged = lambda batch: batch.resume()
    made.batch.begin()
    made.jobs[0].end(result="b")
    assert [case.state for case in made.cases].count("running") <= 1


def test_batch_without_cases_ends_at_once(scene):
    from MedSegDiffSlicerLib.jobs.batch import Batch

    ends = []
    assert Batch([], onFinished=ends.append).begin().finished and len(ends) == 1


def test_scans_of_the_scene_are_the_cases_maps_and_labels_are_not(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    volumes = [make_volume(np.zeros(SHAPE, np.int16), name=name) for name in ("one", "two")]
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    add_result(scene, make_result(SHAPE), volumes[0])
    assert possible_cases(scene, [{"name": "T1"}]) == [("one", [volumes[0]]), ("two", [volumes[1]])]


def test_studies_in_which_all_channels_are_found_are_the_cases(scene, make_volume):
    import slicer
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    found = {}
    for study, names in {"Ann": ("FLAIR", "T1"), "Ben": ("T1",), "Cem": ("T1", "FLAIR", "T2")}.items():
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), study)
        for name in names:
            found[study, name] = make_volume(np.zeros(SHAPE, np.int16), name=name)
            hierarchy.CreateItem(folder, found[study, name])
    cases = possible_cases(scene, [{"name": "T1"}, {"name": "FLAIR"}])
    assert cases == [(study, [found[study, "T1"], found[study, "FLAIR"]]) for study in ("Ann", "Cem")]


def filled_table(scene, fill, batch):
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "volumes")
    fill(node, batch, [str(number) for number in range(1, 4)])
    return node.GetTable()


def test_table_tells_volumes_and_failures(scene, made, make_result):
    from MedSegDiffSlicerLib.jobs.batch_cases import fill

    result = make_result(SHAPE)
    result.report["segments"][2]["expected_dice_withheld"] = "it is odd"
    made.batch.begin()
    made.jobs[0].end(result=result)
    made.jobs[1].end(error=RequestError("empty"))
    made.batch.cancel()
    made.jobs[2].end(error=Cancelled("stopped"))
    table = filled_table(scene, fill, made.batch)
    rows = [[table.GetValueByName(row, title).ToString() for title in ("Case", "Segment", "Message")]
            for row in range(table.GetNumberOfRows())]  # fmt: skip
    assert rows == [["a", "alpha", ""], ["a", "beta", ""],
                    ["a", "gamma", "no expected Dice: it is odd"], ["b", "", "empty"], ["c", "", "stopped"]]
    entry = result.statistics[1]
    assert table.GetValueByName(1, "Volume [ml]").ToDouble() == entry["volume_mm3"] / 1000
    assert table.GetValueByName(1, "Volume high [ml]").ToDouble() == entry["volume_interval_mm3"][1] / 1000


def test_messages_of_the_table_can_be_translated(scene, made, make_result, monkeypatch):
    from MedSegDiffSlicerLib.jobs import batch_cases

    words = {"no expected Dice: {reason}": "kein erwarteter Dice: {reason}"}
    monkeypatch.setattr(batch_cases, "_", lambda text: words[text], raising=False)
    result = make_result(SHAPE)
    result.report["segments"][0]["expected_dice_withheld"] = "it is odd"
    made.batch.begin()
    for job in range(3):
        made.jobs[job].end(result=result)
    table = filled_table(scene, batch_cases.fill, made.batch)
    assert table.GetValueByName(0, "Message").ToString() == "kein erwarteter Dice: it is odd"


def test_frames_of_a_sequence_become_a_sequence_of_segmentations(scene, beating, make_result, make_volume):
    import slicer
    from MedSegDiffSlicerLib.nodes.sequence_frames import SequenceFrames

    frames = SequenceFrames(scene, beating.browser, [beating.proxy])
    assert len(frames) == 3 and frames.name(1) == "heart, time 40 ms"
    turned = np.array([[0, -1, 0, 5], [2, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    for frame in range(3):
        image = frames.image(frame)
        assert image.array.shape == (1, *SHAPE) and (image.array == frame).all()
        assert np.allclose(image.affine, turned)
        frames.add(frame, make_result(SHAPE, seed=frame))
    made = frames.segmentations
    assert [made.GetNthIndexValue(n) for n in range(3)] == ["0", "40", "80"]
    assert (made.GetIndexName(), made.GetIndexUnit()) == ("time", "ms")
    assert [made.GetNthDataNode(n).GetAttribute("MedSegDiff.Seed") for n in range(3)] == ["0", "1", "2"]
    beating.browser.SetSelectedItemNumber(2)
    beating.logic.UpdateAllProxyNodes()
    shown = beating.browser.GetProxyNode(made)
    assert shown.IsA("vtkMRMLSegmentationNode") and shown.GetSegmentation().GetNumberOfSegments() == 3
    assert shown is frames.shown
    array = slicer.util.arrayFromSegmentBinaryLabelmap(shown, shown.GetSegmentation().GetNthSegmentID(0), beating.proxy)
    assert np.count_nonzero(array) == np.count_nonzero(make_result(SHAPE).labelmap == 1)


@pytest.mark.parametrize("second", ["same in all frames", "a sequence"])
@pytest.mark.parametrize("moved", ["alike", "otherwise"])
def test_channels_of_a_frame_lie_as_those_of_what_is_shown(scene, beating, make_volume, make_transform, second, moved):
    from MedSegDiffSlicerLib.nodes.sequence_frames import SequenceFrames
    from MedSegDiffSlicerLib.nodes.volume_to_image import image_from_volumes

    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    other = make_volume(values, np.diag([2.0, 1, 1, 1]), name="other")
    if second == "a sequence":
        sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "other")
        sequence.SetIndexName("time")
        sequence.SetIndexUnit("ms")
        for frame in range(3):
            sequence.SetDataNodeAtValue(other, str(40 * frame))
        scene.RemoveNode(other)
        beating.browser.AddSynchronizedSequenceNode(sequence)
        other = beating.browser.GetProxyNode(sequence)
    other.SetAndObserveTransformNodeID(beating.proxy.GetTransformNodeID())
    if moved == "otherwise":
        make_transform(other, np.array([[0, -1, 0, 5], [1, 0, 0, 4], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    for volumes in ([beating.proxy, other], [other, beating.proxy]):
        shown, image = image_from_volumes(volumes), SequenceFrames(scene, beating.browser, volumes).image(0)
        assert np.allclose(image.affine, shown.affine)
        assert np.allclose(image.array, shown.array)
        assert image.notes == shown.notes


def test_segments_of_frames_lie_on_the_first_channel_that_is_the_same_in_all(scene, beating, make_volume, make_result):
    import slicer
    from MedSegDiffSlicerLib.nodes.segment_numbers import volume_of
    from MedSegDiffSlicerLib.nodes.sequence_frames import SequenceFrames

    shape = tuple(2 * size for size in SHAPE)
    fine = make_volume(np.zeros(shape, np.int16), np.diag([1.0, 0.5, 0.5, 1]), name="T1")
    fine.SetAndObserveTransformNodeID(beating.proxy.GetTransformNodeID())
    with pytest.raises(RequestError, match="a volume node is expected, got 'heart'"):
        SequenceFrames(scene, beating.browser, ["heart"])
    frames = SequenceFrames(scene, beating.browser, [fine, beating.proxy])
    image = frames.image(0)
    assert image.shape == shape
    result = make_result(shape, image.affine)
    frames.add(0, result)
    shown = frames.shown
    assert shown.GetTransformNodeID() == fine.GetTransformNodeID()
    array = slicer.util.arrayFromSegmentBinaryLabelmap(shown, "alpha", fine)
    assert np.array_equal(array.T > 0, result.labelmap == 1)
    assert volume_of(shown, "alpha") == pytest.approx(result.statistics[0]["volume_mm3"])


def test_frames_hide_earlier_results_of_their_volume(scene, beating, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.sequence_frames import SequenceFrames

    one = add_result(scene, make_result(SHAPE), beating.proxy).segmentationNode
    shown = []
    for _ in range(2):
        frames = SequenceFrames(scene, beating.browser, [beating.proxy])
        for frame in range(2):
            frames.add(frame, make_result(SHAPE))
        beating.browser.SetSelectedItemNumber(1)
        beating.logic.UpdateAllProxyNodes()
        shown.append(frames.shown)
    assert [node.GetDisplayNode().GetVisibility() for node in (one, *shown)] == [0, 0, 1]


def test_edits_of_a_frame_are_kept_and_reach_no_other(scene, beating, make_result):
    import slicer
    from MedSegDiffSlicerLib.nodes.sequence_frames import SequenceFrames

    def turn_to(frame):
        beating.browser.SetSelectedItemNumber(frame)

    def voxels() -> int:
        array = slicer.util.arrayFromSegmentBinaryLabelmap(frames.shown, "alpha", beating.proxy)
        return 0 if array is None else np.count_nonzero(array)

    frames, few = SequenceFrames(scene, beating.browser, [beating.proxy]), np.count_nonzero(make_result().labelmap == 1)
    turn_to(2)
    for frame in (0, 1):
        frames.add(frame, make_result(SHAPE))
    assert not frames.shown.GetSegmentation().GetNumberOfSegments(), "the frame on show has none of another"
    turn_to(0)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        np.ones(SHAPE[::-1], np.uint8), frames.shown, "alpha", beating.proxy
    )
    frames.add(2, make_result(SHAPE))
    assert voxels() == np.prod(SHAPE), "a frame that is done changes no other"
    for frame, count in ((1, few), (2, few), (0, np.prod(SHAPE))):
        turn_to(frame)
        assert voxels() == count
    kinds = [node for node in scene.GetNodes() if node.IsA("vtkMRMLSegmentationNode")]
    assert kinds == [frames.shown]


def test_what_is_drawn_in_a_frame_without_a_result_stays(scene, beating, make_result):
    import slicer
    from MedSegDiffSlicerLib.nodes.sequence_frames import SequenceFrames

    frames = SequenceFrames(scene, beating.browser, [beating.proxy])
    frames.add(0, make_result(SHAPE))
    beating.browser.SetSelectedItemNumber(1)
    drawn = frames.shown.GetSegmentation().AddEmptySegment("mine")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        np.ones(SHAPE[::-1], np.uint8), frames.shown, drawn, beating.proxy
    )
    beating.browser.SetSelectedItemNumber(0)
    assert not frames.shown.GetSegmentation().GetSegment(drawn)
    with pytest.raises(RequestError, match="by hand"):
        frames.add(1, make_result(SHAPE))
    beating.browser.SetSelectedItemNumber(1)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(frames.shown, drawn, beating.proxy)
    assert array is not None and array.all()


def test_no_run_goes_into_the_segmentations_of_frames(scene, beating, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import check_segmentation
    from MedSegDiffSlicerLib.nodes.sequence_frames import SequenceFrames

    frames = SequenceFrames(scene, beating.browser, [beating.proxy])
    frames.add(0, make_result(SHAPE))
    with pytest.raises(RequestError, match="segmentations of a sequence's frames; choose another"):
        check_segmentation(frames.shown, beating.proxy)


def test_frame_that_is_shown_again_is_unchanged(beating):
    from MedSegDiffSlicerLib.nodes.unchanged import Unchanged

    unchanged = Unchanged([beating.proxy])
    beating.browser.SetSelectedItemNumber(1)
    beating.browser.SetSelectedItemNumber(0)
    unchanged.check()
    beating.browser.SetSelectedItemNumber(1)
    with pytest.raises(RequestError, match="'heart' has changed"):
        unchanged.check()


def test_volume_that_is_no_part_of_the_sequence_is_refused(scene, beating, make_volume):
    from MedSegDiffSlicerLib.nodes.sequence_frames import SequenceFrames

    with pytest.raises(RequestError, match="choose as input the volume that it shows"):
        SequenceFrames(scene, beating.browser, [make_volume(np.zeros(SHAPE, np.int16))])


def end_at_once(result, onEnd, error=None):
    """A job that has ended."""
    job = ScriptedJob(None, onEnd)
    job.end(result=result, error=error)
    return job


def test_batch_over_volumes_leaves_one_table(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.jobs.batch_runs import volume_batch
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    volumes, ends = [make_volume(np.zeros(SHAPE, np.int16), name=name) for name in ("one", "two")], []

    def start(given, onProgress, onEnd):
        return end_at_once(add_result(scene, make_result(SHAPE), given[0]), onEnd)

    batch = volume_batch(start, [volumes[0], [volumes[1]]], None, None, ends.append).begin()
    assert ends == [batch] and [case.name for case in batch.cases] == ["one", "two"]
    assert batch.table.GetTable().GetNumberOfRows() == 6
    assert (batch.table.GetAttribute("MedSegDiff.Model"), batch.table.GetAttribute("MedSegDiff.Samples")) == (
        "toy",
        "4",
    )
    assert [case.result.segmentationNode.GetName() for case in batch.cases] == ["one segmentation", "two segmentation"]


@pytest.mark.parametrize("names", [["one"], ["one", "two", "three"]])
def test_each_case_has_a_name(make_volume, names):
    from MedSegDiffSlicerLib.jobs.batch_runs import volume_batch

    volumes = [make_volume(np.zeros(SHAPE, np.int16)) for _ in range(2)]
    with pytest.raises(RequestError, match=f"there are {len(names)} names for 2 cases"):
        volume_batch(None, volumes, names, None, None)


@pytest.mark.parametrize("case", [None, [], [None, None]])
def test_case_without_a_volume_is_refused(make_volume, case):
    from MedSegDiffSlicerLib.jobs.batch_runs import volume_batch

    with pytest.raises(RequestError, match="case 2 has no volume"):
        volume_batch(None, [make_volume(np.zeros(SHAPE, np.int16)), case], None, None, None)


def test_arrays_of_a_case_are_let_go_and_its_report_stays(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.jobs.batch_runs import volume_batch
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    jobs, arrays = [], []

    def start(_given, onProgress, onEnd):
        jobs.append(ScriptedJob(onProgress, onEnd))
        return jobs[-1]

    def end(number):
        result = make_result(SHAPE)
        arrays.append(weakref.ref(result.probability))
        jobs[number].end(add_result(scene, result, volumes[number]))

    volumes = [make_volume(np.zeros(SHAPE, np.int16)) for _ in range(3)]
    batch = volume_batch(start, volumes, None, None, None).begin()
    for number in range(3):
        end(number)
        gc.collect()
        assert not any(array() is not None for array in arrays)
    assert [case.result.report["samples"] for case in batch.cases] == [4, 4, 4]
    assert batch.cases[0].result.result is None and batch.table.GetTable().GetNumberOfRows() == 9


def test_batch_whose_scene_was_closed_leaves_nothing(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.jobs.batch_runs import volume_batch
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    volume = make_volume(np.zeros(SHAPE, np.int16))

    def start(given, onProgress, onEnd):
        added = add_result(scene, make_result(SHAPE), given[0])
        scene.Clear(0)
        return end_at_once(added, onEnd)

    batch = volume_batch(start, [volume], None, None, None).begin()
    assert batch.finished and batch.table is None
    assert scene.GetFirstNodeByClass("vtkMRMLTableNode") is None


def test_batch_over_frames(scene, beating, make_result):
    from MedSegDiffSlicerLib.jobs.batch_runs import sequence_batch
    from MedSegDiffSlicerLib.nodes.result_nodes import remove_run

    def start(image, add, onProgress, onEnd):
        if image.array.max() == 1:
            return end_at_once(None, onEnd, RequestError("nothing to see"))
        return end_at_once(add(make_result(SHAPE)), onEnd)

    batch = sequence_batch(start, beating.browser, [beating.proxy], None, None, None).begin()
    assert [case.state for case in batch.cases] == ["done", "failed", "done"]
    assert [batch.segmentations.GetNthIndexValue(n) for n in range(2)] == ["0", "80"]
    assert batch.cases[0].result.report["inputs"] == [beating.proxy.GetName()]
    assert batch.table.GetTable().GetNumberOfRows() == 3 + 1 + 3
    nodes = batch.table, batch.segmentations, batch.shown
    remove_run(scene, batch.shown)
    assert not any(scene.IsNodePresent(node) for node in nodes) and scene.IsNodePresent(beating.proxy)


@pytest.mark.parametrize("removed", ["browser", "segmentation"])
@pytest.mark.parametrize("when", ["between frames", "while a frame is segmented"])
def test_frames_whose_place_was_removed_fail_and_what_was_done_is_told(scene, beating, make_result, removed, when):
    from MedSegDiffSlicerLib.jobs.batch_runs import sequence_batch

    begun = []

    def remove():
        scene.RemoveNode(beating.browser if removed == "browser" else scene.GetFirstNodeByName("heart segmentation"))

    def start(_image, add, _onProgress, onEnd):
        begun.append(len(begun))
        if when == "while a frame is segmented" and len(begun) == 2:
            remove()
        try:
            added = add(make_result(SHAPE))
        except RequestError as error:
            return end_at_once(None, onEnd, error)
        if when == "between frames":
            remove()
        return end_at_once(added, onEnd)

    batch = sequence_batch(start, beating.browser, [beating.proxy], None, None, None).begin()
    assert [case.state for case in batch.cases] == ["done", "failed", "failed"]
    told = {"browser": "its browser .* is no longer in the scene", "segmentation": "was removed meanwhile"}[removed]
    for case in batch.cases[1:]:
        with pytest.raises(RequestError, match=told):
            raise case.error
    assert len(begun) == (1 if when == "between frames" else 2)
    assert batch.table.GetTable().GetNumberOfRows() == 3 + 1 + 1
    assert batch.segmentations.GetNumberOfDataNodes() == 1
    owner = batch.table.GetNodeReference("MedSegDiff.Segmentation")
    assert owner is (batch.shown if removed == "browser" else None)


def test_batch_over_frames_whose_scene_was_closed_leaves_nothing(scene, beating, make_result):
    from MedSegDiffSlicerLib.jobs.batch_runs import sequence_batch

    def start(_image, add, _onProgress, onEnd):
        added = add(make_result(SHAPE))
        scene.Clear(0)
        return end_at_once(added, onEnd)

    batch = sequence_batch(start, beating.browser, [beating.proxy], None, None, None).begin()
    assert batch.finished and batch.table is None


def test_first_frame_that_cannot_be_added_costs_itself(scene, beating, ids, make_result, monkeypatch):
    from MedSegDiffSlicerLib.nodes import sequence_frames

    frames, before = sequence_frames.SequenceFrames(scene, beating.browser, [beating.proxy]), ids(scene)
    with monkeypatch.context() as broken:
        broken.setattr(beating.sequence, "GetIndexType", lambda: 1 / 0, raising=False)
        with pytest.raises(ZeroDivisionError):
            frames.add(0, make_result(SHAPE))
    assert ids(scene) == before
    frames.add(1, make_result(SHAPE))
    assert frames.segmentations.GetDataNodeAtValue("40").GetSegmentation().GetNumberOfSegments()
