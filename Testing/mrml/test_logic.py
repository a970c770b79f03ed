"""The module's logic, Slicer's base classes and the worker being stand-ins: what it refuses at once, and at the end."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from medsegdiff.errors import RequestError
from medsegdiff.worker.client import Event

SHAPE, MODEL = (24, 20, 16), "hippocampus-medsegdiff"


@pytest.fixture
def logic(scene, monkeypatch):
    """A logic; `asked` holds the images sent to its worker, `events` what that will say."""
    import slicer

    base = ModuleType("slicer.ScriptedLoadableModule")
    for part in ("", "Logic", "Test", "Widget"):
        name = f"ScriptedLoadableModule{part}"
        setattr(base, name, type(name, (), {"__init__": lambda self, parent=None: None}))
    monkeypatch.setitem(sys.modules, "slicer.ScriptedLoadableModule", base)
    monkeypatch.setitem(sys.modules, "qt", MagicMock())
    monkeypatch.setattr(slicer, "app", MagicMock(), raising=False)
    monkeypatch.delitem(sys.modules, "MedSegDiffSlicer", raising=False)
    from MedSegDiffSlicer import MedSegDiffSlicerLogic
    from MedSegDiffSlicerLib.setup import dependencies

    monkeypatch.setattr(dependencies, "require", lambda: None)
    logic = MedSegDiffSlicerLogic()
    logic.asked, logic.events = [], []

    def submit(_request, image, previews):
        logic.asked.append(image)
        return SimpleNamespace(poll=lambda: [logic.events.pop(0)] if logic.events else [], cancel=lambda: None)

    monkeypatch.setattr(logic, "_worker", lambda: SimpleNamespace(submit=submit))
    return logic


@pytest.mark.parametrize("what", ["a name", "a volume", "surfaces", "moved"])
def test_segmentation_that_cannot_take_the_result_is_refused_before_the_run(
    logic, scene, make_volume, make_transform, what
):
    volume = make_volume(np.zeros(SHAPE, np.int16))
    output = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    output.GetSegmentation().AddEmptySegment("mine", "mine")
    if what == "surfaces":
        output.GetSegmentation().SetSourceRepresentationName("Closed surface")
    elif what == "moved":
        make_transform(output, np.diag([1, 1, 2, 1.0]))
    given, message = {
        "a name": ("mine", "a segmentation node is expected for the result, got 'mine'"),
        "a volume": (volume, "a segmentation node is expected for the result, got 'scan'"),
        "surfaces": (output, "the other segments of 'mine' do not consist of voxels"),
        "moved": (output, "'mine' has other segments and is under another transform than 'scan'"),
    }[what]
    with pytest.raises(RequestError, match=message):
        logic.startSegmentation(volume, MODEL, segmentationNode=given)
    assert not logic.asked


@pytest.mark.parametrize("model", [None, [], 3, ["hippocampus-unet", None]])
def test_what_is_no_model_is_refused(logic, scene, make_volume, model):
    volume = make_volume(np.zeros(SHAPE, np.int16))
    for start in (logic.startSegmentation, lambda *given: logic.startSequenceBatch(None, *given)):
        with pytest.raises(RequestError, match="cannot be used; give the name of one, or several"):
            start(volume, model)


def test_measures_that_are_none_are_refused(logic, scene, make_volume):
    with pytest.raises(RequestError, match="measures None cannot be used; give a list of names"):
        logic.startSegmentation(make_volume(np.zeros(SHAPE, np.int16)), MODEL, measures=None)


def test_a_batch_of_one_volume_needs_no_list(logic, scene, make_volume, make_result):
    logic.events.append(Event("result", result=make_result(SHAPE)))
    batch = logic.startBatch(make_volume(np.zeros(SHAPE, np.int16)), MODEL)
    (result,) = batch.wait()
    assert result.segmentationNode is not None
    with pytest.raises(RequestError, match="a sequence browser node is expected, got None"):
        logic.startSequenceBatch(None, make_volume(np.zeros(SHAPE, np.int16)), MODEL)


def test_a_name_among_the_cases_of_a_batch_costs_its_case_alone(logic, scene, make_volume, make_result):
    logic.events.append(Event("result", result=make_result(SHAPE)))
    batch = logic.startBatch(["scan", make_volume(np.zeros(SHAPE, np.int16))], MODEL)
    none, result = batch.wait()
    assert none is None and result is not None
    assert "a volume node is expected, got 'scan'" in str(batch.cases[0].error)


def test_segments_come_into_the_segmentation_given(logic, scene, make_volume, make_result):
    volume = make_volume(np.zeros(SHAPE, np.int16))
    output = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    output.GetSegmentation().AddEmptySegment("mine", "mine")
    logic.events.append(Event("result", result=make_result(SHAPE)))
    result = logic.startSegmentation(volume, MODEL, segmentationNode=output).wait(60)
    assert result.segmentationNode is output and output.GetSegmentation().GetNumberOfSegments() == 4


def test_a_result_that_was_reviewed_meanwhile_stays(logic, scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.review.table import find_review, set_verdict, start

    volume = make_volume(np.zeros(SHAPE, np.int16))
    earlier = add_result(scene, make_result(SHAPE), volume)
    logic.events.append(Event("result", result=make_result(SHAPE)))
    job = logic.startSegmentation(volume, MODEL, segmentationNode=earlier.segmentationNode)
    table = start(scene, earlier)
    set_verdict(table, 0, "accept")
    result = job.wait()
    assert result.segmentationNode is not earlier.segmentationNode
    assert find_review(scene, earlier.segmentationNode) is table and all(map(scene.IsNodePresent, earlier.nodes()))


def test_a_result_that_was_edited_meanwhile_on_another_grid_stays(logic, scene, make_volume, make_result):
    import slicer

    beside = np.eye(4)
    beside[0, 3] = 0.5
    first, second = make_volume(np.zeros(SHAPE, np.int16)), make_volume(np.zeros(SHAPE, np.int16), beside)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    logic.events.append(Event("result", result=make_result(SHAPE)))
    logic.segment(first, MODEL, segmentationNode=node)
    job = logic.startSegmentation(second, MODEL, segmentationNode=node)
    slicer.util.updateSegmentBinaryLabelmapFromArray(np.ones(SHAPE[::-1], np.uint8), node, "alpha", first)
    logic.events.append(Event("result", result=make_result(SHAPE, beside)))
    assert job.wait().segmentationNode is not node
    assert slicer.util.arrayFromSegmentBinaryLabelmap(node, "alpha", first).all()


def test_volume_that_changed_since_the_run_gets_no_result(logic, scene, ids, make_volume, make_result):
    volume = make_volume(np.zeros(SHAPE, np.int16))
    before = ids(scene)
    job = logic.startSegmentation(volume, MODEL)
    volume.SetSpacing(2, 2, 2)
    logic.events.append(Event("result", result=make_result(SHAPE)))
    with pytest.raises(RequestError, match="'scan' has changed since the run; run again"):
        job.wait(60)
    assert ids(scene) == before


@pytest.mark.parametrize("what", ["spacing", "voxels", "enlarged", "emptied"])
def test_result_of_a_volume_with_another_grid_by_now_is_not_fused_anew(
    logic, scene, ids, make_volume, make_transform, make_result, what
):
    import slicer

    volume = make_volume(np.zeros(SHAPE, np.int16))
    logic.events.append(Event("result", result=make_result(SHAPE)))
    result = logic.startSegmentation(volume, MODEL).wait(60)
    if what == "spacing":
        volume.SetSpacing(2, 2, 2)
    elif what == "voxels":
        slicer.util.updateVolumeFromArray(volume, np.zeros((32, 40, 48), np.int16))
    elif what == "enlarged":
        make_transform(volume, np.diag([1, 1, 2, 1.0]))
    elif what == "emptied":
        volume.SetAndObserveImageData(None)
    before = ids(scene)
    with pytest.raises(RequestError, match="'scan' has changed since the run; run again"):
        logic.refuse(result, fusion="majority")
    assert ids(scene) == before


def test_result_of_a_volume_that_was_moved_is_fused_anew(logic, make_volume, make_transform, make_result):
    volume = make_volume(np.zeros(SHAPE, np.int16))
    logic.events.append(Event("result", result=make_result(SHAPE)))
    result = logic.startSegmentation(volume, MODEL).wait(60)
    make_transform(volume, np.array([[0, -1, 0, 9], [1, 0, 0, 1], [0, 0, 1, -4], [0, 0, 0, 1.0]]))
    again = logic.refuse(result, fusion="majority")
    assert again.segmentationNode.GetTransformNodeID() == volume.GetTransformNodeID()


def test_opinions_fused_anew_are_of_the_frame_of_their_run(logic, scene, beating, make_result):
    from MedSegDiffSlicerLib.nodes.frame import told_of_frame
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    beating.browser.SetSelectedItemNumber(0)
    result = add_result(scene, make_result(SHAPE, np.diag([2.0, 1, 1, 1])), beating.proxy)
    beating.browser.SetSelectedItemNumber(1)
    beating.logic.UpdateAllProxyNodes()
    again = logic.refuse(result, fusion="majority")
    assert told_of_frame(again.segmentationNode) == "The result is of time 0 ms; 'heart' shows time 40 ms."


def test_batch_of_several_cases_is_not_put_into_one_segmentation(logic, scene, make_volume, make_result):
    output = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    volumes = [make_volume(np.zeros(SHAPE, np.int16), name=name) for name in ("one", "two")]
    with pytest.raises(RequestError, match="each case would replace the segments of the one before"):
        logic.startBatch(volumes, MODEL, segmentationNode=output)
    assert not logic.asked
    logic.events.append(Event("result", result=make_result(SHAPE)))
    (result,) = logic.startBatch(volumes[:1], MODEL, segmentationNode=output).wait()
    assert result.segmentationNode is output


def test_model_is_not_imported_where_packages_are_missing(logic, monkeypatch, tmp_path):
    from MedSegDiffSlicerLib.setup import dependencies, model_import

    def require():
        raise RequestError("Python packages are missing")

    monkeypatch.setattr(dependencies, "require", require)
    monkeypatch.setattr(model_import, "import_model", lambda *_asked: pytest.fail("the command was asked"))
    with pytest.raises(RequestError, match="Python packages are missing"):
        logic.importModel(tmp_path / "model.zip")


@pytest.fixture
def result(logic, scene, make_volume, make_result):
    """Of a segmentation; its maps and samples are in the scene."""
    logic.events.append(Event("result", result=make_result(SHAPE)))
    return logic.startSegmentation(make_volume(np.zeros(SHAPE, np.int16)), MODEL, measures=("entropy",)).wait(60)


def test_no_chart_of_a_result_that_is_gone(logic, scene, result, ids):
    """Node IDs begin anew in a scene that was cleared: another result may have that of this one's segmentation."""
    scene.RemoveNode(result.segmentationNode)
    before = ids(scene)
    with pytest.raises(RequestError, match="the segmentation of this result is no longer in the scene"):
        logic.plotVolumes(result)
    assert ids(scene) == before


def test_refused_samples_come_with_the_nodes_that_are_left(logic, scene, result):
    scene.RemoveNode(result.uncertaintyVolumeNodes[0])
    scene.RemoveNode(result.samplesSequenceNode)
    again = logic.refuse(result, fusion="majority")
    assert again.uncertaintyVolumeNodes == [] and again.samplesSequenceNode is None
    assert again.probabilityVolumeNodes == result.probabilityVolumeNodes != []
    scene.RemoveNode(result.volumeNode)
    with pytest.raises(RequestError, match="the volume of this result is no longer in the scene"):
        logic.refuse(result)


def test_what_is_no_result_is_told(logic):
    for method in (logic.refuse, logic.plotVolumes):
        with pytest.raises(RequestError, match="what segment gave is expected, got None"):
            method(None)


def test_names_of_cases_may_be_numbers(logic, scene, make_volume, make_result):
    logic.events.append(Event("result", result=make_result(SHAPE)))
    volume, ended = make_volume(np.zeros(SHAPE, np.int16)), []
    batch = logic.startBatch(volume, MODEL, names=[17], onFinished=ended.append)
    batch.wait()
    assert ended == [batch] and batch.table.GetTable().GetValueByName(0, "Case").ToString() == "17"
    assert logic.startBatch(volume, MODEL, names="patient7").cases[0].name == "patient7"
    with pytest.raises(RequestError, match="a batch tells how it goes by onChanged"):
        logic.startBatch(volume, MODEL, onProgress=print)
