"""Results become nodes: geometry, names, colours, attributes; saved and read again; all of them or none."""

from __future__ import annotations

import numpy as np
import pytest
from medsegdiff.errors import JobError, RequestError
from result_case import MOVE, SHAPE, check_segments, lib, volume  # noqa: F401

ATTRIBUTES = {
    "Model": "toy", "ModelSHA256": "ab" * 32, "Seed": "3", "Sampler": "ddim", "Steps": "4", "Samples": "4",
    "Version": "0.1", "Ensemble": "toys",
}  # fmt: skip


def turn(adding, steps: int | None = None) -> int:
    """Steps until all is there, or for that many steps that added something."""
    import time

    done, count = False, 0
    while not done and (steps is None or count < steps):
        nodes = len(adding.added.nodes())
        done = adding.step()
        count += len(adding.added.nodes()) != nodes
        time.sleep(0.001)
    return count


def slicer_hierarchy(scene):
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


@pytest.mark.parametrize("moved", [False, True])
def test_segments_lie_where_the_voxels_lie(lib, scene, make_volume, make_transform, make_result, affine, moved):
    volume, result = make_volume(np.zeros(SHAPE, np.int16), affine), make_result(SHAPE, affine)
    if moved:
        make_transform(volume, MOVE)
    added = lib[0].add_result(scene, result, volume)
    check_segments(added.segmentationNode, result, affine)
    for node in (added.segmentationNode, *added.uncertaintyVolumeNodes, *added.probabilityVolumeNodes):
        assert node.GetTransformNodeID() == volume.GetTransformNodeID()


def test_colour_photograph_gets_segments(lib, scene, make_volume, make_result, affine):
    volume, result = make_volume(np.zeros((24, 20, 1, 3), np.uint8), affine), make_result((24, 20, 1), affine)
    check_segments(lib[0].add_result(scene, result, volume).segmentationNode, result, affine)


def test_exported_labelmap_equals_the_result_under_a_transform(lib, scene, make_volume, make_transform, make_result):
    """Through Slicer's own export, in world coordinates, onto the volume's grid."""
    import slicer

    volume, result = make_volume(np.zeros(SHAPE, np.int16)), make_result(SHAPE)
    make_transform(volume, MOVE)
    added = lib[0].add_result(scene, result, volume)
    for label in result.labels[:2]:
        segment_id = added.segmentationNode.GetSegmentation().GetSegmentIdBySegmentName(label.name)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(added.segmentationNode, segment_id, volume)
        assert np.array_equal(array.T, result.labelmap == label.value)


def test_segments_carry_the_models_names_colours_and_terminology(lib, scene, volume, make_result):
    import vtk

    result = make_result(SHAPE)
    segmentation = lib[0].add_result(scene, result, volume).segmentationNode.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 3
    for index, label in enumerate(result.labels):
        segment = segmentation.GetNthSegment(index)
        assert segment.GetName() == label.name
        assert np.allclose(segment.GetColor(), np.array(label.color) / 255, atol=1e-6)
        value = vtk.reference("")
        segment.GetTag(segment.GetTerminologyEntryTagName(), value)
        assert str(value) == label.terminology


def test_a_console_shows_a_result_in_a_line(lib, scene, volume, make_result):
    result = make_result(SHAPE)
    placed = lib[0].add_result(scene, result, volume)
    for shown in (repr(result), repr(placed), repr(result.alternatives())):
        assert "\n" not in shown and len(shown) < 500
    assert placed.segmentationNode.GetName() in repr(placed) and f"{len(result.weights)} opinions" in repr(result)


def test_every_node_says_how_it_was_made(lib, scene, volume, make_result):
    nodes = lib[0].add_result(scene, make_result(SHAPE), volume).nodes()
    assert len(nodes) == 3 + 1 + 3
    for node in nodes:
        for name, value in ATTRIBUTES.items():
            assert node.GetAttribute(f"MedSegDiff.{name}") == value, (node.GetName(), name)


def test_segmentation_sits_beside_its_volume_the_rest_in_a_folder_there(lib, scene, volume, make_result):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.CreateItem(study, volume)
    segmentation, *others = lib[0].add_result(scene, make_result(SHAPE), volume).nodes()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(segmentation)) == study
    (folder,) = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in others}
    assert (hierarchy.GetItemParent(folder), hierarchy.GetItemName(folder)) == (study, "scan results")


def test_runs_are_told_apart_by_name_and_removed_each_as_a_whole(lib, scene, volume, make_result, ids):
    from MedSegDiffSlicerLib.nodes.result_nodes import remove_run

    lib[1].color_table(scene)
    hierarchy = slicer_hierarchy(scene)
    before = ids(scene)
    one, two = (lib[0].add_result(scene, make_result(SHAPE), volume) for _ in range(2))
    names = [node.GetName() for node in (*one.nodes(), *two.nodes())]
    assert len(set(names)) == len(names)
    assert all(name.startswith("scan run 2 ") for name in names[len(names) // 2 :])
    kept = set(ids(scene)) - {node.GetID() for node in two.nodes()}
    remove_run(scene, two.segmentationNode)
    assert {node.GetID() for node in one.nodes()} <= set(ids(scene)) <= kept
    assert hierarchy.GetItemByName("scan run 2 results") == 0
    remove_run(scene, one.segmentationNode)
    assert ids(scene) == before
    assert hierarchy.GetItemByName("scan results") == 0


def test_removing_a_run_leaves_the_users_work(lib, scene, volume, make_result, ids):
    import slicer
    from MedSegDiffSlicerLib.nodes.result_nodes import remove_run
    from MedSegDiffSlicerLib.nodes.slicer_result import RUN

    added = lib[0].add_result(scene, make_result(SHAPE), volume)
    node, segmentation = added.segmentationNode, added.segmentationNode.GetSegmentation()
    own = segmentation.AddEmptySegment("own", "own")
    edited, reviewed, *others = [id for id in segmentation.GetSegmentIDs() if id != own]
    voxels = slicer.util.arrayFromSegmentBinaryLabelmap(node, edited, volume)
    voxels[0, 0, 0] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, node, edited, volume)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(segmentation.GetSegment(reviewed), logic.Completed)
    names = {segmentation.GetSegment(segment_id).GetName() for segment_id in (edited, reviewed, own)}
    assert set(remove_run(scene, node)) == names and others
    assert scene.IsNodePresent(node) and node.GetAttribute(RUN) is None
    assert set(segmentation.GetSegmentIDs()) == {edited, reviewed, own}
    assert (slicer.util.arrayFromSegmentBinaryLabelmap(node, edited, volume) == voxels).all()
    assert not any(scene.IsNodePresent(each) for each in added.nodes() if each is not node)


def test_nodes_come_step_by_step_and_vanish_when_it_is_called_off(lib, scene, volume, make_result, ids):
    lib[1].color_table(scene)
    before, result = ids(scene), make_result(SHAPE)
    adding = lib[0].ResultAdding(scene, result, volume, ahead=True)
    steps = turn(adding, steps=4)
    assert steps and ids(scene) != before
    mine = scene.AddNewNodeByClass("vtkMRMLTextNode", "mine")  # what the user does between two steps
    adding.undo()
    assert ids(scene) == sorted([*before, mine.GetID()])
    whole = lib[0].ResultAdding(scene, result, volume, ahead=True)
    turn(whole)
    assert len(whole.added.nodes()) == 3 + 1 + 3
    assert whole.added.samplesSequenceNode.GetNumberOfDataNodes() == 4
    check_segments(whole.added.segmentationNode, result, np.eye(4))


@pytest.mark.parametrize("removed", ["volume", "map", "scene"])
def test_what_is_deleted_between_two_steps_ends_it(lib, scene, volume, make_result, ids, removed):
    lib[1].color_table(scene)
    before = ids(scene)
    adding = lib[0].ResultAdding(scene, make_result(SHAPE), volume)
    assert not adding.step() and not adding.step()
    gone = {"volume": volume, "map": adding.added.uncertaintyVolumeNodes[0], "scene": volume}[removed]
    scene.Clear(0) if removed == "scene" else scene.RemoveNode(gone)
    with pytest.raises(JobError, match="removed"):
        adding.step()
    assert [node for node in scene.GetNodes() if node.GetAttribute("MedSegDiff.Model")] == []
    if removed == "map":
        assert ids(scene) == before


def test_maps_hold_the_results_values_with_colours_and_window(lib, scene, volume, make_result):
    import slicer

    result = make_result(SHAPE)
    measures = ("entropy", "expected-entropy", "mutual-information", "variance")
    added = lib[0].add_result(scene, result, volume, measures=measures)
    for measure, node in zip(measures, added.uncertaintyVolumeNodes, strict=True):
        assert np.array_equal(slicer.util.arrayFromVolume(node).T, result.uncertainty(measure))
        display = node.GetDisplayNode()
        shown = (display.GetWindowLevelMin(), display.GetWindowLevelMax())
        assert shown == pytest.approx(result.span(measure, result.uncertainty(measure))[:2])
        assert display.GetApplyThreshold() and display.GetLowerThreshold() == pytest.approx(0.2 * shown[1])
        assert not display.GetAutoWindowLevel()
        assert display.GetColorNode() is lib[1].color_table(scene)
    for label, node in zip(result.labels, added.probabilityVolumeNodes, strict=True):
        assert np.array_equal(slicer.util.arrayFromVolume(node).T, result.probability[label.value])


def test_color_table_is_made_once_and_is_clear_at_the_low_end(lib, scene, volume, make_result):
    for _ in range(2):
        lib[0].add_result(scene, make_result(SHAPE), volume)
    tables = scene.GetNodesByClass("vtkMRMLColorTableNode")
    tables.UnRegister(None)
    named = [table for table in tables if table.GetName() == "MedSegDiff overlay"]
    assert len(named) == 1
    table = named[0].GetLookupTable()
    colors = np.array([table.GetTableValue(i) for i in range(256)])
    brightness = colors[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(brightness) > -1e-3).all()
    assert colors[0, 3] == 0 and colors[-1, 3] == 1 and (np.diff(colors[:, 3]) >= 0).all()


def test_samples_are_a_sequence_of_labelmaps(lib, scene, volume, make_result):
    import slicer

    result = make_result(SHAPE)
    sequence = lib[0].add_result(scene, result, volume).samplesSequenceNode
    assert sequence.GetNumberOfDataNodes() == len(result.samples) == 4
    for index, sample in enumerate(result.samples):
        node = sequence.GetNthDataNode(index)
        assert node.IsA("vtkMRMLLabelMapVolumeNode")
        assert np.array_equal(slicer.util.arrayFromVolume(node).T, sample)


def test_table_holds_the_statistics(lib, scene, volume, make_result):
    result = make_result(SHAPE)
    table = lib[0].add_result(scene, result, volume).statisticsTableNode.GetTable()
    assert table.GetNumberOfRows() == 3
    for row, entry in enumerate(result.statistics):
        assert table.GetValueByName(row, "Segment").ToString() == entry["name"]
        assert table.GetValueByName(row, "Volume [mm3]").ToDouble() == entry["volume_mm3"]
        low, high = entry["volume_interval_mm3"]
        assert table.GetValueByName(row, "Volume low [mm3]").ToDouble() == low
        assert table.GetValueByName(row, "Volume high [mm3]").ToDouble() == high
        assert table.GetValueByName(row, "Surface area [mm2]").ToDouble() == entry["surface_area_mm2"]
        worst = np.nan if entry["worst_uncertainty"] is None else entry["worst_uncertainty"]
        assert table.GetValueByName(row, "Worst uncertainty").ToDouble() == pytest.approx(worst, nan_ok=True)
        assert table.GetValueByName(row, "Expected Dice withheld").ToString() == ""


def test_table_tells_why_no_dice_is_expected(lib, scene, volume, make_result):
    result = make_result(SHAPE)
    result.report["segments"][1] |= {"expected_dice": None, "expected_dice_withheld": "the image is odd"}
    table = lib[0].add_result(scene, result, volume).statisticsTableNode.GetTable()
    assert np.isnan(table.GetValueByName(1, "Expected Dice").ToDouble())
    told = [table.GetValueByName(row, "Expected Dice withheld").ToString() for row in range(3)]
    assert told == ["", "the image is odd", ""]


def test_saved_and_read_again_as_seg_nrrd(lib, scene, make_volume, make_result, affine, tmp_path):
    volume, result = make_volume(np.zeros(SHAPE, np.int16), affine), make_result(SHAPE, affine)
    saved = lib[0].add_result(scene, result, volume).segmentationNode
    saved.AddDefaultStorageNode()
    saved.GetStorageNode().SetFileName(str(tmp_path / "result.seg.nrrd"))
    assert saved.GetStorageNode().WriteData(saved)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(tmp_path / "result.seg.nrrd"))
    assert node.GetStorageNode().ReadData(node)
    check_segments(node, result, affine)
    segment = node.GetSegmentation().GetNthSegment(1)
    assert segment.GetName() == "beta"
    assert np.allclose(segment.GetColor(), np.array(result.labels[1].color) / 255, atol=1e-5)


def test_saved_and_read_again_as_mrb(lib, scene, volume, make_transform, make_result, tmp_path):
    import slicer

    make_transform(volume, MOVE)
    result = make_result(SHAPE)
    names = [node.GetName() for node in lib[0].add_result(scene, result, volume).nodes()]
    assert scene.WriteToMRB(str(tmp_path / "result.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "result.mrb"))
    found = [scene.GetFirstNodeByName(name) for name in names]
    for node in found:
        assert node.GetAttribute("MedSegDiff.Seed") == "3", node.GetName()
    check_segments(found[0], result, np.eye(4))
    assert found[0].GetParentTransformNode() is scene.GetFirstNodeByName("scan").GetParentTransformNode() is not None
    entropy = scene.GetFirstNodeByName("scan entropy")
    assert np.allclose(slicer.util.arrayFromVolume(entropy).T, result.uncertainty("entropy"))
    assert entropy.GetDisplayNode().GetColorNode().GetName() == "MedSegDiff overlay"
    assert entropy.GetDisplayNode().GetColorNode().GetLookupTable().GetTableValue(0)[3] == 0
    assert found[1].GetNumberOfDataNodes() == 4


@pytest.mark.parametrize("broken", ["write_segments", "add_statistics", "place_in_hierarchy"])
def test_failure_midway_leaves_the_scene_as_it_was(lib, scene, volume, make_result, ids, monkeypatch, broken):
    def fail(*_, **__):
        raise ValueError("on purpose")

    before = ids(scene)
    monkeypatch.setattr(lib[0], broken, fail)
    with pytest.raises(ValueError, match="on purpose"):
        lib[0].add_result(scene, make_result(SHAPE), volume)
    assert ids(scene) == before


@pytest.mark.parametrize("measures", ["entropy", ["entropie"]])
def test_measures_that_are_no_list_of_known_names_are_refused(lib, measures):
    with pytest.raises(RequestError, match="give a list of names out of entropy"):
        lib[0].check_measures(measures)
    lib[0].check_measures(("entropy", "variance"))


def test_deleted_volume_is_an_error_and_changes_nothing(lib, scene, volume, make_result, ids):
    scene.RemoveNode(volume)
    before = ids(scene)
    with pytest.raises(JobError, match="removed meanwhile"):
        lib[0].add_result(scene, make_result(SHAPE), volume)
    assert ids(scene) == before


def test_overlay_is_shown_in_all_slice_views_and_taken_away(lib, scene, volume, make_result):
    views = [scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode") for _ in range(3)]
    node = lib[0].add_result(scene, make_result(SHAPE), volume).uncertaintyVolumeNodes[0]
    lib[1].show_overlay(scene, node, opacity=0.6)
    assert [(v.GetForegroundVolumeID(), v.GetForegroundOpacity()) for v in views] == [(node.GetID(), 0.6)] * 3
    views[0].SetForegroundVolumeID(volume.GetID())
    lib[1].hide_overlay(scene, node)
    assert [v.GetForegroundVolumeID() for v in views] == [volume.GetID(), None, None]


def test_foreground_that_the_overlay_covered_comes_back(lib, scene, volume, make_volume, make_result):
    view, pet = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode"), make_volume(np.zeros(SHAPE, np.int16), name="PET")
    view.SetForegroundVolumeID(pet.GetID())
    view.SetForegroundOpacity(0.25)
    one, two = (lib[0].add_result(scene, make_result(SHAPE), volume).uncertaintyVolumeNodes[0] for _ in range(2))
    lib[1].show_overlay(scene, one)
    lib[1].show_overlay(scene, two)
    lib[1].hide_overlay(scene, two)
    assert (view.GetForegroundVolumeID(), view.GetForegroundOpacity()) == (pet.GetID(), 0.25)
    lib[1].show_overlay(scene, one)
    scene.RemoveNode(one)  # as a run does that replaces the segments
    lib[1].show_overlay(scene, two)
    lib[1].hide_overlay(scene, two)
    assert (view.GetForegroundVolumeID(), view.GetForegroundOpacity()) == (pet.GetID(), 0.25)


def test_earlier_results_are_hidden(lib, scene, volume, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.scene_result import show_alone

    def shown(added) -> bool:
        return bool(added.segmentationNode.GetDisplayNode().GetVisibility())

    other = make_volume(np.zeros(SHAPE, np.int16), name="other")
    mine = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "painted by hand")
    mine.CreateDefaultDisplayNodes()
    mine.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    runs = [lib[0].add_result(scene, make_result(SHAPE), one) for one in (volume, other, volume)]
    assert [added.hidden for added in runs] == [[], *([added.segmentationNode.GetName()] for added in runs[:2])]
    assert [shown(added) for added in runs] == [False, False, True] and mine.GetDisplayNode().GetVisibility()
    assert show_alone(scene, runs[2].segmentationNode) == [], "what is hidden already is not told again"
    runs[0] = lib[0].add_result(scene, make_result(SHAPE), volume, runs[0].segmentationNode)
    assert [shown(added) for added in runs] == [True, False, False], "what was hidden is run into anew"


def test_warnings_stay_with_the_segmentation(lib, scene, volume, make_result, tmp_path):
    from dataclasses import replace

    from MedSegDiffSlicerLib.nodes.slicer_result import WARNINGS

    result = make_result(SHAPE)
    said = ["the image is unlike others; check it", 'a line with "quotes", 100 % and ; signs']
    added = lib[0].add_result(scene, replace(result, report={**result.report, "warnings": said}), volume)
    name = added.segmentationNode.GetName()
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    assert scene.GetFirstNodeByName(name).GetAttribute(WARNINGS).split("\n") == said


def test_voxels_live_as_long_as_their_nodes_and_edits_do_not_reach_the_result(scene, make_volume, make_result):
    """Arrays are not copied into nodes: the nodes have to keep them."""
    import gc

    import slicer
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result

    result = make_result()
    labelmap, entropy = result.labelmap.copy(), result.uncertainty("entropy")
    probability = result.probability[1].copy()
    added = add_result(scene, result, make_volume(np.zeros(labelmap.shape, np.int16)))
    node, (map_node,) = added.segmentationNode, added.uncertaintyVolumeNodes
    for each in (map_node, added.probabilityVolumeNodes[0]):
        slicer.util.arrayFromVolume(each)[:2] = -1
    slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, node.GetSegmentation().GetNthSegmentID(0))[:] = 1
    assert np.array_equal(result.labelmap, labelmap) and np.array_equal(result.probability[1], probability)
    added.result = result = None
    gc.collect()
    rubbish = [np.full(labelmap.shape, 7.0, np.float32) for _ in range(50)]  # into memory that was let go
    assert np.array_equal(slicer.util.arrayFromVolume(map_node)[2:].T, entropy[:, :, 2:])
    del rubbish
