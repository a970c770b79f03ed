"""Results that are found again in the scene: of which volume they are, and which nodes are theirs."""

from __future__ import annotations

import sys
from unittest.mock import MagicMock

import numpy as np
import pytest
from medsegdiff.errors import RequestError

SHAPE = (24, 20, 16)
FINE = np.diag([0.5, 0.5, 0.5, 1.0])


@pytest.fixture
def drawn_on(scene, make_volume):
    """The volume whose geometry the user's segmentation `mine` has; models are run on others."""
    t1 = make_volume(np.zeros((50, 44, 36), np.int16), FINE, "T1")
    mine = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    mine.CreateDefaultDisplayNodes()
    mine.SetReferenceImageGeometryParameterFromVolumeNode(t1)
    return t1


def add(scene, result, volume, segmentation, written: bool):
    """written: the segments are there already, as where the effect applied them."""
    from MedSegDiffSlicerLib.nodes.nodes_from_result import ResultAdding
    from MedSegDiffSlicerLib.nodes.segments import describe

    if written:
        for label in result.labels:
            describe(segmentation.GetSegmentation().GetSegment(segmentation.GetSegmentation().AddEmptySegment()), label)
    adding = ResultAdding(scene, result, volume, segmentation, written=written)
    while not adding.step():
        pass
    return adding.added


@pytest.mark.parametrize("loaded", [False, True], ids=["live", "loaded"])
@pytest.mark.parametrize("written", [False, True], ids=["run into it", "applied"])
def test_result_is_of_the_volume_it_was_made_from(scene, drawn_on, make_volume, make_result, tmp_path, written, loaded):
    from MedSegDiffSlicerLib.nodes.saved_result import regions_of, sample_volumes
    from MedSegDiffSlicerLib.nodes.scene_result import find_result

    t2, mine = make_volume(np.zeros(SHAPE, np.int16), name="T2"), scene.GetFirstNodeByName("mine")
    mine.GetSegmentation().AddEmptySegment("user")
    live = sample_volumes(add(scene, make_result(SHAPE), t2, mine, written))
    if loaded:
        assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
        scene.Clear(0)
        assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    found = find_result(scene, scene.GetFirstNodeByName("mine"))
    assert found.volumeNode.GetName() == "T2"
    assert sample_volumes(found) == pytest.approx(live)
    assert regions_of(found)


def test_result_without_its_volume_is_not_found_also_after_loading(
    scene, drawn_on, make_volume, make_result, tmp_path
):
    from MedSegDiffSlicerLib.nodes.scene_result import find_result, runs_in

    t2, mine = make_volume(np.zeros(SHAPE, np.int16), name="T2"), scene.GetFirstNodeByName("mine")
    add(scene, make_result(SHAPE), t2, mine, written=True)
    assert runs_in(scene) == [mine]
    scene.RemoveNode(t2)
    assert find_result(scene, mine) is None and runs_in(scene) == []
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    assert find_result(scene, scene.GetFirstNodeByName("mine")) is None and runs_in(scene) == []


def test_result_of_an_earlier_version_is_of_the_volume_whose_geometry_it_has(scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.saved_result import statistics_of
    from MedSegDiffSlicerLib.nodes.scene_result import find_result, runs_in

    volume = make_volume(np.zeros(SHAPE, np.int16))
    added = add_result(scene, make_result(SHAPE), volume)
    node, table = added.segmentationNode, added.statisticsTableNode
    node.RemoveAttribute("MedSegDiff.Volume")
    node.SetNodeReferenceID("MedSegDiff.Volume", None)
    for column in ("Surface area [mm2]", "Worst uncertainty"):
        table.RemoveColumn(table.GetColumnIndex(column))
    found = find_result(scene, node)
    assert found.volumeNode is volume and runs_in(scene) == [node]
    volumes = [row["volume_mm3"] for row in added.result.statistics]
    assert found.statisticsTableNode is table and [row["volume_mm3"] for row in statistics_of(found)] == volumes


def test_results_of_other_volumes_are_hidden_too(scene, drawn_on, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    t2, mine = make_volume(np.zeros(SHAPE, np.int16), name="T2"), scene.GetFirstNodeByName("mine")
    add(scene, make_result(SHAPE), t2, mine, written=True)
    shape = drawn_on.GetImageData().GetDimensions()
    added = add_result(scene, make_result(shape, FINE), drawn_on)
    assert added.hidden == ["mine"]
    assert add_result(scene, make_result(SHAPE), t2).hidden == [added.segmentationNode.GetName()]


def test_what_is_being_edited_is_not_hidden(scene, drawn_on, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    t2, editor = make_volume(np.zeros(SHAPE, np.int16), name="T2"), scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    first = add_result(scene, make_result(SHAPE), t2)
    editor.SetAndObserveSegmentationNode(first.segmentationNode)
    editor.SetActiveEffectName("Paint")
    assert add_result(scene, make_result(SHAPE), t2).hidden == []
    editor.SetActiveEffectName("")
    assert first.segmentationNode.GetName() in add_result(scene, make_result(SHAPE), t2).hidden


def test_failure_takes_the_volume_of_the_run_back(scene, drawn_on, make_volume, make_result, monkeypatch):
    from MedSegDiffSlicerLib.nodes import nodes_from_result

    def fail(*_arguments):
        raise ValueError("on purpose")

    t2, mine = make_volume(np.zeros(SHAPE, np.int16), name="T2"), scene.GetFirstNodeByName("mine")
    monkeypatch.setattr(nodes_from_result, "add_statistics", fail)
    with pytest.raises(ValueError, match="on purpose"):
        add(scene, make_result(SHAPE), t2, mine, written=False)
    assert mine.GetAttribute("MedSegDiff.Volume") is mine.GetNodeReference("MedSegDiff.Volume") is None


@pytest.fixture
def of_frames(scene, make_volume, make_result):
    """The segmentation that shows the frames of a batch over a sequence, and what the batch left beside it."""
    import slicer
    from MedSegDiffSlicerLib.jobs.batch_runs import sequence_batch

    sequences = slicer.vtkSlicerSequencesLogic()
    sequences.SetMRMLApplicationLogic(scene.application_logic)
    sequences.SetMRMLScene(scene)
    sequence, volume = scene.AddNewNodeByClass("vtkMRMLSequenceNode"), make_volume(np.zeros(SHAPE, np.int16))
    for frame in range(2):
        sequence.SetDataNodeAtValue(volume, str(frame))
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
    browser.AddSynchronizedSequenceNode(sequence)
    sequences.UpdateAllProxyNodes()

    def start(_image, add, _onProgress, onEnd) -> MagicMock:
        job = MagicMock(result=add(make_result(SHAPE)), error=None, cancelled=False, seconds=1.0)
        onEnd(job)
        return job

    return sequence_batch(start, browser, [browser.GetProxyNode(sequence)], None, None, None).begin()


def test_batch_over_a_sequence_leaves_neither_statistics_nor_samples_of_one_image(scene, of_frames):
    from MedSegDiffSlicerLib.nodes.saved_result import regions_source, statistics_of
    from MedSegDiffSlicerLib.nodes.scene_result import find_result, results_in, runs_in
    from MedSegDiffSlicerLib.nodes.slicer_result import nodes_of_run

    assert runs_in(scene) == [of_frames.shown] and results_in(scene) == []
    found = find_result(scene, of_frames.shown)
    assert found.nodes() == [of_frames.shown]
    assert {of_frames.table, of_frames.segmentations} == set(nodes_of_run(scene, of_frames.shown)), "they go with it"
    for read in (statistics_of, regions_source):
        with pytest.raises(RequestError):
            read(found)


def test_opinions_are_offered_where_there_are_some(scene, of_frames, make_volume, make_result, monkeypatch):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.scene_result import find_result

    class Widget:
        def __init__(self) -> None: ...

    monkeypatch.setitem(sys.modules, "qt", MagicMock(QWidget=Widget))
    monkeypatch.setitem(sys.modules, "MedSegDiffSlicerLib.view.segment_editor", MagicMock())
    monkeypatch.delitem(sys.modules, "MedSegDiffSlicerLib.view.opinions_controls", raising=False)
    from MedSegDiffSlicerLib.view.opinions_controls import OpinionsControls

    del sys.modules["MedSegDiffSlicerLib.view.opinions_controls"]  # it has the stand-ins in it
    volume, controls = make_volume(np.zeros(SHAPE, np.int16)), OpinionsControls(MagicMock())
    with_samples, without = (add_result(scene, make_result(SHAPE), volume, samples=kept) for kept in (True, False))
    for added, offered in (
        (None, False), (without, True), (find_result(scene, without.segmentationNode), False),
        (find_result(scene, with_samples.segmentationNode), True), (find_result(scene, of_frames.shown), False),
    ):  # fmt: skip
        controls.setResult(added)
        assert controls.enabled is offered


def test_a_volume_without_a_frame_of_its_own_shows_the_one_before(scene, beating, make_volume):
    from MedSegDiffSlicerLib.nodes.frame import frame_of

    still = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "still")
    still.SetDataNodeAtValue(make_volume(np.zeros(SHAPE, np.int16)), "0")
    beating.browser.AddSynchronizedSequenceNode(still)
    beating.browser.SetSelectedItemNumber(1)
    beating.logic.UpdateAllProxyNodes()
    assert frame_of(beating.browser.GetProxyNode(still)) == "time 0 s" and frame_of(beating.proxy) == "time 40 ms"


def test_a_volume_that_is_laid_over_the_scan_counts_where_it_is_seen(scene, make_volume):
    from MedSegDiffSlicerLib.nodes.overlay import has_own_foreground

    view = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    view.SetForegroundVolumeID(make_volume(np.zeros(SHAPE, np.int16)).GetID())
    for opacity, own in ((0.0, False), (0.5, True)):
        view.SetForegroundOpacity(opacity)
        assert has_own_foreground(scene) is own


@pytest.mark.parametrize("spacing", [(0.4883, 0.4883, 1.2), (1 / 3, 1 / 3, 1 / 3)])
def test_what_nobody_touched_is_as_the_run_left_it_after_loading(scene, make_volume, make_result, tmp_path, spacing):
    """Slicer saves six digits of a table's numbers."""
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.saved_result import statistics_of
    from MedSegDiffSlicerLib.nodes.scene_result import find_result
    from MedSegDiffSlicerLib.nodes.segment_numbers import is_as_left, volume_of
    from MedSegDiffSlicerLib.nodes.segments import segment_ids

    grid = np.diag([*spacing, 1.0])
    add_result(scene, make_result(SHAPE, grid), make_volume(np.zeros(SHAPE, np.int16), grid))
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    node = scene.GetFirstNodeByName("scan segmentation")
    ids = segment_ids(node)
    for row in statistics_of(find_result(scene, node)):
        segment = node.GetSegmentation().GetSegment(ids[row["label"]])
        assert is_as_left(segment, volume_of(node, ids[row["label"]]), row["volume_mm3"])


def test_copies_that_a_user_made_are_no_part_of_a_run(scene, drawn_on, make_result, tmp_path):
    import slicer
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.scene_change import is_in_scene
    from MedSegDiffSlicerLib.nodes.scene_result import find_result
    from MedSegDiffSlicerLib.nodes.slicer_result import nodes_of_run

    shape = drawn_on.GetImageData().GetDimensions()
    added = add_result(scene, make_result(shape, FINE), drawn_on)
    slicer.vtkSlicerVolumesLogic.CloneVolume(scene, added.uncertaintyVolumeNodes[0], "mine of the map")
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    node = scene.GetFirstNodeByName(added.segmentationNode.GetName())
    found, copy = find_result(scene, node), scene.GetFirstNodeByName("mine of the map")
    assert len(found.nodes()) == len(added.nodes()) and copy not in nodes_of_run(scene, node)
    for seed in (2, 3):  # the first of which takes away what it is a copy of
        again = add_result(scene, make_result(shape, FINE, seed=seed), found.volumeNode, node)
        assert is_in_scene(copy) and len(find_result(scene, node).nodes()) == len(again.nodes())


def test_results_of_a_sequence_tell_when_their_scan_shows_another_frame(scene, beating, make_result):
    from MedSegDiffSlicerLib.jobs.copy_as_python import segment_call
    from MedSegDiffSlicerLib.nodes.frame import told_of_frame
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    beating.browser.SetSelectedItemNumber(1)
    beating.logic.UpdateAllProxyNodes()
    shape = beating.proxy.GetImageData().GetDimensions()
    made = add_result(scene, make_result(shape), beating.proxy).segmentationNode
    assert made.GetAttribute("MedSegDiff.Frame") == "time 40 ms" and told_of_frame(made) == ""
    assert segment_call([beating.proxy], "m", {}).endswith("model='m')  # while 'heart' shows time 40 ms\n")
    beating.browser.SetSelectedItemNumber(2)
    beating.logic.UpdateAllProxyNodes()
    assert told_of_frame(made) == "The result is of time 40 ms; 'heart' shows time 80 ms."
    beating.browser.SetSelectedItemNumber(1)
    assert told_of_frame(made) == ""
    scene.RemoveNode(beating.browser)
    assert told_of_frame(made) == ""
    again = add_result(scene, make_result(shape), beating.proxy, made).segmentationNode
    assert again is made and made.GetAttribute("MedSegDiff.Frame") is None
