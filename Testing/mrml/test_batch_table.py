"""The table of a batch follows what users make of the segments."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from medsegdiff.errors import Cancelled, RequestError

SHAPE = (24, 20, 16)


@pytest.fixture
def one_scan(scene, make_volume, make_result):
    """The table of a batch of one scan, its result, and the segmentation."""
    from MedSegDiffSlicerLib.jobs.batch_runs import volume_batch
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    made = []

    def start(given, _onProgress, onEnd):
        made.append(make_result(SHAPE))
        return end_at_once(add_result(scene, made[-1], given[0]), onEnd)

    volume = make_volume(np.zeros(SHAPE, np.int16), name="scan")
    batch = volume_batch(start, [volume], None, None, None).begin()
    return batch.table, made[0], batch.cases[0].result.segmentationNode


def end_at_once(result, onEnd):
    job = SimpleNamespace(result=result, error=None, seconds=1.0, cancelled=False)
    onEnd(job)
    return job


def rows(node) -> list[tuple]:
    table = node.GetTable()
    numbers = ("Volume [ml]", "Volume low [ml]", "Expected Dice")
    return [
        (table.GetValueByName(row, "Segment").ToString(), table.GetValueByName(row, "Changed").ToString(),
         *(table.GetValueByName(row, title).ToDouble() for title in numbers))
        for row in range(table.GetNumberOfRows())
    ]  # fmt: skip


def paint(segmentation, segment_id: str, volume) -> None:
    import slicer

    whole = np.ones(SHAPE[::-1], np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(whole, segmentation, segment_id, volume)


def test_table_of_what_nobody_edited_stays_as_it_is(one_scan):
    from MedSegDiffSlicerLib.nodes.batch_table import follow_segments

    node, _result, _segmentation = one_scan
    before = rows(node)
    follow_segments(node)
    for now, then in zip(rows(node), before):
        assert now[:2] == then[:2] and np.allclose(now[2:], then[2:], rtol=1e-8, atol=0, equal_nan=True)


def test_table_follows_edits_and_takes_back_what_was_undone(scene, one_scan):
    import slicer
    from MedSegDiffSlicerLib.nodes.batch_table import follow_segments

    node, result, segmentation = one_scan
    before, kept = rows(node)[0], slicer.vtkSegment()
    segment = segmentation.GetSegmentation().GetSegment("alpha")
    kept.DeepCopy(segment)
    paint(segmentation, "alpha", scene.GetFirstNodeByName("scan"))
    segment.SetName("mine")
    segmentation.GetSegmentation().RemoveSegment("beta")
    follow_segments(node)
    edited, removed, untouched = rows(node)
    assert edited[:3] == ("mine", "edited", np.prod(SHAPE) * result.voxel_volume / 1000) and np.isnan(edited[3:]).all()
    assert removed[:2] == ("beta", "removed") and np.isnan(removed[2:]).all()
    assert untouched[1] == "" and untouched[2] == result.statistics[2]["volume_mm3"] / 1000
    segment.DeepCopy(kept)
    follow_segments(node)
    assert rows(node)[0] == (*before[:2], *(pytest.approx(number) for number in before[2:]))


def test_only_what_was_edited_is_looked_at_again(one_scan, monkeypatch):
    from MedSegDiffSlicerLib.nodes import batch_table

    node, result, segmentation = one_scan
    known, counted, count = batch_table.state_of(node), [], batch_table.volume_of
    assert len(known) == len(result.labels) and batch_table.state_of(node) == known
    monkeypatch.setattr(batch_table, "volume_of", lambda *told: counted.append(told[1]) or count(*told))
    edited = segmentation.GetSegmentation().GetNthSegmentID(1)
    segmentation.GetSegmentation().SeparateSegmentLabelmap(edited)
    known = batch_table.state_of(node)
    paint(segmentation, edited, segmentation.GetNodeReference("MedSegDiff.Volume"))
    assert batch_table.state_of(node) != known
    before = rows(node)
    batch_table.follow_segments(node, known)
    assert counted == [edited] and rows(node)[0] == before[0] and rows(node)[1][1] == "edited"
    segmentation.GetSegmentation().GetSegment(edited).SetName("mine")
    batch_table.follow_segments(node, known)
    assert rows(node)[1][0] == "mine"


def test_rows_of_a_segmentation_that_was_deleted_stay(scene, one_scan):
    from MedSegDiffSlicerLib.nodes.batch_table import follow_segments

    node, _result, segmentation = one_scan
    before = rows(node)
    scene.RemoveNode(segmentation)
    follow_segments(node)
    for now, then in zip(rows(node), before):
        assert now[:2] == (then[0], "no longer in the scene") and np.array_equal(now[2:], then[2:], equal_nan=True)


def test_a_warning_is_told_once(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.jobs.batch_runs import volume_batch
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    def start(given, _onProgress, onEnd):
        result = make_result(SHAPE)
        result.report["warnings"] = ["the image is unlike those that it knows (score 6.8): look at the result"]
        for entry, why in zip(result.report["segments"], ("the image is unlike those that it knows", "it may be cut")):
            entry.update(expected_dice=None, expected_dice_withheld=why)
        return end_at_once(add_result(scene, result, given[0]), onEnd)

    table = volume_batch(start, [make_volume(np.zeros(SHAPE, np.int16))], None, None, None).begin().table.GetTable()
    told = [table.GetValueByName(row, "Message").ToString() for row in range(2)]
    assert told[0] == "the image is unlike those that it knows (score 6.8): look at the result"
    assert told[1] == f"no expected Dice: it may be cut; {told[0]}"


def test_table_follows_its_segments_in_a_scene_that_was_loaded(scene, one_scan, tmp_path):
    from MedSegDiffSlicerLib.nodes.batch_table import find_table, follow_segments

    node, result, segmentation = one_scan
    for storable in [each for each in scene.GetNodes() if each.IsA("vtkMRMLStorableNode")]:
        storable.AddDefaultStorageNode()
        storage = storable.GetStorageNode()
        if storage is not None:
            storage.SetFileName(str(tmp_path / f"{storable.GetID()}.{storage.GetDefaultWriteFileExtension()}"))
            storage.WriteData(storable)
    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.Commit()
    scene.Clear(0)
    scene.Connect()
    loaded = find_table(scene, False)
    assert loaded.GetColumnTitle("Volume low [ml]") == "Volume low [ml]"
    paint(scene.GetFirstNodeByName("scan segmentation"), "alpha", scene.GetFirstNodeByName("scan"))
    follow_segments(loaded)
    assert [row[1] for row in rows(loaded)] == ["edited", "", ""]
    assert rows(loaded)[2][2] == pytest.approx(result.statistics[2]["volume_mm3"] / 1000)


def test_words_that_a_file_of_a_table_does_not_keep_are_left_out(scene):
    from MedSegDiffSlicerLib.nodes.batch_table import fill_table

    node = scene.AddNewNodeByClass("vtkMRMLTableNode")
    fill_table(node, [{"Case": 'a "b"', "Message": "CUDA error: a\nfor\tdebugging"}])
    told = [node.GetTable().GetValueByName(0, title).ToString() for title in ("Case", "Message")]
    assert told == ["a 'b'", "CUDA error: a for debugging"]


def test_table_of_frames_follows_their_edits_under_a_transform(scene, one_scan, beating, make_result, make_transform):
    from MedSegDiffSlicerLib.jobs.batch_runs import sequence_batch
    from MedSegDiffSlicerLib.nodes.batch_table import find_table, follow_segments

    of_scans = one_scan[0]
    assert find_table(scene, True) is of_scans is find_table(scene, False), "the last one, where there is none of it"

    make_transform(beating.proxy, np.diag([2.0, 1, 1, 1]))  # an image of twice the size is segmented

    def start(image, add, _onProgress, onEnd):
        return end_at_once(add(make_result(SHAPE, image.affine)), onEnd)

    batch = sequence_batch(start, beating.browser, [beating.proxy], [0, 2], None, None).begin()
    assert find_table(scene, True) is batch.table and find_table(scene, False) is of_scans
    follow_segments(batch.table)
    before = rows(batch.table)
    assert [case.name for case in batch.cases] == ["heart, time 0 ms", "heart, time 80 ms"]
    assert [row[1] for row in before] == [""] * 6
    beating.browser.SetSelectedItemNumber(2)
    beating.logic.UpdateAllProxyNodes()
    paint(batch.shown, "beta", beating.proxy)
    beating.browser.SetSelectedItemNumber(0)
    beating.logic.UpdateAllProxyNodes()
    follow_segments(batch.table)
    now = rows(batch.table)
    assert [row[1] for row in now] == ["", "", "", "", "edited", ""]
    assert now[4][2] == pytest.approx(np.prod(SHAPE) * 4 / 1000)
    assert now[1][:3] == before[1][:3]


@pytest.mark.parametrize("chosen", [[0, 3], [-1], [0, 0], [1.0], 0])
def test_frames_that_there_are_none_of_are_refused(scene, beating, chosen):
    from MedSegDiffSlicerLib.jobs.batch_runs import sequence_batch

    with pytest.raises(RequestError, match="the frames 0 to 2 only"):
        sequence_batch(None, beating.browser, [beating.proxy], chosen, None, None)


def test_resumed_batch_over_frames_goes_on_in_the_same_sequence_and_table(scene, beating, make_result):
    from MedSegDiffSlicerLib.jobs.batch_runs import sequence_batch

    jobs = []

    def start(_image, add, _onProgress, onEnd):
        jobs.append((add, onEnd))
        return SimpleNamespace(cancel=lambda: None)

    def end(result=None, error=None):
        job = SimpleNamespace(result=result, error=error, seconds=1.0, cancelled=error is not None)
        jobs[-1][1](job)

    batch = sequence_batch(start, beating.browser, [beating.proxy], (n for n in range(3)), None, None).begin()
    end(jobs[-1][0](make_result(SHAPE)))
    batch.cancel()
    end(error=Cancelled())
    made = batch.table, batch.segmentations, batch.shown
    assert len(rows(batch.table)) == 3 + 1 + 1
    batch.resume()
    for _ in range(2):
        end(jobs[-1][0](make_result(SHAPE)))
    assert (batch.table, batch.segmentations, batch.shown) == made and batch.finished
    assert len(rows(batch.table)) == 9 and batch.segmentations.GetNumberOfDataNodes() == 3


def test_tables_of_the_user_are_left_alone(scene):
    from MedSegDiffSlicerLib.nodes.batch_table import find_table

    mine = scene.AddNewNodeByClass("vtkMRMLTableNode", "patients")
    for name in ("Patient", "Changed"):
        mine.AddColumn().SetName(name)
    assert mine.GetColumnIndex("Changed") >= 0 and find_table(scene, False) is None


def test_frame_that_was_removed_before_a_resume_is_told(scene, beating, make_result):
    from MedSegDiffSlicerLib.jobs.batch_runs import sequence_batch

    failing, seen = [True], []

    def start(image, add, _onProgress, onEnd):
        value = int(image.array.max())
        if value == 1 and failing:
            raise RequestError("the worker was killed")
        seen.append(value)
        return end_at_once(add(make_result(SHAPE, image.affine)), onEnd)

    batch = sequence_batch(start, beating.browser, [beating.proxy], None, None, None).begin()
    paint(batch.segmentations.GetDataNodeAtValue("80"), "alpha", beating.proxy)
    failing.clear()
    beating.sequence.RemoveDataNodeAtValue("0")
    batch.resume()
    assert seen == [0, 2, 1] and [case.state for case in batch.cases] == ["done"] * 3
    assert [batch.segmentations.GetNthIndexValue(n) for n in range(3)] == ["0", "40", "80"]
    assert [row[1] for row in rows(batch.table)] == [""] * 6 + ["edited", "", ""]
    batch.cases[1].state = "failed"
    beating.sequence.RemoveDataNodeAtValue("40")
    batch.resume()
    assert "was removed from the sequence" in str(batch.cases[1].error)
